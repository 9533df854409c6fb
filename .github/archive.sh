#!/usr/bin/env bash
# Builds the program and packs it with its licences, completions and manual pages:
#
#   bash .github/archive.sh TARGET FOLDER      # FOLDER/singer-TARGET.tar.gz, .zip on Windows
#
# TARGET is Rust's name of the machine that this runs on.
set -euo pipefail
[ $# = 2 ] || { echo "usage: archive.sh TARGET FOLDER" >&2; exit 2; }
target=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."

cargo build --release --locked
built=${CARGO_TARGET_DIR:-target}/release
name=singer-$target
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/$name/completions"
case $target in
    *-windows-*) program=singer.exe ;;
    *) program=singer ;;
esac
cp "$built/$program" README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$scratch/$name"
for shell in bash zsh fish powershell; do
    "$built/$program" completions "$shell" >"$scratch/$name/completions/singer.$shell"
done
"$built/$program" man "$scratch/$name/man" >/dev/null
case $target in
    *-windows-*) (cd "$scratch" && 7z a -bso0 "$folder/$name.zip" "$name") ;;
    *)
        strip "$scratch/$name/$program"
        tar -C "$scratch" -czf "$folder/$name.tar.gz" "$name"
        ;;
esac
ls -l "$folder/$name".*
