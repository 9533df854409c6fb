#!/usr/bin/env bash
# Builds web/dist and tests it in headless Chromium, whose WebGPU runs in software.
# With SINGER_WEB_DIST, tests that folder. Arguments go to Node's test runner.
set -euo pipefail
cd "$(dirname "$0")"

install() {
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -q
    $sudo apt-get install -y -q "$@"
}

if [ -z "${SINGER_WEB_DIST:-}" ]; then
    if ! rustc --print target-libdir --target wasm32-unknown-unknown 2>/dev/null | xargs -r test -d &&
        [ ! -d /usr/lib/rustlib/src/rust/library ]; then
        install rustc-web cargo-web rust-web-src lld-19
    fi
    ../../web/build.sh
fi
[ -x "${SINGER_CHROMIUM:-/usr/bin/chromium}" ] || install chromium
[ -d node_modules ] || npm ci --silent --no-audit --no-fund
exec node --test --test-concurrency=1 "$@"
