#!/usr/bin/env bash
# Tests the trackers with their own libraries: MLflow's server, W&B offline and trackio.
#
#   SINGER_WHEEL=singer_vit-….whl bash tests/trackers/run.sh PYTHON FOLDER [PYTEST ARGUMENTS]
#
# PYTHON makes the virtual environment in FOLDER, into which the wheel is installed; SINGER_TRACKERS_PYTHON names an
# environment that is there already. TensorBoard's files are tested by python/test.sh.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: SINGER_WHEEL=FILE run.sh PYTHON FOLDER [PYTEST ARGUMENTS]" >&2; exit 2; }
base="$1"
folder="$2"
shift 2
cd "$(dirname "$0")/../.."
requirements=tests/trackers/requirements.txt
python="${SINGER_TRACKERS_PYTHON:-}"
if [ -z "$python" ]; then
    venv="$folder/trackers-$(sha256sum < "$requirements" | cut -c1-12)"
    python="$venv/bin/python"
    if [ ! -e "$venv/complete" ]; then
        rm -rf "$venv"
        mkdir -p "$folder"
        "$base" -m venv "$venv"
        "$python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
        touch "$venv/complete"
    fi
fi
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$SINGER_WHEEL"
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
SINGER_BIN="$(dirname "$python")/singer"
export SINGER_BIN
"$python" -m pytest -q -p no:cacheprovider tests/trackers "$@"
