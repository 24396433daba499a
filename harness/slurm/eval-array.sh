#!/bin/bash
# One part of an evaluation for each task of a Slurm array: sbatch --array=1-4 harness/slurm/eval-array.sh WORDS...
# WORDS are those of `palimpsest eval`; results= must be a directory that all nodes see. Numbers of the array count from 1.
# To run one part again: SHARDS=4 sbatch --array=3 harness/slurm/eval-array.sh with the same WORDS. A part that was
# requeued or killed goes on where it was. PALIMPSEST names the program; by default build/palimpsest where sbatch was typed.
#SBATCH --job-name=palimpsest
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=palimpsest-%A_%a.log
set -u
if [ -z "${SLURM_ARRAY_TASK_ID:-}" ]; then
    echo "eval-array.sh: no task of a Slurm array; type: sbatch --array=1-4 $0 WORDS..." >&2
    exit 2
fi
program=${PALIMPSEST:-build/palimpsest}
[ -x "$program" ] || { echo "eval-array.sh: $program: no program there; type make, or set PALIMPSEST" >&2; exit 2; }
exec "$program" eval "$@" shard="$SLURM_ARRAY_TASK_ID/${SHARDS:-$SLURM_ARRAY_TASK_MAX}" \
    threads="${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-0}}" plots=0
