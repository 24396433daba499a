#!/bin/bash
# Train a tiny model through the binary, evaluate the weights it wrote, and check both losses: from ln 256 = 5.55 nats
# at the start, 120 steps bring the training loss below 2.4, and the answer of an unseen 1K prompt below 2.6 a digit
# (ln 10 = 2.30 is what knowing no more than that digits follow would give).
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${PALIMPSEST:-build/palimpsest}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

"$binary" train recipe=bytes-tiny out="$dir/tiny.safetensors" log="$dir/tiny.csv"
"$binary" eval model="$dir/tiny.safetensors" results="$dir" len=1K n=8 plots=0

at_most() { # at_most WHAT VALUE LIMIT
    awk -v what="$1" -v value="$2" -v limit="$3" 'BEGIN {
        good = value != "" && value + 0 <= limit
        printf "train_eval: %s %s, at most %s: %s\n", what, value, limit, good ? "ok" : "FAILED"
        exit !good
    }'
}
column() { # column FILE NAME: its number
    head -n 1 "$1" | tr , '\n' | grep -nx "$2" | cut -d: -f1
}
loss=$(tail -n 1 "$dir/tiny.csv" | cut -d, -f"$(column "$dir/tiny.csv" loss)")
answer=$(grep ',answer_nll,' "$dir/passkey-cells.csv" | cut -d, -f"$(column "$dir/passkey-cells.csv" value)" | sort -g | tail -n 1)
at_most 'training loss' "$loss" 2.4
at_most 'worst answer NLL' "$answer" 2.6
