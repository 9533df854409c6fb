#!/usr/bin/env bash
# Makes web/dist, the static page with its engine, from a clean checkout.
#
#     web/build.sh [FOLDER]
#
# WebAssembly's standard library comes from rustup's target where that is
# installed, else from the source that Debian's rust-web-src holds.
# SINGER_WEB_PROFILE=web-test builds what the tests load: sooner, but larger and slower.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
export CARGO_TARGET_DIR="${SINGER_WEB_TARGET:-${CARGO_TARGET_DIR:-$PWD/target}/web}"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=+simd128"
profile="${SINGER_WEB_PROFILE:-web}"
dist="${1:-web/dist}"

cargo=cargo
std=()
if ! rustc --print target-libdir --target "$target" 2>/dev/null | xargs -r test -d; then
    source=/usr/lib/rustlib/src/rust/library
    linker=$(command -v wasm-ld || ls /usr/bin/wasm-ld-* 2>/dev/null | sort -V | tail -n 1)
    if [ ! -d "$source" ] || [ ! -x /usr/bin/cargo ] || [ -z "$linker" ]; then
        echo "web/build.sh: no standard library for $target: run \`rustup target add $target\`," \
            "or on Debian \`apt-get install rustc-web cargo-web rust-web-src lld-19\`" >&2
        exit 1
    fi
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker"
    cargo=/usr/bin/cargo
    std=(-Zbuild-std=std,panic_abort)
fi
"$cargo" build "${std[@]}" --locked --profile "$profile" --package singer-web --target "$target"
"$cargo" build --locked --profile web-test --package singer-bindgen

rm -rf "$dist"
mkdir -p "$dist"
cp -r web/page/. "$dist"
cp -r web/models "$dist/models"
"$CARGO_TARGET_DIR/web-test/singer-bindgen" "$CARGO_TARGET_DIR/$target/$profile/singer_web.wasm" "$dist/pkg"
cp web/package/package.json web/package/README.md "$dist/pkg"
# What the service worker keeps for use without a network.
(
    cd "$dist"
    find . -type f ! -name files.json ! -name '*.d.ts' -printf '%P\n' | sort | xargs sha256sum |
        sed 's/^\([0-9a-f]*\)  \(.*\)$/{"path":"\2","sha256":"\1"}/' | paste -sd , | sed 's/.*/[&]/'
) >"$dist/files.json"
sed -i "s/^const VERSION = .*/const VERSION = \"$(sha256sum <"$dist/files.json" | cut -c 1-16)\";/" "$dist/sw.js"
du -h "$dist/pkg/singer_web_bg.wasm"
