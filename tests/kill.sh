#!/bin/bash
# Kill -9 at random moments: evaluations of three tasks, a training and a report. After every kill the journals still
# begin with all that they held before; at the end every table, every weight and every logged loss is what an
# undisturbed run makes. KILLS=60 kills in all; SEED=1 draws the moments. The repository must be built.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
P=$(realpath "${PALIMPSEST:-build/palimpsest}")
kills=${KILLS:-60}
RANDOM=${SEED:-1}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME=$dir/cache
failed=0 killed=0

say() { echo "kill: $*"; }
fail() { say "FAILED: $*"; failed=1; }

mkdir -p "$dir/sea/test"
for i in 1 2 3 4; do
    for part in 1 2 3 4 5 6; do sed "s/the/$i$part/g" README.md; done | head -c 60000 >"$dir/sea/test/$i.txt"
done

# ---- The five jobs: each writes into $1 ----

eval_of() { # eval_of RESULTS WORDS...
    local into=$1
    shift
    "$P" eval "$@" results="$into" plots=0 checkpoint=0.05 threads=2 weights=models/weights
}
# Small jobs: a kill finds them at work.
passkey() { eval_of "$1" task=passkey len=8K n=4 depths=0,50,100 model=text-300k-infini-delta,text-300k-local; }
perplexity() { eval_of "$1" task=perplexity data="$dir/sea" model=text-300k-infini-linear,text-300k-transformer-xl; }
booksum() { eval_of "$1" task=booksum len=2K n=4 max_tokens=24 model=text-300k-infini-linear; }
training() {
    mkdir -p "$1"
    "$P" train recipe=bytes-infini-linear d_model=32 n_heads=2 d_head=16 d_ff=64 segment=64 train_len=256 \
        train_steps=150 batch_tokens=1K log_every=5 warmup=5 checkpoint_every=5 threads=2 \
        out="$1/tiny.safetensors" log="$1/tiny.csv"
}
report() { "$P" report results="$1" plots=0; }

# ---- Killing ----

# The records that are whole: up to the last newline.
whole() { # whole FILE
    [ -e "$1" ] || return 0
    if [ -n "$(tail -c 1 "$1")" ]; then sed '$d' "$1"; else cat "$1"; fi
}
# Every journal begins with what was kept of it, and is kept anew.
check_journals() {
    local journal kept
    for journal in "$dir"/killed/*-journal.jsonl; do
        [ -e "$journal" ] || continue
        kept=$dir/kept-$(basename "$journal")
        whole "$journal" >"$dir/now"
        if [ -e "$kept" ] && ! cmp -s -n "$(stat -c %s "$kept")" "$kept" "$dir/now"; then
            fail "$journal lost or changed a record after kill $killed ($1)"
        fi
        mv "$dir/now" "$kept"
    done
}
# kill_some JOB COUNT SECONDS: run the job into killed/ and kill it COUNT times, up to SECONDS after its start.
kill_some() {
    local job=$1 count=$2 most=$3 left=$2 pid moment
    while [ "$left" -gt 0 ]; do
        "$job" "$dir/killed" >"$dir/out" 2>&1 &
        pid=$!
        moment=$((RANDOM % most + 20))
        sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
        # The job runs in a shell of its own, which waits for the program.
        if pkill -KILL -P "$pid" 2>/dev/null; then
            killed=$((killed + 1)) left=$((left - 1))
            wait "$pid" 2>/dev/null
            check_journals "$job"
        else # it had ended: begin anew
            wait "$pid" || { cat "$dir/out"; fail "$job ended with exit code $?"; }
            check_journals "$job"
            rm -rf "$dir/killed/$job"-* "$dir/kept-$job"*
            [ "$job" != training ] || rm -rf "$dir/killed/tiny"* # the others leave its weights alone
        fi
    done
    say "$job: $count kills"
}

# ---- The comparison ----

same() {
    cmp -s "$dir/whole/$1" "$dir/killed/$1" && return
    fail "$1 is not what an undisturbed run makes"
    diff -a "$dir/whole/$1" "$dir/killed/$1" | cut -c1-200 | grep -a '^[<>]' | head -6
}

began=$SECONDS
share=$((kills / 5))
for job in passkey perplexity booksum training report; do
    ran=$(date +%s%N)
    "$job" "$dir/whole" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "$job by itself"; exit 1; }
    took=$((($(date +%s%N) - ran) / 1000000))
    [ "$job" = report ] && share=$((kills - killed))
    kill_some "$job" "$share" $((took + took / 4))
    "$job" "$dir/killed" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "$job after its kills"; }
    check_journals "$job"
done

tables=0
while read -r table; do
    same "$table"
    tables=$((tables + 1))
done < <(cd "$dir/whole" && find . \( -name '*.md' -o -name '*.csv' -o -name '*.tex' \) ! -name '*cost.csv' | sort)
same tiny.safetensors
[ "$tables" -ge 5 ] || fail "only $tables tables"
for left in "$dir"/killed/.partial/*.state "$dir"/killed/*.tmp; do
    [ ! -e "$left" ] || fail "$left was left behind"
done
say "$killed kills, $tables tables the same, in $((SECONDS - began)) s"
[ "$failed" = 0 ]
