#!/usr/bin/env bash
# The tests of models, shaders and training steps through the kernels that real GPUs get, SPIR-V and
# cooperative matrices, on a software Vulkan that has both: Mesa 26 from Debian's backports, in a
# chroot that stays in the cache folder. Exits with 77 where the chroot cannot be had: it needs root
# and Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."

root="${XDG_CACHE_HOME:-$HOME/.cache}/singer-vit/mesa/root"
target="$(realpath -m "${CARGO_TARGET_DIR:-target}")"
limit="${SINGER_VULKAN_LIMIT:-900}" # seconds for each part

skip() {
    echo "tests/vulkan.sh: nothing was tested: $1" >&2
    exit 77
}
fail() {
    echo "tests/vulkan.sh: $1" >&2
    exit 1
}

[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] || skip "the chroot needs root on Linux"
unshare --mount true 2>/dev/null || skip "mounts are not allowed here"

make_root() {
    local part="$root.part" mirror
    if ! command -v debootstrap >/dev/null; then
        apt-get update -q && apt-get install -y -q debootstrap debian-archive-keyring || skip "no debootstrap"
    fi
    rm -rf "$part"
    mkdir -p "$part"
    # apt's own mirror where it is one of Debian, else debootstrap's.
    mirror="$(apt-get indextargets --format '$(SITE)' | grep -m1 '/debian/*$' || true)"
    debootstrap --variant=minbase --include=libvulkan1 trixie "$part" ${mirror:+"$mirror"} || skip "debootstrap failed"
    sed -n 's/ trixie / trixie-backports /p' "$part/etc/apt/sources.list" >"$part/etc/apt/sources.list.d/backports.list"
    apt-config dump Acquire | grep -i 'proxy\|check-' >"$part/etc/apt/apt.conf.d/host" || true
    cp /etc/resolv.conf "$part/etc/resolv.conf"
    chroot "$part" apt-get update -q || skip "no package lists"
    chroot "$part" apt-get install -y -q --no-install-recommends -t trixie-backports mesa-vulkan-drivers ||
        skip "no Mesa in the backports"
    mv "$part" "$root"
}
[ -d "$root" ] || make_root

# The build of the other tests, the program with them; the chroot's C library is newer than any that
# they are built with.
built="$(cargo test --release --no-run --lib --test library --test parity --test shaders 2>&1)" || {
    echo "$built"
    fail "the tests do not build"
}
binary() { sed -n "s|.*Executable .*$1 (\(.*\))|\1|p" <<<"$built" | head -n 1; }

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp "$target/release/singer" "$work/singer"
mkdir -p "$root/../shaders"
# Runs a command in the chroot, where this folder and the build are in their places and $work is
# /tmp. What Mesa compiles is kept, as it takes up to a minute for a kernel of matrix units.
inside() {
    timeout "$limit" unshare --mount bash -euc '
        root="$1" work="$2" here="$3" target="$4"
        shift 4
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount --bind "$work" "$root/tmp"
        # After /tmp, in which both may lie.
        mkdir -p "$root$here" "$root$target"
        mount --bind "$here" "$root$here"
        mount --bind "$target" "$root$target"
        mount --bind "$root/../shaders" "$root/mnt"
        exec chroot "$root" env -C "$here" HOME=/tmp XDG_CACHE_HOME=/tmp/cache \
            XDG_RUNTIME_DIR=/tmp MESA_SHADER_CACHE_DIR=/mnt "$@"
    ' - "$root" "$work" "$PWD" "$target" "$@"
}

# Runs those tests of a binary that a filter finds; none is a failure.
tests() {
    inside "$(binary "$1")" "${@:2}" | tee "$work/tests"
    grep -q '^test .* ok$' "$work/tests" || fail "no test of $1 is called ${*:2}"
}

echo "== the device"
devices="$(inside /tmp/singer devices)"
echo "$devices"
grep -q 'SPIR-V' <<<"$devices" || fail "the kernels are not compiled to SPIR-V"
grep -q 'f16->f32: [0-9]*x[0-9]*x[0-9]*' <<<"$devices" || fail "no matrix unit sums f16 in f32"

echo "== the self-test, borrowed buffers and the operations of a transformer"
tests tests/library.rs device::
tests src/lib.rs interop:: ops::tests::

echo "== models and the paper's losses against the reference implementation"
tests tests/parity/main.rs on_gpu

echo "== the shaders beside burn and f64"
tests tests/shaders/main.rs agreement:: step::

# Three steps of a small model, whose MLP is wide enough that burn prefers matrix units for products
# of halves; the losses of the second and third depend on gradients. The log has each kernel's code.
train() {
    inside env CUBECL_DEBUG_LOG="/tmp/$1-$2.log" /tmp/singer pretrain --model vit_tiny_patch16_224 \
        --set model.img_size=32 --set model.patch_size=4 --set model.embed_dim=128 \
        --set model.depth=1 --set model.num_heads=2 --data scenes:16 --batch 8 --steps 3 \
        --set train.log_every=1 --device "$1" --precision "$2" --out "/tmp/$1-$2"
}
losses() { sed 's/.*"loss":\([^,]*\),.*/\1/' "$work/$1/metrics.jsonl"; }
# The largest relative difference to the CPU's losses.
difference() {
    paste <(losses cpu-f32) <(losses "$1") | awk '
        { off = ($2 - $1) / $1; off = off < 0 ? -off : off; most = off > most ? off : most; rows++ }
        END { print rows == 3 ? most + 0 : "none" }'
}
matrix_products() { grep -c OpCooperativeMatrixMulAddKHR "$work/$1.log" || true; }

echo "== training steps"
train cpu f32
for run in f32:1e-4 f16:2e-3; do
    precision="${run%:*}" most="${run#*:}"
    train software "$precision"
    off="$(difference "software-$precision")"
    echo "$precision: losses differ from the CPU's by $off at most; $most is allowed"
    awk -v off="$off" -v most="$most" 'BEGIN { exit !(off != "none" && off + 0 <= most) }' ||
        fail "training in $precision does not follow the CPU"
done
plain="$(matrix_products software-f32)" halves="$(matrix_products software-f16)"
echo "cooperative-matrix products in the compiled kernels: $plain in f32, $halves in f16"
[ "$plain" = 0 ] || fail "f32 used matrix units, so the count tells nothing"
[ "$halves" -gt 0 ] || fail "no product of halves used matrix units"

cat <<END
Exercised: the SPIR-V compiler throughout; matrix units by products of halves with a side of 512 or
more, in the self-test and in an MLP's forward and backward pass. Not exercised: f32 products have
no matrix units here, attention's products are too small for them, and autotune takes the first
kernel that works on a software device, so the other kernels for matrix units never run.
END
