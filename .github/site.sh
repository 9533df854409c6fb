#!/usr/bin/env bash
# Builds the documentation as a site with search, the browser page in it:
#
#   bash .github/site.sh FOLDER [PAGE]      # PAGE: what web/build.sh made
#
# Needs mdbook. Fails where a link within the site leads nowhere.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: site.sh FOLDER [PAGE]" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
page=${2:+$(cd "$2" && pwd)}
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# As they lie in the repository, so that links and pictures hold.
mkdir -p "$scratch/src/assets"
cp README.md CHANGELOG.md CONTRIBUTING.md LICENSE-APACHE LICENSE-MIT "$scratch/src"
cp -r docs "$scratch/src"
cp assets/*.png assets/*.gif assets/*.toml "$scratch/src/assets"
cp assets/README.md "$scratch/src/assets/about.md"
# What the site does not hold is linked in the repository.
repository=https://github.com/singer-vit/singer-vit
sed -i -E -e 's#\]\((\.\./)?assets/README\.md#](\1assets/about.md#g' \
    -e "s#\]\(\.\./((src|web|tests|examples|benches|python|shaders)/[^)]*)#](${repository}/blob/main/\1#g" "$scratch"/src/docs/*.md
sed -i -E -e 's#\]\(assets/README\.md#](assets/about.md#g' \
    -e "s#\]\(((src|web|tests|examples|benches|python|shaders)/[^)]*)#](${repository}/blob/main/\1#g" "$scratch"/src/*.md
title() { sed -n '/^# /{s/^# //p;q}' "$1"; }
{
    echo "# Summary"
    echo
    echo "[singer](README.md)"
    echo
    for file in distill data models settings inspect nullspace recovery probes study results speed shaders web python tracking cluster; do
        [ -e "docs/$file.md" ] && echo "- [$(title "docs/$file.md")](docs/$file.md)"
    done
    echo "- [Contributing](CONTRIBUTING.md)"
    echo "- [$(title CHANGELOG.md)](CHANGELOG.md)"
    echo "- [Assets](assets/about.md)"
} >"$scratch/src/SUMMARY.md"
missing=$(comm -13 <(grep -o 'docs/[a-z]*\.md' "$scratch/src/SUMMARY.md" | sort) <(printf '%s\n' docs/*.md | sort))
[ -z "$missing" ] || { echo "site.sh: not in the list of chapters: $missing" >&2; exit 1; }
cat >"$scratch/book.toml" <<'BOOK'
[book]
title = "singer"
language = "en"

[output.html]
git-repository-url = "https://github.com/singer-vit/singer-vit"
BOOK
mdbook build --dest-dir "$folder" "$scratch"
[ -z "$page" ] || cp -r "$page" "$folder/page"
python3 .github/links.py "$folder"
