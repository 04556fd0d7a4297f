#!/usr/bin/env bash
# What somebody does who installs the wheel: tools/check_wheel.sh WHEEL [PYTHON]
# In a fresh environment, with nothing of this clone on any path: the command, README's Python, mlx-lm's README, what importing costs.
# MODEL (default: the chat model that tools/fetch_model.py gets) has to be in the store.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
wheel=$(realpath "$1") model=${MODEL:-smollm2-135m-instruct}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${2:-python3}" -m venv "$folder/venv"
PATH=$folder/venv/bin:$PATH
unset PYTHONPATH
cd "$folder"

step() { printf '\n== %s\n' "$*"; }
step install; pip install --quiet --disable-pip-version-check "$wheel"; pip list --disable-pip-version-check
step sluice --version; sluice --version
step sluice run; sluice run "$model" -p "What is the capital of France?" -n 12 --temp 0
step the Python of README; awk '/^```python$/ { on = 1; next } /^```$/ { on = 0 } on' "$root/README.md" > readme.py; python readme.py
step the README of mlx-lm; cp "$root/tests/python/examples/mlx_lm_scripts.py" .; python mlx_lm_scripts.py "$model"
step import; for _ in 1 2 3 4 5; do
  python -c 'import time; begin = time.perf_counter(); import sluice; print(f"{(time.perf_counter() - begin) * 1e3:.1f} ms")'
done
