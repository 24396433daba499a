#!/bin/bash
# A training over the nodes of a Slurm job: sbatch --ntasks=4 harness/slurm/train-mpi.sh recipe=NAME grad_parts=4 WORDS...
# WORDS are those of `palimpsest train`; grad_parts= is a power of two that the number of tasks divides. The directory must be
# one that all nodes see. Requeued or killed, the training goes on from its checkpoint, with any number of tasks.
# PALIMPSEST names a program of `make MPI=1`; by default build/palimpsest where sbatch was typed.
#SBATCH --job-name=palimpsest-train
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=palimpsest-train-%j.log
set -u
program=${PALIMPSEST:-build/palimpsest}
[ -x "$program" ] || { echo "train-mpi.sh: $program: no program there; type make MPI=1, or set PALIMPSEST" >&2; exit 2; }
# Debian's Slurm does not start ranks of MPI itself.
exec mpirun -n "${SLURM_NTASKS:-1}" ${MPIRUN_WORDS:-} "$program" train "$@"
