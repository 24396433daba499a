#!/bin/bash
# The scripts of harness/slurm/ under a real Slurm: a controller and one node on this machine, in a scratch directory.
# Needs root and slurmctld, slurmd, slurm-client and munge; exit code 5 where they are missing. The repository must be built.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
say() { echo "slurm: $*"; }
for tool in slurmctld slurmd sbatch squeue munged mungekey; do
    command -v $tool >/dev/null || { say "$tool is missing: cannot tell"; exit 5; }
done
[ "$(id -u)" = 0 ] || { say "not root: cannot tell"; exit 5; }
P=$(realpath "${PALIMPSEST:-build/palimpsest}")
dir=$(mktemp -d)
chmod 755 "$dir"
daemons=()
finish() {
    [ -z "${SLURM_CONF:-}" ] || scancel -u root 2>/dev/null
    for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null; done
    wait
    rm -rf "$dir"
}
trap finish EXIT
failed=0
fail() { say "FAILED: $*"; failed=1; }

# ---- A cluster of one node ----
host=$(hostname -s)
mkdir -p "$dir/munge" "$dir/state" "$dir/spool"
mungekey --create --keyfile="$dir/munge/key" || exit 1
chmod 700 "$dir/munge"
munged --foreground --force --key-file="$dir/munge/key" --socket="$dir/munge.sock" --pid-file="$dir/munge/pid" \
    --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" >/dev/null 2>&1 &
daemons+=($!)
cat >"$dir/slurm.conf" <<EOF
ClusterName=scratch
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.sock
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
EOF
export SLURM_CONF=$dir/slurm.conf
slurmctld -D -f "$SLURM_CONF" >"$dir/ctld.out" 2>&1 &
daemons+=($!)
slurmd -D -f "$SLURM_CONF" >"$dir/d.out" 2>&1 &
daemons+=($!)
for ((i = 0; i < 60; i++)); do
    sinfo -h -o %T 2>/dev/null | grep -q idle && break
    sleep 0.5
done
sinfo -h -o %T 2>/dev/null | grep -q idle || { tail -n 5 "$dir"/*.log "$dir"/*.out; say "no Slurm here: cannot tell"; exit 5; }

# Wait for a job's end; squeue forgets it then.
ended() { # ended JOB
    for ((i = 0; i < 240; i++)); do
        [ -n "$(squeue -h -j "$1" 2>/dev/null)" ] || return 0
        sleep 0.5
    done
    return 1
}
words=(passkey len=1K n=4 depths=0,50 model=passkey-local,passkey-infini-delta checkpoint=0.1)
"$P" eval "${words[@]}" plots=0 threads=1 results="$dir/one" >/dev/null 2>&1 || fail "one run"

# ---- An array, one part of which is typed again ----
export PALIMPSEST=$P
job=$(sbatch --parsable --array=1,2,4 --output="$dir/%A_%a.log" harness/slurm/eval-array.sh "${words[@]}" results="$dir/array")
ended "$job" || fail "the array does not end"
"$P" merge results="$dir/array" plots=0 >"$dir/out" 2>&1
[ $? = 1 ] && grep -q 'shard 3/4 has to do' "$dir/out" || { cat "$dir/out" "$dir"/*_*.log; fail "the hole is not named"; }
job=$(SHARDS=4 sbatch --parsable --array=3 --output="$dir/%A_%a.log" harness/slurm/eval-array.sh "${words[@]}" results="$dir/array")
ended "$job" || fail "the part does not end"
"$P" merge results="$dir/array" plots=0 >"$dir/out" 2>&1 || { cat "$dir/out" "$dir"/*_*.log; fail "merge of the array"; }
cmp "$dir/one/passkey-cells.csv" "$dir/array/passkey-cells.csv" || fail "the array's table is another one"

# ---- The program itself in an array and in an srun step: it says which part it took, and from where ----
job=$(sbatch --parsable --array=5-7:2 --output="$dir/own_%a.log" --wrap "$P eval ${words[*]} plots=0 threads=1 results=$dir/own")
ended "$job"
grep -q 'shard 1/2, by SLURM_ARRAY_TASK_ID' "$dir/own_5.log" && grep -q 'shard 2/2' "$dir/own_7.log" ||
    { cat "$dir"/own_*.log; fail "the array's numbers"; }
"$P" merge results="$dir/own" plots=0 >/dev/null 2>&1 || fail "merge of the array's own"
job=$(sbatch --parsable --ntasks=2 --output="$dir/batch.log" --wrap "$P eval ${words[*]} plots=0 threads=1 results=$dir/batch")
ended "$job"
! grep -q 'shard ' "$dir/batch.log" && [ -e "$dir/batch/passkey-cells.csv" ] ||
    { cat "$dir/batch.log"; fail "a batch script without srun is one process"; }
job=$(sbatch --parsable --ntasks=2 --output="$dir/step.log" --wrap "srun -n 2 $P eval ${words[*]} plots=0 threads=1 results=$dir/step")
ended "$job"
grep -q 'shard 2/2, by SLURM_PROCID' "$dir/step.log" || { cat "$dir/step.log"; fail "the step's numbers"; }
"$P" merge results="$dir/step" plots=0 >/dev/null 2>&1 || fail "merge of the step"
for run in own batch step; do
    cmp "$dir/one/passkey-cells.csv" "$dir/$run/passkey-cells.csv" || fail "$run: another table"
done

# ---- A training by mpirun, where the program has MPI ----
if ldd "$P" | grep -q libmpi && command -v mpirun >/dev/null; then
    train=(recipe=bytes-tiny train_steps=8 log_every=4 batch_tokens=4K grad_parts=2 threads=1)
    "$P" train "${train[@]}" out="$dir/one.safetensors" >/dev/null 2>&1 || fail "one training"
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    job=$(sbatch --parsable --ntasks=2 --output="$dir/train.log" harness/slurm/train-mpi.sh "${train[@]}" out="$dir/two.safetensors")
    ended "$job"
    cmp "$dir/one.safetensors" "$dir/two.safetensors" || { cat "$dir/train.log"; fail "the training's weights"; }
    job=$(sbatch --parsable --ntasks=2 --output="$dir/eval.log" harness/slurm/eval-mpi.sh "${words[@]}" results="$dir/mpi")
    ended "$job"
    cmp "$dir/one/passkey-cells.csv" "$dir/mpi/passkey-cells.csv" || { cat "$dir/eval.log"; fail "the ranks' table"; }
else
    say "no MPI: the training's script is not tried"
fi
[ "$failed" = 0 ] && say "array, part again, own numbers, batch script, srun step: the tables of one run"
[ "$failed" = 0 ]
