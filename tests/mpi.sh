#!/usr/bin/env bash
# Runs the tests of training over the ranks of an MPI job, with what MPI is installed, else with
# Open MPI, which it installs. The feature builds one small crate more, and nothing anew but this one.
set -euo pipefail
cd "$(dirname "$0")/.."

if cargo tree --locked --edges normal,build --prefix none | grep '^ferrompi '; then
    echo "a build with default features depends on MPI" >&2
    exit 1
fi
if ! command -v "${SINGER_MPIRUN:-mpirun}" > /dev/null || ! command -v "${MPICC:-mpicc}" > /dev/null; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -q
    $sudo apt-get install -y -q openmpi-bin libopenmpi-dev
fi
cargo test --release --features mpi --test program -- ranks::mpi "$@"
