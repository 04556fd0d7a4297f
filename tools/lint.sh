#!/usr/bin/env bash
# Looks at every file in git and changes none: formatting, clang-tidy's and clippy's checks, Python syntax,
# the layers' order. Needs a configured build/release (`make build`).
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

step() { echo "lint: $*"; }
fail() { echo "lint: error: $*" >&2; failed=1; }

jobs=$(getconf _NPROCESSORS_ONLN)

# have clang-tidy: whether that tool is here; where it is not, its step is left out aloud
have() { command -v "$1" >/dev/null || { step "$1 is not installed: its checks are left out"; false; }; }

if have clang-format; then
  step "clang-format"
  git ls-files '*.cpp' '*.h' | xargs clang-format --dry-run -Werror || fail "run 'make format'"
fi

if have clang-tidy; then
  step "clang-tidy"
  # What the build compiles here: another machine's kernels have no flags in the database. Groups of files (SLUICE_UNITY)
  # as such: their headers are read once. Nothing of tests, nor what is generated.
  .venv/bin/python -c '
import json, os, re, subprocess
tracked = set(subprocess.run(["git", "ls-files", "*.cpp"], capture_output=True, text=True, check=True).stdout.split())
compiled = {os.path.relpath(entry["file"]) for entry in json.load(open("build/release/compile_commands.json"))}
units = {path for path in compiled if path in tracked or re.search(r"/Unity/unity_\w+\.cxx$", path)}
print("\n".join(sorted(path for path in units if "_test" not in path)))' |
    xargs -n 2 -P "$jobs" clang-tidy --quiet -p build/release 2> >(grep -vE 'warnings? generated|^Suppressed|^Use -' >&2) ||
    fail "clang-tidy found the above"
fi

if cargo fmt --version >/dev/null 2>&1; then
  step "cargo fmt"
  (cd rust/text && cargo fmt --check) || fail "run 'make format'"
else
  step "cargo fmt is not installed: its check is left out"
fi
if cargo clippy --version >/dev/null 2>&1; then
  step "cargo clippy"
  (cd rust/text && CARGO_TARGET_DIR=../../build/rust SLUICE_CXX_INCLUDE=$PWD/../../build/rust/include \
    cargo clippy --release --locked --quiet -- -D warnings) || fail "clippy found the above"
else
  step "cargo clippy is not installed: its check is left out"
fi

step "Python syntax"
git ls-files '*.py' | xargs .venv/bin/python -c '
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path, encoding="utf-8").read(), path)' || fail "a Python file does not parse"

step "layers, paths and documents"
.venv/bin/python -m pytest -q -p no:cacheprovider tests/style || fail "tests/style failed"

[ $failed = 0 ] && step "nothing to complain about"
exit $failed
