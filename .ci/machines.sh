#!/bin/bash
# More than one machine, as far as this one can play several: hosts out of namespaces, ranks of MPI, a Slurm of one node.
# A part whose tools are missing here says so, and is no failure.
set -u
cd "$(dirname "$0")/.." || exit 1
sh .ci/deps.sh mpi && make MPI=1 BUILD=build/mpi || exit 1
export PALIMPSEST=build/mpi/palimpsest
failed=0
for part in cluster mpi slurm; do
    code=0
    bash tests/$part.sh || code=$?
    [ $code = 0 ] || [ $code = 5 ] || failed=1
done
[ $failed = 0 ]
