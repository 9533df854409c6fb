#!/usr/bin/env bash
# Builds the wheel with the release build in the target folder, installs it in a virtual environment of FOLDER and
# tests it there:
#
#   SINGER_PYTHON=$(bash tests/export/python.sh FOLDER) bash python/test.sh FOLDER [PYTEST ARGUMENTS]
#
# SINGER_WHEEL names a wheel that is there already.
set -euo pipefail
folder="$1"; shift
cd "$(dirname "$0")/.."
python="$(bash python/tests/python.sh "$SINGER_PYTHON" "$folder")"
wheels="$(mktemp -d)"
trap 'rm -rf "$wheels"' EXIT
wheel="${SINGER_WHEEL:-$(bash python/wheel.sh "$(dirname "$python")/maturin" "$wheels")}"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$wheel"
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
# For tests that run the program by this name.
SINGER_BIN="$(dirname "$python")/singer"
export SINGER_BIN
echo "wheel: $(du -b "$wheel" | cut -f1) bytes"
"$python" -m pytest -q -p no:cacheprovider python/tests "$@"
if [ -n "${SINGER_TRACKERS:-}" ]; then
    SINGER_WHEEL="$wheel" bash tests/trackers/run.sh "$SINGER_PYTHON" "$folder"
else
    echo "test.sh: NOT TESTED: MLflow, W&B and trackio; SINGER_TRACKERS=1 installs them (1 GB) and does"
fi
