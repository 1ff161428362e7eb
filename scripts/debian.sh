#!/bin/sh
# Installs Debian packages that are missing. Each argument is PACKAGE or PACKAGE:COMMAND; a command that is there is enough.
set -eu
missing=""
for wanted in "$@"; do
  command -v "${wanted#*:}" >/dev/null 2>&1 || missing="$missing ${wanted%%:*}"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "please install:$missing (no apt-get here)" >&2
  exit 1
fi
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 ||
  { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null; }
