#!/usr/bin/env bash
# Runs a study as a job array and a training on two ranks in a Slurm that it starts on this
# machine, with what is installed, else with Debian's packages. Ends with 77 where Slurm does not
# start here, and says why. `bash tests/slurm.sh SINGER` takes a program that is built with `mpi`.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v slurmd > /dev/null || ! command -v slurmctld > /dev/null || ! command -v munged > /dev/null; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -q
    $sudo apt-get install -y -q --no-install-recommends slurm-wlm munge
fi
singer="${1:-}"
if [ -z "$singer" ]; then
    cargo build --release --features mpi
    singer="${CARGO_TARGET_DIR:-target}/release/singer"
fi
singer="$(realpath "$singer")"

folder="$(mktemp -d)"
daemons=()
stop() {
    timeout 5 scancel --signal=KILL --user "$(id -un)" 2> /dev/null || true
    for _ in $(seq 25); do
        [ -n "$(timeout 5 squeue -h 2> /dev/null)" ] || break
        sleep 0.2
    done
    for id in "${daemons[@]}"; do { kill -KILL "$id" && wait "$id"; } 2> /dev/null || true; done
}
end() {
    local code=$?
    [ $code = 0 ] || tail -n 20 "$folder"/*.log "$folder"/job-* >&2 2> /dev/null || true
    stop
    rm -rf "$folder"
    exit $code
}
trap end EXIT
cd "$folder"
mkdir state spool
head -c 1024 /dev/urandom > munge.key
chmod 600 munge.key
export SLURM_CONF="$folder/slurm.conf"
cat > slurm.conf << END
ClusterName=singer
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthInfo=socket=$folder/munge
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc)
PartitionName=all Nodes=ALL Default=YES OverSubscribe=FORCE:4
END
munged --force --foreground --key-file=munge.key --socket="$folder/munge" --pid-file="$folder/munge.pid" \
    --log-file="$folder/munge.log" --seed-file="$folder/munge.seed" > /dev/null 2>&1 & daemons+=($!)
sleep 1
slurmctld -D > slurmctld.log 2>&1 & daemons+=($!)
slurmd -D > slurmd.log 2>&1 & daemons+=($!)

# Waits for a minute until a command succeeds.
until_() {
    for _ in $(seq 300); do
        if "$@" > /dev/null 2>&1; then return; fi
        sleep 0.2
    done
    echo "slurm.sh: not within a minute: $*" >&2
    return 1
}
is_up() { [ "$(sinfo -h -o %T)" = idle ]; }
if ! until_ is_up; then
    echo "slurm.sh: Slurm does not start on this machine" >&2
    tail -n 5 munge.log slurmctld.log slurmd.log >&2
    trap - EXIT
    stop
    exit 77
fi
state() { scontrol -o show job "$1" | grep -o ' JobState=[A-Z]*' | cut -d= -f2; }
is() { [ "$(state "$1")" = "$2" ]; }
has_lines() { [ "$(wc -l < "$1")" -gt "$2" ]; }

tiny='img_size = 16, patch_size = 4, embed_dim = 16, depth = 3, num_heads = 2'
"$singer" --quiet pretrain --model vit_tiny_patch16_224 --data scenes:16 --batch 8 --steps 1 --device cpu --out teacher \
    --set model.img_size=16 --set model.patch_size=4 --set model.embed_dim=16 --set model.depth=3 --set model.num_heads=2 > /dev/null
cat > study.toml << END
out = "study"
seeds = [0, 1]
devices = ["cpu"]
[base]
data.path = "scenes:64"
teacher.weights = "teacher/model.safetensors"
student = { arch = "vit_tiny_patch16_224", $tiny }
singer = { layers = [1], rank = 4 }
train = { batch = 8, steps = 400, threads = 1, log_every = 1, checkpoint_every = 1 }
[[variant]]
name = "labels"
baseline = true
set = { method = "none" }
[[variant]]
name = "SiNGER"
set = { method = "singer" }
[[probe]]
name = "scenes"
run = ["classify", "--train", "scenes:24", "--test", "scenes:12", "--epochs", "2", "--no-cache"]
metric = [{ name = "top-1 (%)", at = "/result/test/top1", times = 100 }]
END

# An array does a study; a task that is killed goes on where it was when it is requeued.
job="$(sbatch --parsable --requeue --open-mode=append --array=1-4 --output=job-%a \
    --wrap "exec '$singer' study study.toml --job \$SLURM_ARRAY_TASK_ID")"
task="$("$singer" study study.toml --list | awk '/SiNGER, seed 0/ { print $1 }')"
run=study/runs/singer/seed-0
until_ has_lines "$run/metrics.jsonl" 10
id="$(scontrol -o show job "${job}_$task" | grep -o '^JobId=[0-9]*' | cut -d= -f2)"
scontrol listpids "$id" | awk 'NR > 1 { print $1 }' | xargs kill -KILL
until_ is "${job}_$task" FAILED
[ -e "$run/checkpoint.safetensors" ] && [ ! -e "$run/student.safetensors" ]
before="$(wc -l < "$run/metrics.jsonl")"
scontrol requeue "${job}_$task"
# Otherwise it waits two minutes.
scontrol update JobId="${job}_$task" StartTime=now
grep -q 'SiNGER, seed 0: begins' "job-$task"
for one in 1 2 3 4; do until_ is "${job}_$one" COMPLETED; done
grep -q 'SiNGER, seed 0: done' "job-$task"
"$singer" study study.toml --collect > /dev/null
mv study array
"$singer" --quiet study study.toml > /dev/null
for one in labels/seed-{0,1} singer/seed-{0,1}; do
    cmp "array/runs/$one/metrics.jsonl" "study/runs/$one/metrics.jsonl"
done
values() { python3 -c 'import json, sys
print([[cell["values"] for cell in row["cells"]] for row in json.load(open(sys.argv[1]))["rows"]])' "$1/results.json"; }
[ "$(values array)" = "$(values study)" ]
echo "an array of 4 tasks did a study, one killed after $before of 400 steps and requeued; collected, it equals one process's"

if ! srun --mpi=list 2>&1 | grep pmix > /dev/null; then
    echo "srun was not tried: this Slurm has no plugin pmix"
    exit
fi
distill=("$singer" distill --teacher teacher/model.safetensors --student vit_tiny_patch16_224 --data scenes:64 --device cpu
    --batch 7 --set student.embed_dim=8 --set student.depth=3 --set student.num_heads=2 --set train.log_every=1
    --set train.checkpoint_every=1)
"${distill[@]}" --set train.threads=2 --steps 20 --out threads > /dev/null
srun --quiet -n 2 --overcommit --mpi=pmix "${distill[@]}" --set train.threads=1 --steps 20 --out ranks > ranks.log
grep -q '2 ranks, each with 3 or 4 images of a batch of 7' ranks.log
cmp threads/metrics.jsonl ranks/metrics.jsonl
# The signal before a job's end stops the ranks, and what they did is kept.
job="$(sbatch --parsable -n 2 --overcommit --output=job-stopped --wrap "srun --overcommit --mpi=pmix --kill-on-bad-exit=1 \
    $(printf '%q ' "${distill[@]}") --set train.threads=1 --steps 600 --out stopped")"
until_ has_lines stopped/metrics.jsonl 10
scancel --signal=TERM "$job"
until_ is "$job" FAILED
scontrol show job "$job" | grep 'ExitCode=130:0' > /dev/null
steps="$(wc -l < stopped/metrics.jsonl)"
[ ! -e stopped/student.safetensors ]
srun --quiet -n 2 --overcommit --mpi=pmix "${distill[@]}" --set train.threads=1 --steps 600 --out stopped --resume > resumed.log
[ "$(wc -l < stopped/metrics.jsonl)" = 600 ] && [ -e stopped/student.safetensors ]
echo "srun trained on 2 ranks to the bits of 2 threads; SIGTERM stopped a job after $steps of 600 steps, and it was resumed"
