#!/usr/bin/env bash
# Checks and measures singer on this machine's GPU: devices, golden parity, shaders, training
# steps beside PyTorch's, memory, the first start, a loss curve against the CPU's, two processes.
#
#   bash benches/gpu.sh [--binary PATH] [--out DIR] [--time SECONDS] [--device NAME]
#                       [--parts NAME,NAME...] [--small]
#
# --binary  a `singer`, a folder with it and the parity tests, or an archive of benches/pack.sh;
#           by default both are built here
# --out     where results.json and results.md go (default: $OUT, else gpu-results)
# --time    what all parts may take together (default 460)
# --device  as `singer --device` (default gpu; with --small: software)
# --parts   only these
# --small   tiny sizes, to test this script
#
# PyTorch is measured where SINGER_PYTHON (default python3) has torch and timm. Parts come in
# order of worth; results are written after each, so a run that is cut off keeps what it has.
# The exit code is 1 where a part failed or took longer than it may.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
binary="" out="${OUT:-gpu-results}" seconds=460 device="" only="" small=""
while [ $# -gt 0 ]; do
    case $1 in
        --small) small=1; shift; continue ;;
        --binary | --out | --time | --device | --parts) ;;
        *) echo "gpu.sh: unknown argument $1" >&2; exit 2 ;;
    esac
    [ $# -gt 1 ] || { echo "gpu.sh: $1 needs a value" >&2; exit 2; }
    case $1 in
        --binary) binary=$2 ;;
        --out) out=$2 ;;
        --time) seconds=$2 ;;
        --device) device=$2 ;;
        --parts) only=$2 ;;
    esac
    shift 2
done
[ -n "$device" ] || { [ -n "$small" ] && device=software || device=gpu; }

scratch=$(mktemp -d)
sampler=""
finish() {
    # A subshell that is ended at once still has these traps.
    [ "$BASHPID" = $$ ] || return 0
    [ -z "$sampler" ] || kill "$sampler" 2>/dev/null
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() { echo "gpu.sh: $1" >&2; exit 1; }

# Sets `singer` and, where there is one, `parity`.
parity=""
if [ -z "$binary" ]; then
    cd "$root"
    cargo build --release || fail "singer does not build"
    built=$(cargo test --release --no-run --test parity --message-format=json | grep -o '"executable":"[^"]*/parity-[^"]*"' | tail -1)
    parity=$(cut -d '"' -f 4 <<<"$built")
    singer=${CARGO_TARGET_DIR:-$root/target}/release/singer
elif [ -d "$binary" ]; then
    singer=$binary/singer parity=$binary/parity
elif tar -tf "$binary" >"$scratch/listing" 2>/dev/null; then
    mkdir "$scratch/archive"
    tar -xf "$binary" -C "$scratch/archive" || fail "$binary cannot be unpacked"
    singer=$scratch/archive/singer parity=$scratch/archive/parity
else
    singer=$binary
fi
[ -x "$singer" ] || fail "$singer is no program"
singer=$(realpath "$singer")
[ -x "$parity" ] && parity=$(realpath "$parity") || parity=""
mkdir -p "$out/parts" || fail "$out cannot be made"
out=$(realpath "$out")
# The parity tests and the teacher are files of the repository.
cd "$root"

python=${SINGER_PYTHON:-python3}
"$python" -c 'import torch, timm' 2>/dev/null || python=""
cuda=cpu
[ -n "$python" ] && [ "$device" != software ] &&
    "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' && cuda=cuda
# What is kept between starts starts empty.
export XDG_CACHE_HOME=$scratch/cache XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
mkdir -p "$XDG_CACHE_HOME"

# A value of a pretty-printed JSON file by its path (step.median_s); elements of arrays have no
# path of their own.
value() {
    awk -v wanted="$2" '
        match($0, /^ *"[^"]+": /) {
            depth = index($0, "\"") / 2
            key = substr($0, index($0, "\"") + 1, RLENGTH - index($0, "\"") - 3)
            path[depth] = depth > 1.5 ? path[depth - 1] "." key : key
            if (path[depth] == wanted) {
                text = substr($0, RLENGTH + 1)
                sub(/,$/, "", text)
                gsub(/"/, "", text)
                if (text !~ /[[{]$/) print text
            }
        }' "$1"
}

# MiB of the first GPU that are in use, where the system tells.
used_memory() {
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -i 0 2>/dev/null && return
    local file
    for file in /sys/class/drm/card*/device/mem_info_vram_used; do
        [ -r "$file" ] && { echo $(($(cat "$file") >> 20)); return; }
    done
    echo 0
}

watch_memory() {
    local most=0 now
    while :; do
        now=$(used_memory)
        [ "$now" -gt "$most" ] && most=$now && echo "$most" >"$scratch/most"
        sleep 0.1
    done
}

started=$SECONDS
names=()
failed=0

# part NAME LIMIT COMMAND...: the command's standard output is the part's result in JSON.
part() {
    local name=$1 limit=$2 status=ok began=$SECONDS left before most code
    shift 2
    [ -z "$only" ] || [[ ",$only," == *",$name,"* ]] || return 0
    local files=$out/parts/$name
    left=$((seconds - (SECONDS - started)))
    rm -f "$files".*
    if [ "$left" -lt 3 ]; then
        status="no time left"
    else
        before=$(used_memory)
        echo "$before" >"$scratch/most"
        watch_memory &
        sampler=$!
        timeout --kill-after=5 $((limit < left ? limit : left)) "$@" >"$files.out" 2>"$files.err" </dev/null
        code=$?
        kill "$sampler" 2>/dev/null
        wait "$sampler" 2>/dev/null
        sampler=""
        most=$(cat "$scratch/most")
        case $code in
            0) ;;
            124 | 137) status="timed out" ;;
            *) status=failed ;;
        esac
        [ "$status" = ok ] || failed=1
        echo "$((most - before))" >"$files.memory"
    fi
    {
        printf '{\n  "name": "%s",\n  "status": "%s",\n  "seconds": %d,\n' "$name" "$status" $((SECONDS - began))
        printf '  "device_memory_mib": %s,\n' "$(cat "$files.memory" 2>/dev/null || echo null)"
        printf '  "message": "%s",\n  "result": ' "$(grep -v '^note:' "$files.err" 2>/dev/null | tail -n 1 | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"
        [ "$status" = ok ] && sed '2,$s/^/  /' "$files.out" || echo null
        echo '}'
    } >"$files.json"
    rm -f "$files.out" "$files.memory"
    names+=("$name")
    echo "$name: $status, $((SECONDS - began)) s"
    write
}

write() {
    {
        printf '{\n"date": "%s",\n"system": "%s",\n"processors": %d,\n"device": "%s",\n"parts": [\n' \
            "$(date -u +%Y-%m-%dT%H:%MZ)" "$(uname -sr)" "$(nproc)" "$device"
        local name comma=""
        for name in "${names[@]}"; do
            printf '%s' "$comma"
            cat "$out/parts/$name.json"
            comma=,
        done
        printf ']\n}\n'
    } >"$scratch/results.json" && mv "$scratch/results.json" "$out/results.json"
    table >"$scratch/results.md" && mv "$scratch/results.md" "$out/results.md"
}

rounded() { [ -n "$1" ] && [ "$1" != null ] && printf "%.${2}g" "$1" || printf -- -; }

table() {
    local name file about
    echo "| part | status | s | step, images/s | teacher, images/s | GPU MiB | host MiB | |"
    echo "|---|---|---|---|---|---|---|---|"
    for name in "${names[@]}"; do
        file=$out/parts/$name.json
        case $name in
            devices) about=$(grep -o '"name": "[^"]*"' "$file" | sed -n 2p | cut -d '"' -f 4) ;;
            parity*) about="$(value "$file" result.passed) passed, $(value "$file" result.failed) failed; largest difference $(value "$file" result.largest_difference_f32) in f32, relative $(value "$file" result.largest_relative_difference_f16) in f16" ;;
            shaders) about=$(shares "$file") ;;
            curve*) about="largest relative difference of the loss $(value "$file" result.largest_relative_difference)" ;;
            processes) about="images/s of each: $(rounded "$(value "$file" result.first.images_per_second)" 4), $(rounded "$(value "$file" result.second.images_per_second)" 4)" ;;
            step*) about="$(value "$file" result.device), first step $(rounded "$(value "$file" result.step.first_s)" 3) s" ;;
            *) about=$(value "$file" result.device) ;;
        esac
        [ "$(value "$file" status)" = ok ] || about=$(value "$file" message)
        printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "$name" "$(value "$file" status)" "$(value "$file" seconds)" \
            "$(rounded "$(value "$file" result.step.images_per_second)" 4)" \
            "$(rounded "$(value "$file" result.teacher_forward.images_per_second)" 4)" \
            "$(value "$file" device_memory_mib)" \
            "$(rounded "$(value "$file" result.peak_memory_mib)" 6)" "$about"
    done
}

# Each shader's share of the copy's bandwidth.
shares() {
    awk '/"name": / { split($0, part, "\""); name = part[4] }
         /"share_of_copy": / { sub(/.*: /, ""); printf "%s%s %.0f %%", sep, name, 100 * $0; sep = ", " }' "$1"
}

# Golden tensors on the device; the tests print the largest difference of each model.
parity() {
    local log=$scratch/parity.log
    env SINGER_TEST_DEVICE="$device" "$parity" $1 --nocapture >"$log" 2>&1
    local code=$?
    cp "$log" "$out/parts/parity.log"
    [ $code = 0 ] || grep -E 'panicked|differs' -A 1 "$log" | head -4 >&2
    awk '/^test result/ { passed = $4; failed = $6 }
         /largest difference/ { if ($NF + 0 > f32 + 0) f32 = $NF }
         /largest relative difference/ { if ($NF + 0 > f16 + 0) f16 = $NF }
         END { printf "{\n  \"passed\": %d,\n  \"failed\": %d,\n  \"largest_difference_f32\": %s,\n  \"largest_relative_difference_f16\": %s\n}\n",
                      passed, failed, f32 == "" ? "null" : f32 + 0, f16 == "" ? "null" : f16 + 0 }' "$log"
    grep -q '^test result: ok. [1-9]' "$log" || { echo "no test passed" >&2; code=1; }
    return $code
}

# The same run on the device and on the CPU; within 2 % everywhere.
curve() { # curve STEPS BATCH NAME ARGUMENTS-OF-THE-DEVICE...
    local where steps=$1 batch=$2
    shift 2
    for where in "$device" cpu; do
        "$singer" distill --teacher assets/demo-teacher.safetensors --student vit_tiny_patch16_224 \
            --data scenes:2000 --layers 3 --rank 16 --steps "$steps" --set device="$where" \
            --set student.embed_dim=64 --set student.depth=6 --set student.num_heads=2 \
            --set train.batch="$batch" --set train.log_every=2 --set seed=0 --out "$scratch/curve-$1-$where" \
            $([ "$where" = cpu ] || echo "${@:2}") >"$scratch/$where.log" 2>&1 || {
            tail -n 1 "$scratch/$where.log" >&2
            return 1
        }
    done
    awk -v steps="$steps" '
        { match($0, /"loss":[^,}]*/); loss = substr($0, RSTART + 7, RLENGTH - 7)
          match($0, /"step":[0-9]*/); step = substr($0, RSTART + 7, RLENGTH - 7) }
        FNR == NR { cpu[step] = loss; next }
        step in cpu { count++; gap = (loss - cpu[step]) / cpu[step]; gap = gap < 0 ? -gap : gap
                      if (gap > worst) worst = gap; ours = loss; theirs = cpu[step] }
        END { printf "{\n  \"steps\": %d,\n  \"compared\": %d,\n  \"largest_relative_difference\": %.3g,\n  \"last_loss\": %.6g,\n  \"last_loss_on_cpu\": %.6g\n}\n",
                     steps, count, worst, ours, theirs
              exit !(count > 1 && worst <= 0.02) }' \
        "$scratch/curve-$1-cpu/metrics.jsonl" "$scratch/curve-$1-$device/metrics.jsonl"
}

# Two processes at once on the device.
processes() {
    local first second
    "$singer" bench --device "$device" --step-only "$@" >"$scratch/first" &
    first=$!
    "$singer" bench --device "$device" --step-only "$@" >"$scratch/second" &
    second=$!
    wait $first && wait $second || return 1
    local name
    echo "{"
    for name in first second; do
        printf '  "%s": {\n    "images_per_second": %s\n  }%s\n' "$name" \
            "$(value "$scratch/$name" step.images_per_second)" "$([ $name = first ] && echo ,)"
    done
    echo "}"
}

# A function as a command that `timeout` can end.
export singer parity device scratch out
inside() { declare -f value "$1" >"$scratch/$1.sh"; echo ". '$scratch/$1.sh'; $1 \"\$@\""; }

step() { # step NAME LIMIT PRECISION ARGUMENTS...
    local name=$1 limit=$2 precision=$3
    shift 3
    part "$name" "$limit" "$singer" bench --verbose --device "$device" --step-only --precision "$precision" "$@"
}

torch() { # torch NAME LIMIT ARGUMENTS...
    [ -n "$python" ] || return 0
    part "$1" "$2" "$python" "$root/benches/torch_step.py" --device "$cuda" "${@:3}"
}

part devices 30 "$singer" devices --json
if [ -n "$small" ]; then
    tiny=(--teacher vit_small_patch32_224 --student vit_tiny_patch16_224 --batch 2 --runs 1 --rank 8)
    [ -z "$parity" ] || part parity 300 bash -c "$(inside parity)" - "on_gpu::every_block"
    step step-tiny-auto 300 auto "${tiny[@]}"
    torch torch-tiny-bf16 120 --precision bf16 "${tiny[@]}"
    step step-tiny-auto-again 300 auto "${tiny[@]}"
    part shaders 120 "$singer" bench-shaders --device "$device" --images 1 --tokens 20 --dim 32 --rank 8 --runs 1 --repeats 1
    part curve 300 bash -c "$(inside curve)" - 4 4 f32 --precision f32
    part processes 300 bash -c "$(inside processes)" - "${tiny[@]}"
else
    large=(--teacher vit_large_patch16_224 --batch 64)
    to_tiny=("${large[@]}" --student vit_tiny_patch16_224)
    to_small=("${large[@]}" --student vit_small_patch16_224)
    small_tiny=(--teacher vit_small_patch16_224 --student vit_tiny_patch16_224 --batch 64)
    step step-large-tiny-auto 120 auto "${to_tiny[@]}"
    torch torch-large-tiny-bf16 60 --precision bf16 "${to_tiny[@]}"
    step step-small-tiny-auto 60 auto "${small_tiny[@]}"
    torch torch-small-tiny-bf16 40 --precision bf16 "${small_tiny[@]}"
    [ -z "$parity" ] || part parity 120 bash -c "$(inside parity)" - "on_gpu a_frozen"
    # What the first start spent on compiling kernels, this one does not.
    step step-large-tiny-auto-again 60 auto "${to_tiny[@]}"
    part shaders 60 "$singer" bench-shaders --device "$device"
    part curve 60 bash -c "$(inside curve)" - 200 32 f32 --precision f32
    step step-large-small-auto 90 auto "${to_small[@]}"
    torch torch-large-small-bf16 40 --precision bf16 "${to_small[@]}"
    part processes 60 bash -c "$(inside processes)" - "${small_tiny[@]}"
    part curve-auto 60 bash -c "$(inside curve)" - 200 32 auto --precision auto
    step step-large-tiny-f32 90 f32 "${to_tiny[@]}"
    torch torch-large-tiny-f32 40 --precision f32 "${to_tiny[@]}"
    torch torch-large-tiny-bf16-compiled 90 --precision bf16 --compile "${to_tiny[@]}"
    step step-large-tiny-f16 90 f16 "${to_tiny[@]}"
    step step-small-tiny-f32 60 f32 "${small_tiny[@]}"
    torch torch-small-tiny-f32 40 --precision f32 "${small_tiny[@]}"
    torch torch-small-tiny-bf16-compiled 90 --precision bf16 --compile "${small_tiny[@]}"
    step step-small-tiny-f16 60 f16 "${small_tiny[@]}"
    step step-large-small-f32 90 f32 "${to_small[@]}"
    torch torch-large-small-f32 40 --precision f32 "${to_small[@]}"
    torch torch-large-small-bf16-compiled 90 --precision bf16 --compile "${to_small[@]}"
    step step-large-small-f16 60 f16 "${to_small[@]}"
    torch torch-large-tiny-f32-compiled 90 --precision f32 --compile "${to_tiny[@]}"
fi
echo "wrote $out/results.json and $out/results.md"
exit $failed
