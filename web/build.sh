#!/usr/bin/env bash
# Makes web/dist, the static page with its engine, from a clean checkout.
#
# WebAssembly's standard library comes from rustup's target where that is
# installed, else from the source that Debian's rust-web-src holds.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
export CARGO_TARGET_DIR="${SINGER_WEB_TARGET:-${CARGO_TARGET_DIR:-$PWD/target}/web}"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=+simd128"
tools="$CARGO_TARGET_DIR/tools"
dist="${1:-web/dist}"

build=(cargo build)
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
    build=(/usr/bin/cargo build -Zbuild-std=std,panic_abort)
fi
"${build[@]}" --locked --profile web --package singer-web --target "$target"

# The command that writes the JavaScript must be of the library's own version.
version=$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
bindgen="$tools/wasm-bindgen-$version/bin/wasm-bindgen"
if [ ! -x "$bindgen" ]; then
    env -u RUSTC -u RUSTC_BOOTSTRAP CARGO_TARGET_DIR="$tools/target" cargo install --quiet \
        wasm-bindgen-cli --version "=$version" --root "$tools/wasm-bindgen-$version"
fi

rm -rf "$dist"
mkdir -p "$dist"
cp -r web/page/. "$dist"
cp -r web/models "$dist/models"
"$bindgen" --target web --remove-name-section --remove-producers-section --out-dir "$dist/pkg" "$CARGO_TARGET_DIR/$target/web/singer_web.wasm"
cp web/package/package.json web/package/README.md "$dist/pkg"
# What the service worker keeps for use without a network.
(
    cd "$dist"
    find . -type f ! -name files.json ! -name '*.d.ts' -printf '%P\n' | sort | xargs sha256sum |
        sed 's/^\([0-9a-f]*\)  \(.*\)$/{"path":"\2","sha256":"\1"}/' | paste -sd , | sed 's/.*/[&]/'
) >"$dist/files.json"
sed -i "s/^const VERSION = .*/const VERSION = \"$(sha256sum <"$dist/files.json" | cut -c 1-16)\";/" "$dist/sw.js"
du -h "$dist/pkg/singer_web_bg.wasm"
