#!/bin/sh
# Installs the node software for private test chains into a folder: sh install.sh FOLDER. Quick when it was done before.
# Each part is built aside and moved into place, so an interrupted run leaves what was there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
target=$(cd "$1" && pwd)

# One run at a time: another that began meanwhile waits, and finds all done.
if command -v flock >/dev/null; then
  exec 9>"$target/.lock"
  flock 9
fi

sh "$here/../debian.sh" litecoind monero:monerod
sh "$here/npm.sh" "$target"
sh "$here/go/build.sh" "$target"
