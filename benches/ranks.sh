#!/usr/bin/env bash
# Times training over ranks: images/s of one process and of two ranks on two CPU cores, the sum of
# gradients by size, and, as root on Linux, that sum over a network of limited bandwidth.
# `bash benches/ranks.sh [scaling|sum|network]...`, with Open MPI; all three by default. SINGER and
# SUM name programs that are built already, QUIET a command that each measurement runs under.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${SINGER:-}" ] || [ -z "${SUM:-}" ]; then
    cargo build --release --features mpi --bin singer --example sum_over_ranks
    target="${CARGO_TARGET_DIR:-target}/release"
    SINGER="$target/singer" SUM="$target/examples/sum_over_ranks"
fi
SINGER="$(realpath "$SINGER")" SUM="$(realpath "$SUM")"
QUIET="${QUIET:-}"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
folder="$(mktemp -d)"
networks() { ip netns del singer-a; ip netns del singer-b; }
trap 'rm -rf "$folder"; networks 2> /dev/null || true' EXIT

# ViT-S/16 to ViT-T/16 at 224 pixels, batches of 8 images; the last two of four steps count.
train() {
    local name="$1" threads="$2"
    shift 2
    rm -rf "$folder/run"
    local flags=(distill --teacher "$folder/teacher/model.safetensors" --student vit_tiny_patch16_224 --method fitnet
        --data scenes:64 --batch 8 --steps 4 --device cpu --workers 1 --out "$folder/run"
        --set "train.threads=$threads" --set train.log_every=2)
    # shellcheck disable=SC2086 # QUIET is a command.
    $QUIET "$@" "$SINGER" "${flags[@]}" > "$folder/log"
    echo "$name: $(grep -o '[0-9.]* images/s' "$folder/log" | tail -n 1)"
}

scaling() {
    "$SINGER" --quiet pretrain --model vit_small_patch16_224 --data scenes:8 --batch 2 --steps 1 --device cpu \
        --out "$folder/teacher" > /dev/null
    for _ in 1 2 3; do
        train "1 rank of 1 thread" 1 env RAYON_NUM_THREADS=1
        train "2 ranks of 1 thread" 1 mpirun -n 2 --bind-to none env RAYON_NUM_THREADS=1
        train "1 rank of 2 threads" 2 env RAYON_NUM_THREADS=2
    done
}

sum() {
    # shellcheck disable=SC2086
    $QUIET mpirun -n 2 --bind-to none "$SUM"
    # shellcheck disable=SC2086
    $QUIET mpirun -n 4 --oversubscribe --bind-to none "$SUM"
}

# Two network namespaces, each a machine of its own to MPI.
network() {
    networks 2> /dev/null || true
    ip netns add singer-a
    ip netns add singer-b
    ip -n singer-a link add eth0 type veth peer name eth0 netns singer-b
    ip -n singer-a address add 10.203.0.1/24 dev eth0
    ip -n singer-b address add 10.203.0.2/24 dev eth0
    for name in singer-a singer-b; do
        ip -n $name link set lo up
        ip -n $name link set eth0 up
    done
    # What starts Open MPI's daemon on the other machine.
    printf '#!/bin/sh\nshift\nexec ip netns exec singer-b unshare --uts sh -c "hostname singer-b; $*"\n' > "$folder/agent"
    chmod +x "$folder/agent"
    for rate in none 10gbit 1gbit; do
        for name in singer-a singer-b; do
            ip netns exec $name tc qdisc del dev eth0 root 2> /dev/null || true
            [ $rate = none ] || ip netns exec $name tc qdisc add dev eth0 root tbf rate $rate burst 1mb latency 50ms
        done
        echo "network of rate: $rate"
        # shellcheck disable=SC2086
        $QUIET ip netns exec singer-a mpirun -n 2 --host 10.203.0.1:1,10.203.0.2:1 --mca plm_rsh_agent "$folder/agent" \
            --mca btl tcp,self --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 --bind-to none "$SUM"
    done
}

[ $# -gt 0 ] || set -- scaling sum network
for part in "$@"; do "$part"; done
