#!/usr/bin/env bash
# Makes a virtual environment for the Python package's tests, if it is not there yet, and prints its Python:
#
#   python=$(bash python/tests/python.sh BASE FOLDER)
#
# BASE is the Python of tests/export/python.sh, whose torch and timm the new one sees.
set -euo pipefail
[ $# = 2 ] || { echo "usage: python.sh BASE FOLDER" >&2; exit 2; }
requirements="$(cd "$(dirname "$0")" && pwd)/requirements.txt"
base="$1"

# Other packages, or another base, are another environment.
venv="$2/tests-$( (cat "$requirements"; echo "$base") | sha256sum | cut -c1-12)"
whole="$venv/complete"
if [ ! -e "$whole" ]; then
    rm -rf "$venv"
    mkdir -p "$2"
    "$base" -m venv "$venv" >&2
    site='import sysconfig; print(sysconfig.get_path("purelib"))'
    "$base" -c "$site" > "$("$venv/bin/python" -c "$site")/base.pth"
    for try in 1 2 3; do
        if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2; then
            touch "$whole"
            break
        fi
        echo "python.sh: installing failed, try $try of 3" >&2
        sleep $((5 * try))
    done
    [ -e "$whole" ] || { echo "python.sh: the packages of $requirements could not be installed" >&2; exit 1; }
fi
echo "$venv/bin/python"
