#!/bin/bash
# An evaluation over the tasks of a Slurm job: sbatch --ntasks=4 harness/slurm/eval-mpi.sh passkey len=32K results=/shared/run
# WORDS are those of `palimpsest eval`; results= must be a directory that all nodes see. Rank 0 deals samples; ranks=layers
# spreads every model's layers over the tasks instead. Requeued or killed, it goes on where it was, with any number of tasks.
# PALIMPSEST names a program of `make MPI=1`; by default build/palimpsest where sbatch was typed.
#SBATCH --job-name=palimpsest-eval
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=palimpsest-eval-%j.log
set -u
program=${PALIMPSEST:-build/palimpsest}
[ -x "$program" ] || { echo "eval-mpi.sh: $program: no program there; type make MPI=1, or set PALIMPSEST" >&2; exit 2; }
# Debian's Slurm does not start ranks of MPI itself.
exec mpirun -n "${SLURM_NTASKS:-1}" ${MPIRUN_WORDS:-} "$program" eval "$@" threads="${SLURM_CPUS_PER_TASK:-1}" plots=0
