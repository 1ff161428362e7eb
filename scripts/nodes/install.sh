#!/bin/sh
# Installs the node software for private test chains into a folder: sh install.sh FOLDER. Quick when it was done before.
# Each part is built aside and moved into place, so an interrupted run leaves what was there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
target=$(cd "$1" && pwd)

sh "$here/../debian.sh" litecoind monero:monerod
sh "$here/npm.sh" "$target"
sh "$here/go/build.sh" "$target"
