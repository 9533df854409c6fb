#!/usr/bin/env bash
# Tests the page of web/dist in headless Chromium, whose WebGPU runs in software.
set -euo pipefail
cd "$(dirname "$0")"

if ! [ -x "${SINGER_CHROMIUM:-/usr/bin/chromium}" ]; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -q
    $sudo apt-get install -y -q chromium
fi
[ -d node_modules ] || npm ci --silent --no-audit --no-fund
exec node --test --test-concurrency=1 "$@"
