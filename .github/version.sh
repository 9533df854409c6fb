#!/usr/bin/env bash
# Fails where a package has another version than the one given: bash .github/version.sh X.Y.Z
set -euo pipefail
[ $# = 1 ] || { echo "usage: version.sh X.Y.Z" >&2; exit 2; }
cd "$(dirname "$0")/.."

crates=$(cargo metadata --no-deps --format-version 1 --locked |
    python3 -c 'import json, sys
for package in json.load(sys.stdin)["packages"]:
    print(package["name"], package["version"])')
npm="web/package/package.json $(sed -n 's/^ *"version": "\(.*\)",$/\1/p' web/package/package.json)"
wrong=$(printf '%s\n%s\n' "$crates" "$npm" | grep -E '^(singer-vit|singer-python|web/)' | grep -v " $1\$" || true)
[ -z "$wrong" ] || { echo "version.sh: not of version $1: $wrong" >&2; exit 1; }
grep -q "^## \[\?$1\]\?" CHANGELOG.md || { echo "version.sh: CHANGELOG.md has no section $1" >&2; exit 1; }
