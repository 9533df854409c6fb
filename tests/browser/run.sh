#!/usr/bin/env bash
# Builds the page with its engine in the profile `web-test` and tests it in headless
# Chromium, whose WebGPU runs in software.
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
    target="${SINGER_WEB_TARGET:-${CARGO_TARGET_DIR:-$PWD/../../target}/web}"
    export SINGER_WEB_DIST="$target/test-dist"
    SINGER_WEB_PROFILE=web-test ../../web/build.sh "$SINGER_WEB_DIST"
fi
[ -x "${SINGER_CHROMIUM:-/usr/bin/chromium}" ] || install chromium
[ -d node_modules ] || npm ci --silent --no-audit --no-fund
exec node --test --test-concurrency=1 "$@"
