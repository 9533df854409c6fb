#!/usr/bin/env bash
# Makes a virtual environment with the packages that the exports are compared in,
# if it is not there yet, and prints its Python:
#
#   SINGER_PYTHON=$(bash tests/export/python.sh FOLDER)
set -euo pipefail
requirements="$(cd "$(dirname "$0")" && pwd)/requirements.txt"
[ $# = 1 ] || { echo "usage: python.sh FOLDER" >&2; exit 2; }

# Other packages are another environment.
venv="$1/$(sha256sum "$requirements" | cut -c1-12)"
whole="$venv/complete"
fail() { echo "python.sh: $1; exports cannot be compared with timm, transformers and onnxruntime" >&2; exit 1; }

if [ ! -e "$whole" ]; then
    rm -rf "$venv"
    mkdir -p "$1"
    python3 -m venv "$venv" >&2 || fail "python3 -m venv failed (on Debian: apt-get install python3-venv)"
    for try in 1 2 3; do
        if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2; then
            "$venv/bin/python" -c "import onnx, onnxruntime, PIL, safetensors, timm, torch, transformers" >&2 \
                || fail "the installed packages cannot be imported"
            touch "$whole"
            break
        fi
        echo "python.sh: installing failed, try $try of 3" >&2
        sleep $((5 * try))
    done
    [ -e "$whole" ] || fail "the packages of $requirements could not be installed"
fi
echo "$venv/bin/python"
