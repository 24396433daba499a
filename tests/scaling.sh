#!/bin/bash
# Where more machines stop helping, simulated to 1,024 of them like this one, for a model of 1 billion parameters: (a) its full
# passkey grid, by `palimpsest plan nodes=`, which measures one layer and makes the very deal; (b) its continued training, whose
# layers are measured here. Usage: bash tests/scaling.sh FOLDER [grid|training]...: FOLDER holds, or gets, 2.5 GB of random
# weights of that shape. WINDOW=4 segments of 512 are trained on at a time. NETWORK=10 Gbit/s, LATENCY=50 microseconds, BATCH=512K tokens a step, NODES=1:1024:*2.
set -u
folder=${1:?"usage: bash tests/scaling.sh FOLDER [grid|training]..."}
shift
cd "$(dirname "$0")/.." || exit 1
P=${PALIMPSEST:-build/palimpsest}
network=${NETWORK:-10} latency=${LATENCY:-50} batch=${BATCH:-524288}
mkdir -p "$folder"
for part in ${*:-grid training}; do
    case $part in
    grid)
        if [ ! -e "$folder/1b" ]; then
            rm -rf "$folder/part"
            python3 tests/peer/large_checkpoint.py 1b "$folder/part" || exit 1
            mv "$folder/part" "$folder/1b"
        fi
        "$P" plan passkey model="$folder/1b" attention=infini-delta new_tensors=start tokenizer=bytes hold=stored len="${LEN:-32K:1M:*2}" \
            depths=0:100:10 n="${N:-10}" nodes="${NODES:-1:1024:*2}" network="$network" results="$folder/none" || exit 1
        ;;
    training)
        # Layers of that shape: one, and two, so that what is not a layer drops out. The head: of its own vocabulary and a small one.
        rate() { # rate WORDS...: tokens a second of training
            "$P" bench mode=train batch=1 window="${WINDOW:-4}" seconds="${SECONDS_EACH:-10}" format=csv attention=infini-delta segment=512 d_model=2048 \
                n_heads=32 d_head=64 d_ff=8192 feed_forward=gated tied=1 "$@" | tail -n 1 | cut -d, -f3
        }
        one=$(rate n_layers=1 vocab=1024) two=$(rate n_layers=2 vocab=1024) head=$(rate n_layers=1 vocab=33792)
        memory=$("$P" bench mode=write batch=1 seconds=1 | sed -n 's/.*memory \([0-9.]*\) GB.*/\1/p')
        awk -v one="$one" -v two="$two" -v head="$head" -v memory="$memory" -v network="$network" -v latency="$latency" -v batch="$batch" '
        function time(s) { return s < 120 ? sprintf("%.1f s", s) : s < 7200 ? sprintf("%.1f min", s / 60) : sprintf("%.1f h", s / 3600) }
        function size(b) { return b < 1e9 ? sprintf("%.0f MB", b / 1e6) : sprintf("%.1f GB", b / 1e9) }
        # One step of a training whose gradient has `bytes`: parts on R machines, up a tree of swaps that each one adds, then every
        # machine sends the weights of its part of the optimiser to all, one after the other, down a tree.
        function table(title, bytes, weights,   r, levels, compute, swap, share, step, first, best, bestr, half) {
            print title; print ""
            print "| machines | a step | of it computing | of it exchange | efficiency | sent by a machine, a step | memory of a machine |"
            print "|---:|---:|---:|---:|---:|---:|---:|"
            for (r = 1; r <= 1024; r *= 2) {
                levels = log(r) / log(2)
                compute = batch / r * token + bytes * 7 / r / (memory * 1e9)
                swap = levels * (bytes / wire + latency / 1e6 + 3 * bytes / (memory * 1e9))
                share = levels * (bytes / wire + r * latency / 1e6)
                step = compute + swap + share
                if (r == 1) first = step
                if (!best || step < best) { best = step; bestr = r }
                if (first / step / r >= 0.5) half = r
                printf "| %d | %s | %s | %s | %.2f | %s | %s |\n", r, time(step), time(compute), time(swap + share), first / step / r,
                    size(levels * bytes + (r > 1 ? levels * bytes / 2 : 0)), size(weights + (r > 1 ? 2 : 1) * bytes + 2 * bytes / r)
            }
            printf "\nFastest with %d machines, at least half efficient up to %d.\n\n", bestr, half
        }
        BEGIN {
            layers = 16; vocab = 128256; width = 2048
            layer = 1 / two - 1 / one                               # seconds a token
            word = (1 / head - 1 / one) / (33792 - 1024)            # of each output row
            token = layers * layer + vocab * word
            wire = network * 1e9 / 8
            of_layer = 4 * width * width + 3 * width * 8192; all = layers * of_layer + vocab * width
            printf "Measured here: %.1f tokens/s of training with one layer, %.1f with two, %.1f with one and a vocabulary of 33,792; memory %.1f GB/s. ", one, two, head, memory
            printf "So a token of %.2fG parameters takes %.0f ms. Stated: %g Gbit/s each way, %g microseconds, %d tokens a step.\n\n", all / 1e9, 1000 * token, network, latency, batch
            table("All weights learn:", all * 4, all * 4)
            # keys and values of a memory in three layers, as recipe retrofit has them: the backward pass still runs down to the lowest.
            table("A memory in three layers learns (12.6M numbers):", 3 * width * width * 4, all * 4)
        }'
        ;;
    *) echo "$part: grid or training"; exit 2 ;;
    esac
done
