#!/usr/bin/env bash
# Installs maturin and prints where it is.
set -euo pipefail
python3 -m venv maturin-venv
folder=maturin-venv/bin
[ -d "$folder" ] || folder=maturin-venv/Scripts
"$folder/python" -m pip install --quiet 'maturin>=1.9,<2'
echo "$PWD/$folder/maturin"
