#!/usr/bin/env bash
# Installs what the tests need and runs them all; with arguments, those of the
# library and the program that `cargo test` finds by them. The build is that of
# `cargo run --release`: same features, same profile.
set -euo pipefail
cd "$(dirname "$0")/.."

icd_folders=(/usr/share/vulkan/icd.d /etc/vulkan/icd.d)
if ! find "${icd_folders[@]}" -name 'lvp_icd*' 2>/dev/null | grep -q .; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -q
    $sudo apt-get install -y -q mesa-vulkan-drivers
fi
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
cargo test --release "$@"
if [ $# = 0 ]; then
    SINGER_BIN="${CARGO_TARGET_DIR:-$PWD/target}/release/singer" bash tests/browser/run.sh
fi
