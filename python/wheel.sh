#!/usr/bin/env bash
# Builds the wheel into a folder, in the release build of the crate's own target folder:
#
#   bash python/wheel.sh MATURIN FOLDER [MATURIN ARGUMENTS]
set -euo pipefail
maturin="$1"
mkdir -p "$2"
folder="$(cd "$2" && pwd)"
shift 2
cd "$(dirname "$0")"
rm -f "$folder"/singer_vit-*.whl
"$maturin" build --release --locked --quiet --out "$folder" "$@" >&2
ls "$folder"/singer_vit-*.whl
