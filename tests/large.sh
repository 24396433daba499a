#!/bin/sh
# Models of 1 and 8 billion parameters in small memory: writes random weights of their shapes, plans and runs each, and
# prints seconds and resident size. Usage: sh tests/large.sh FOLDER [ROW...]; 23 GB of disk for all rows, which are
#   1b-full   BF16, full attention, 8K tokens          8b-q4     Q4_0 GGUF, a plan and one segment of 512
#   1b-infini BF16, infini-delta, 2K and 8K tokens     8b-bf16   BF16, a plan and one segment of 512
#   8b-ranks  BF16, one segment of 512, its layers over 4 ranks of a program of `make MPI=1`; not unless named
# THREADS=N: 2 unless said. Needs python3 and GNU time; a checkpoint that is there is not written again.
set -e
folder=${1:?"usage: sh tests/large.sh FOLDER [1b-full 1b-infini 8b-q4 8b-bf16]"}
shift
rows=${*:-1b-full 1b-infini 8b-q4 8b-bf16}
binary=${PALIMPSEST:-build/palimpsest}
threads=${THREADS:-2}
mkdir -p "$folder"
log=$folder/log measured=$folder/measured
: >"$log"

# checkpoint SHAPE NAME: written beside its place, so that half of one is never taken for it.
checkpoint() {
    [ -e "$folder/$2" ] && return
    case $2 in *.gguf) part=$folder/part.gguf ;; *) part=$folder/part ;; esac
    rm -rf "$part"
    python3 tests/peer/large_checkpoint.py "$1" "$part"
    mv "$part" "$folder/$2"
}

# row LABEL COMMAND MODEL TOKENS WORD...: one line of the table.
row() {
    label=$1 command=$2 model=$3 tokens=$4
    shift 4
    rm -rf "$folder/results"
    if /usr/bin/time -f '%e %M' -o "$measured" "$binary" "$command" perplexity model="$folder/$model" tokenizer=bytes \
        data=datasets/slice docs=1 max_tokens="$tokens" threads="$threads" results="$folder/results" references=0 \
        plots=0 checkpoint=0 "$@" >>"$log" 2>&1; then
        tail -n 1 "$measured" | awk -v label="$label" -v what="$command" -v tokens="$tokens" '{
            printf "%-24s %-5s %6s %8.0f s %8.2f GiB\n", label, what, tokens, $1, $2 / 1048576 }'
    else
        echo "$label $command $tokens: FAILED"
        tail -n 3 "$log"
        exit 1
    fi
}

printf '%-24s %-5s %6s %10s %12s\n' model '' tokens seconds resident
for name in $rows; do
    case $name in
    1b-full)
        checkpoint 1b llama-1b
        row '1B BF16 full' plan llama-1b 8K hold=stored
        row '1B BF16 full' eval llama-1b 8K hold=stored
        ;;
    1b-infini)
        checkpoint 1b llama-1b
        for tokens in 2K 8K; do
            row '1B BF16 infini-delta' eval llama-1b $tokens hold=stored attention=infini-delta new_tensors=start
        done
        ;;
    8b-q4)
        checkpoint 8b llama-8b.gguf
        row '8B Q4_0 full' plan llama-8b.gguf 512 hold=stored
        row '8B Q4_0 full' eval llama-8b.gguf 512 hold=stored
        ;;
    8b-bf16)
        checkpoint 8b llama-8b
        row '8B BF16 full' plan llama-8b 512 hold=stored
        row '8B BF16 full' eval llama-8b 512 hold=stored
        ;;
    8b-ranks)
        checkpoint 8b llama-8b
        for layers in ${RANKS:-4}; do
            rm -rf "$folder/results" "$measured".*
            OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -n "$layers" sh -c 'to=$0.$OMPI_COMM_WORLD_RANK
                exec /usr/bin/time -f "%e %M" -o "$to" "$@"' "$measured" "$binary" eval perplexity model="$folder/llama-8b" tokenizer=bytes \
                data=datasets/slice docs=1 max_tokens="${TOKENS:-512}" threads=1 results="$folder/results" references=0 plots=0 \
                checkpoint=0 hold=stored ranks=layers >>"$log" 2>&1 || { echo "$name: FAILED"; tail -n 3 "$log"; exit 1; }
            for rank in "$measured".*; do
                awk -v rank="${rank##*.}" -v all="$layers" '{
                    printf "8B BF16 full, rank %d of %d            %8.0f s %8.2f GiB\n", rank, all, $1, $2 / 1048576 }' "$rank"
            done
            cp "$folder/results/perplexity-cells.csv" "$folder/cells-$layers.csv"
        done
        ;;
    *)
        echo "$name: no such row"
        exit 2
        ;;
    esac
done
rm -rf "$folder/results" "$measured" "$measured".*
