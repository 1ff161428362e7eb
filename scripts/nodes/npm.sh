#!/bin/sh
# Installs bcash, bcoin and anvil into FOLDER/npm, as npm/package-lock.json pins them: sh npm.sh FOLDER.
# No package's own install script runs, since some download; only what checks signatures for bcash is built, where it can be.
set -eu
target=$1
cd "$(dirname "$0")/npm"

for wanted in node npm; do
  command -v $wanted >/dev/null || { echo "$wanted is needed for bcash, bcoin and anvil (Debian: apt-get install nodejs npm)" >&2; exit 1; }
done

# An installation stands for these files and this Node.
wanted="$(cat package.json package-lock.json .npmrc ../npm.sh | sha256sum) $(node --version)"
[ "$(cat "$target/npm/.installed" 2>/dev/null)" != "$wanted" ] || exit 0

new="$target/.npm.new"
rm -rf "$new" "$target/.npm.old"
mkdir "$new"
cp package.json package-lock.json .npmrc "$new"
cd "$new"
echo "installing bcash, bcoin and anvil"
npm ci --no-update-notifier >install.log 2>&1 || { tail -n 20 install.log >&2; exit 1; }

# Node's own headers, so that nothing is fetched from elsewhere. Without them signatures are checked in JavaScript.
headers=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
if [ -e "$headers/include/node/node.h" ] && command -v c++ >/dev/null && command -v make >/dev/null; then
  echo "building what checks signatures for bcash"
  npm_config_nodedir="$headers" npm_config_ignore_scripts=false MAKEFLAGS="-j$(nproc)" \
    npm rebuild --foreground-scripts bcrypto >build.log 2>&1 || true
fi
[ -e node_modules/bcrypto/build/Release/bcrypto.node ] ||
  echo "bcash will check signatures in JavaScript, slowly (faster with Debian's libnode-dev, g++, make, python3)" >&2

anvil=node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil
if [ -e "$anvil" ]; then
  ln -sf "npm/$anvil" "$target/anvil"
else
  echo "npm brings anvil for Linux on x86-64 only; bring your own for this machine" >&2
fi

echo "$wanted" >.installed
[ ! -e "$target/npm" ] || mv "$target/npm" "$target/.npm.old"
mv "$new" "$target/npm"
rm -rf "$target/.npm.old"
