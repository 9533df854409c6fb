#!/usr/bin/env bash
# Prints the newest version's section of the changelog.
set -euo pipefail
cd "$(dirname "$0")/.."
awk '/^## / { if (found) exit; found = !/Unreleased/; next } found' CHANGELOG.md
