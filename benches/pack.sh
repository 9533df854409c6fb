#!/usr/bin/env bash
# Makes the archive from which benches/gpu.sh runs on a machine that cannot build:
#
#   bash benches/pack.sh [FILE]      # default: target/gpu-check.tar.xz, at most 60 MiB
#
# On the other machine: from a checkout `bash benches/gpu.sh --binary FILE`, or without one
# `tar -xf FILE && bash benches/gpu.sh --binary .`.
set -euo pipefail
cd "$(dirname "$0")/.."

file=${1:-target/gpu-check.tar.xz}
mkdir -p "$(dirname "$file")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cargo build --release
parity=$(cargo test --release --no-run --test parity --message-format=json |
    grep -o '"executable":"[^"]*/parity-[^"]*"' | tail -1 | cut -d '"' -f 4)
cp "${CARGO_TARGET_DIR:-target}/release/singer" "$scratch/singer"
cp "$parity" "$scratch/parity"
strip "$scratch/singer" "$scratch/parity"
mkdir -p "$scratch/benches" "$scratch/assets" "$scratch/tests/golden"
cp benches/gpu.sh benches/torch_step.py "$scratch/benches"
cp assets/demo-teacher.safetensors "$scratch/assets"
# What the parity tests of GPUs read.
cp -r tests/golden/{baselines,closed,probe,quantile.json,singer,train,treatments,vit} "$scratch/tests/golden"
# With the filter for machine code, and a dictionary that holds both programs.
tar -C "$scratch" -c . | xz --x86 --lzma2=preset=6,dict=128MiB >"$file"
size=$(stat -c %s "$file")
echo "$file: $((size >> 20)) MiB"
[ "$size" -le $((60 << 20)) ] || { echo "pack.sh: $file is larger than 60 MiB" >&2; exit 1; }
