#!/bin/bash
# Trainings and an evaluation by mpirun, on this machine: 1, 2 and 4 ranks make the same weights as one process, also after a
# rank was killed; three make the tables of one; ranks that would compute something else are refused. Needs mpirun, and a program of `make MPI=1`, which PALIMPSEST names;
# exit code 5 where either is missing.
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

# An evaluation: every rank takes its part, and says by which variables.
asked=(eval task=passkey len=1K n=4 depths=0,50 model=passkey-local,passkey-infini-delta plots=0 threads=1)
"$P" "${asked[@]}" results="$dir/whole" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "one evaluation"; }
run -n 3 "$P" "${asked[@]}" results="$dir/parts" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "an evaluation of 3 ranks"; }
grep -q 'shard 3/3, by OMPI_COMM_WORLD_RANK' "$dir/out" || { cat "$dir/out"; fail "the ranks' parts"; }
"$P" merge results="$dir/parts" plots=0 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "merge"; }
cmp -s "$dir/whole/passkey-cells.csv" "$dir/parts/passkey-cells.csv" || fail "another table of 3 ranks"

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
refused 2 'rank 0 has BLAS core .* but rank 1 has' -n 1 -x OPENBLAS_CORETYPE=Haswell "$P" "${words[@]}" "$out" : \
    -n 1 -x OPENBLAS_CORETYPE=Sandybridge "$P" "${words[@]}" "$out"
refused 2 'rank 0 has the recipe .* but rank 1 has' -n 1 "$P" "${words[@]}" "$out" : -n 1 "$P" "${words[@]}" "$out" seed=2
refused 2 'ranks cannot share grad_parts=2' -n 4 "$P" "${words[@]}" grad_parts=2 "$out"
[ "$failed" = 0 ] && say "1, 2 and 4 ranks make the weights of one process; $killed kills; unlike ranks are refused"
[ "$failed" = 0 ]
