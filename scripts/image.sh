#!/bin/sh
# The program and what it needs, each as requirements.lock has it, in a new virtual environment:
#   sh scripts/image.sh VENV [WHEEL]
# Without a wheel one is built of this checkout. UV names uv where it is not on the PATH; PYTHON the interpreter.
set -eu
venv=$1
uv=${UV:-uv}
here=$(cd "$(dirname "$0")/.." && pwd)
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

if [ $# -gt 1 ]; then
  cp "$2" "$made/"
else
  "$uv" build --quiet --wheel --python "${PYTHON:-python3}" --build-constraints "$here/requirements.lock" \
    --require-hashes --out-dir "$made" "$here"
fi
for wheel in "$made"/*.whl; do
  echo "glasstumbler @ file://$wheel --hash=sha256:$(sha256sum "$wheel" | cut -d' ' -f1)"
done > "$made/requirements.txt"
"$uv" venv --quiet --python "${PYTHON:-python3}" "$venv"
"$uv" pip install --quiet --python "$venv/bin/python" --require-hashes --constraints "$here/requirements.lock" \
  --requirements "$made/requirements.txt"
