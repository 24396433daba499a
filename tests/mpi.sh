#!/bin/bash
# Trainings and evaluations by mpirun, on this machine: 1, 2 and 4 ranks make the weights of one process, and the tables, as
# ranks that take samples or layers, also after a rank was killed; unlike ranks are refused. Needs mpirun, and a program of
# `make MPI=1`, which PALIMPSEST names; exit code 5 where either is missing.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
P=$(realpath "${PALIMPSEST:-build/palimpsest}")
say() { echo "mpi: $*"; }
command -v mpirun >/dev/null || { say "no mpirun: cannot tell"; exit 5; }
ldd "$P" | grep -q libmpi || { say "$P is built without MPI: cannot tell"; exit 5; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
fail() { say "FAILED: $*"; failed=1; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
run() { timeout -k 5 120 mpirun --oversubscribe "$@"; }
words=(train recipe=bytes-tiny train_steps=40 log_every=4 checkpoint_every=4 batch_tokens=4K grad_parts=4 threads=1)
sum() { sha256sum <"$1" | cut -c1-64; }

"$P" "${words[@]}" out="$dir/one.safetensors" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "one process"; }
one=$(sum "$dir/one.safetensors")
for n in 1 2 4; do
    run -n $n "$P" "${words[@]}" out="$dir/n$n.safetensors" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "$n ranks"; }
    [ "$(sum "$dir/n$n.safetensors")" = "$one" ] || fail "$n ranks: other weights"
    cut -d, -f1-6 "$dir/one.safetensors.csv" >"$dir/a"
    cut -d, -f1-6 "$dir/n$n.safetensors.csv" | cmp -s "$dir/a" - || fail "$n ranks: another log"
done

# A lane's state goes on from step to step: texts, and a checkpoint that holds the lanes of all ranks.
mkdir -p "$dir/sea/train"
for i in 1 2 3; do for k in 1 2 3 4 5 6 7 8; do sed "s/the/$i$k/g" README.md; done >"$dir/sea/train/$i.txt"; done
texts=(train task=perplexity data="$dir/sea" tokenizer=bytes attention=infini-delta vocab=256 d_model=32 n_layers=2 n_heads=2
    d_head=16 d_ff=64 segment=64 train_len=256 train_steps=60 log_every=4 checkpoint_every=4 batch_tokens=4K grad_parts=4 threads=1)
"$P" "${texts[@]}" out="$dir/t1.safetensors" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "texts, one process"; }
killed=0
for try in 1 2 3 4 5 6; do
    [ ! -e "$dir/t2.safetensors" ] || break
    run -n 2 "$P" "${texts[@]}" out="$dir/t2.safetensors" >"$dir/out" 2>&1 &
    pid=$!
    for ((i = 0; i < 400; i++)); do
        [ ! -e "$dir/t2.safetensors.resume" ] && kill -0 $pid 2>/dev/null || break
        sleep 0.02
    done
    # A rank's command line begins with the program; that of mpirun does not.
    victim=$(pgrep -n -f "^$P train .*out=$dir/t2.safetensors")
    [ -z "$victim" ] || kill -9 "$victim" 2>/dev/null
    wait $pid 2>/dev/null && continue
    killed=$((killed + 1))
    grep -q 'exited on signal 9' "$dir/out" || { cat "$dir/out"; fail "no line of the killed rank"; }
done
run -n 4 "$P" "${texts[@]}" out="$dir/t2.safetensors" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "going on with 4 ranks"; }
cmp -s "$dir/t1.safetensors" "$dir/t2.safetensors" || fail "after $killed kills: other weights"
[ $killed -gt 0 ] || fail "nothing was killed"

# ---- Evaluations ----

asked=(eval task=passkey len=1K,2K n=3 depths=0,50 model=passkey-local,passkey-infini-delta plots=0 checkpoint=0.05 threads=1)
"$P" "${asked[@]}" results="$dir/whole" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "one evaluation"; }
# same RESULTS: the tables of one machine, and nothing left.
same() {
    local table
    for table in "$dir"/whole/*.csv "$dir"/whole/*.md; do
        case $table in *-cost.csv) continue ;; esac
        cmp -s "$table" "$dir/$1/$(basename "$table")" || fail "$1: another $(basename "$table")"
    done
    [ ! -e "$dir/$1/shards" ] || fail "$1: shards were left"
}
for n in 2 4; do
    run -n $n "$P" "${asked[@]}" results="$dir/dealt$n" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "samples dealt to $n ranks"; }
    same dealt$n
    run -n $n "$P" "${asked[@]}" results="$dir/dealt$n" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "$n ranks with nothing to do"; }
    same dealt$n
done
grep -q '^4 ranks share the evaluation' "$dir/out" || { cat "$dir/out"; fail "the ranks are not said"; }
for n in 2 3; do
    run -n $n "$P" "${asked[@]}" ranks=layers results="$dir/layers$n" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "layers over $n ranks"; }
    same layers$n
done

# kill_rank RESULTS WORDS...: begin, and kill a rank once there is another sample or checkpoint.
kill_rank() {
    local into=$1 pid victim i had
    shift
    samples() { cat "$dir/$into"/*.jsonl "$dir/$into"/shards/passkey/*.jsonl 2>/dev/null | grep -c '"kind":"sample"'; }
    had=$(samples)
    touch "$dir/began"
    run -n 2 "$P" "${slow[@]}" "$@" results="$dir/$into" >"$dir/out" 2>&1 &
    pid=$!
    for ((i = 0; i < 800; i++)); do
        [ "$(samples)" -gt "$had" ] && break
        [ -n "$(find "$dir/$into/.partial" -name '*.state' -newer "$dir/began" 2>/dev/null)" ] && break
        kill -0 $pid 2>/dev/null || break
        sleep 0.01
    done
    victim=$(pgrep -n -f "^$P eval .*results=$dir/$into")
    [ -z "$victim" ] || kill -9 "$victim" 2>/dev/null
    wait $pid 2>/dev/null && return
    died=$((died + 1))
    grep -q 'exited on signal 9' "$dir/out" || { cat "$dir/out"; fail "$into: no line of the killed rank"; }
}
died=0
slow=("${asked[@]}" share=0 len=4K,16K n=2)
rm -r "$dir/whole"
"$P" "${slow[@]}" results="$dir/whole" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "one slow evaluation"; }
for i in 1 2 3; do kill_rank killed; done
run -n 3 "$P" "${slow[@]}" results="$dir/killed" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "going on with 3 ranks"; }
same killed
for i in 1 2; do kill_rank torn ranks=layers; done
"$P" "${slow[@]}" results="$dir/torn" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "one process goes on where layers were torn"; }
same torn
[ $died -ge 3 ] || fail "only $died ranks of evaluations were killed"

# refused CODE WORD COMMAND...: this exit code, and a line with the word.
refused() {
    local expected=$1 word=$2 code
    shift 2
    run "$@" >"$dir/out" 2>&1
    code=$?
    [ $code = "$expected" ] && [ "$(grep -c '^palimpsest: ' "$dir/out")" = 1 ] && grep -q "^palimpsest: .*$word" "$dir/out" ||
        { cat "$dir/out"; fail "no refusal: $word (exit code $code)"; }
}
out=out=$dir/no.safetensors
refused 2 'rank 0 on .* has BLAS core .* but rank 1 on .* has' -n 1 -x OPENBLAS_CORETYPE=Haswell "$P" "${words[@]}" "$out" : \
    -n 1 -x OPENBLAS_CORETYPE=Sandybridge "$P" "${words[@]}" "$out"
refused 2 'rank 0 on .* has the recipe .* but rank 1 on .* has' -n 1 "$P" "${words[@]}" "$out" : -n 1 "$P" "${words[@]}" "$out" seed=2
refused 2 'ranks cannot share grad_parts=2' -n 4 "$P" "${words[@]}" grad_parts=2 "$out"
# Evaluations, samples and layers alike.
mkdir -p "$dir/other"
cp models/weights/*.csv models/weights/passkey-infini-delta.safetensors "$dir/other"
cp models/weights/passkey-infini-linear.safetensors "$dir/other/passkey-local.safetensors"
head -c 20000 README.md >"$dir/text-a.txt"
head -c 19999 README.md >"$dir/text-b.txt"
no=results=$dir/no
for how in samples layers; do
    some=(eval passkey len=1K n=1 depths=50 model=passkey-infini-delta plots=0 threads=1 ranks=$how "$no")
    refused 2 'rank 0 on .* has BLAS core .* but rank 1 on .* has' -n 1 -x OPENBLAS_CORETYPE=Haswell "$P" "${some[@]}" : \
        -n 1 -x OPENBLAS_CORETYPE=Sandybridge "$P" "${some[@]}"
    refused 2 'rank 0 on .* has the request .* but rank 1 on .* has' -n 1 "$P" "${some[@]}" : -n 1 "$P" "${some[@]}" seed=2
    two=(eval passkey len=1K n=1 depths=50 model=passkey-local plots=0 threads=1 ranks=$how "$no")
    refused 2 'rank 0 on .* has for passkey-local the weights .* but rank 1 on .* has' -n 1 "$P" "${two[@]}" : \
        -n 1 "$P" "${two[@]}" weights="$dir/other"
    text=(eval perplexity model=text-infini-delta docs=1 max_tokens=256 references=0 plots=0 threads=1 ranks=$how "$no")
    refused 2 'rank 0 on .* has .* but rank 1 on .* has' -n 1 "$P" "${text[@]}" data="$dir/text-a.txt" : \
        -n 1 "$P" "${text[@]}" data="$dir/text-b.txt"
done
mkdir "$dir/here" "$dir/there"
refused 2 'results= must be a directory that all ranks see' -n 1 -wdir "$dir/here" "$P" "${some[@]}" ranks=samples results=here : \
    -n 1 -wdir "$dir/there" "$P" "${some[@]}" ranks=samples results=here
refused 2 'would all do the same' -n 2 "$P" "${asked[@]}" "$no" shard=1/2
refused 2 'has 4 layers, which 5 ranks cannot share' -n 5 "$P" "${some[@]}" ranks=layers
[ ! -e "$dir/no" ] || fail "a refused evaluation left something"
[ "$failed" = 0 ] && say "1, 2 and 4 ranks make the weights and tables of one process; $killed and $died kills; unlike ranks are refused"
[ "$failed" = 0 ]
