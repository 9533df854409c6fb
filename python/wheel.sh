#!/usr/bin/env bash
# Builds the wheel into a folder, in the release build of the crate's own target folder:
#
#   bash python/wheel.sh MATURIN FOLDER [MATURIN ARGUMENTS]
#
# On x86-64 Linux, where Rust links by lld, functions of the same code become one: 2 MB less.
set -euo pipefail
maturin="$1"
mkdir -p "$2"
folder="$(cd "$2" && pwd)"
shift 2
cd "$(dirname "$0")"
rm -f "$folder"/singer_vit-*.whl
fold=()
case "$(rustc -vV | sed -n 's/^host: //p')" in
    x86_64-unknown-linux-gnu) fold=(-- -C link-arg=-Wl,--icf=all) ;;
esac
"$maturin" build --release --locked --quiet --compression-level 9 --out "$folder" "$@" ${fold[@]+"${fold[@]}"} >&2
ls "$folder"/singer_vit-*.whl
