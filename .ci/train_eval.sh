#!/bin/bash
# Train a tiny model through the binary, evaluate what it wrote, and check the loss it reached.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! [ -e harness/cmd_train.c ]; then
    echo 'train_eval: no train command yet'
    exit 0
fi
echo 'train_eval: to be filled in' >&2
exit 1
