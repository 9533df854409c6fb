#!/usr/bin/env bash
# Tests the Python package with the program of this build:
#
#   SINGER_PYTHON=$(bash tests/export/python.sh FOLDER) bash python/test.sh FOLDER [PYTEST ARGUMENTS]
set -euo pipefail
folder="$1"; shift
cd "$(dirname "$0")/.."
python="$(bash python/tests/python.sh "$SINGER_PYTHON" "$folder")"
export SINGER_BIN="${SINGER_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release/singer}"
PYTHONPATH=python "$python" -m pytest -q -p no:cacheprovider python/tests "$@"
