#!/bin/bash
# One evaluation shared by several processes, which are killed with -9 at random moments: dealt to four shards, and taken by
# leases. Merged, the tables are those of one undisturbed run, byte for byte. KILLS=20 kills; SEED=1 draws the moments;
# OVERHEAD=8: percent of tokens that dealing may add to so small a job. The repository must be built.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
P=$(realpath "${PALIMPSEST:-build/palimpsest}")
kills=${KILLS:-20}
RANDOM=${SEED:-1}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME=$dir/cache
failed=0 killed=0

say() { echo "shards: $*"; }
fail() { say "FAILED: $*"; failed=1; }

eval_in() { # eval_in RESULTS WORDS...
    local into=$1
    shift
    exec "$P" eval task=passkey len=1K,4K n=6 depths=0,50,100 model=passkey-local,passkey-infini-delta,passkey-transformer-xl \
        results="$into" plots=0 checkpoint=0.05 threads=1 "$@"
}
# worker RESULTS MOST WORDS...: run it; as long as kills are left, kill it after up to MOST milliseconds and begin again.
worker() {
    local into=$1 most=$2 pid moment code
    shift 2
    while :; do
        (eval_in "$into" "$@" >"$dir/out-$BASHPID" 2>&1) &
        pid=$!
        if [ "$(wc -l <"$dir/kills")" -lt "$quota" ]; then
            moment=$((RANDOM % most + 20))
            sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
            kill -9 "$pid" 2>/dev/null
        fi
        wait "$pid" 2>/dev/null
        code=$?
        [ "$code" = 137 ] || return "$code"
        echo "$pid" >>"$dir/kills"
    done
}
same() { # same RESULTS
    local table
    for table in "$dir"/one/*.csv "$dir"/one/*.md; do
        case $table in *-cost.csv) continue ;; esac
        cmp -s "$table" "$dir/$1/$(basename "$table")" || fail "$1: $(basename "$table") is not what one run makes"
    done
    [ ! -e "$dir/$1/shards" ] || fail "$1: the shards were left behind"
    for left in "$dir/$1"/.partial/*.state; do [ ! -e "$left" ] || fail "$left was left behind"; done
}
# Tokens that the models read for all samples of a journal.
tokens_read() {
    sed -n 's/.*"read":\([0-9.e+]*\).*/\1/p' "$1/passkey-journal.jsonl" | awk '{ sum += $1 } END { printf "%.0f", sum }'
}

began=$SECONDS
: >"$dir/kills"
ran=$(date +%s%N)
(eval_in "$dir/one" >"$dir/out" 2>&1) || { cat "$dir/out"; fail "one run"; exit 1; }
took=$((($(date +%s%N) - ran) / 1000000))

# ---- Undisturbed: what dealing costs ----
for i in 1 2 3 4; do (eval_in "$dir/calm" shard=$i/4 >"$dir/out" 2>&1) || { cat "$dir/out"; fail "shard $i/4"; }; done
"$P" merge results="$dir/calm" plots=0 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "merge"; }
same calm
one=$(tokens_read "$dir/one") four=$(tokens_read "$dir/calm")
say "tokens read by one run $one, by four shards $four"
[ $((four * 100)) -le $((one * (100 + ${OVERHEAD:-8}))) ] || fail "dealing adds more than ${OVERHEAD:-8} %"

# ---- Four shards, killed and begun again ----
quota=$((kills / 2))
for i in 1 2 3 4; do
    RANDOM=$((${SEED:-1} * 100 + i))
    worker "$dir/dealt" $((took / 6)) shard=$i/4 &
    workers[i]=$!
done
for i in 1 2 3 4; do wait "${workers[i]}" || fail "shard $i/4 ended with $?"; done
"$P" merge results="$dir/dealt" plots=0 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "merge after kills"; }
same dealt
say "four shards: $(wc -l <"$dir/kills") kills"

# ---- Three workers by leases ----
quota=$kills
for i in 1 2 3; do
    RANDOM=$((${SEED:-1} * 100 + 10 + i))
    worker "$dir/leased" $((took / 6)) shard=auto lease=5 &
    workers[i]=$!
done
for i in 1 2 3; do wait "${workers[i]}" || fail "a worker ended with $?"; done
"$P" merge results="$dir/leased" plots=0 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "merge of leases"; }
same leased

# ---- A part that is typed again goes on inside its sample: it takes little more time than what was left ----
long() { # long RESULTS WORDS...: one sample of one model
    local into=$1
    shift
    exec "$P" eval passkey len="${LONG:-160K}" n=1 depths=50 model=passkey-infini-linear results="$into" plots=0 share=0 threads=1 \
        checkpoint=0.2 "$@"
}
processor_time() { # processor_time WORDS...: milliseconds
    local TIMEFORMAT='%U %S'
    { time { (long "$@") >"$dir/out" 2>&1; }; } 2>&1 | awk '{ printf "%d", 1000 * ($1 + $2) }'
}
all=$(processor_time "$dir/long")
for how in shard=1/1 shard=auto; do
    (long "$dir/requeued" $how >"$dir/out" 2>&1) &
    pid=$!
    for ((i = 0; i < 600; i++)); do
        used=$(awk '{ print 10 * ($14 + $15) }' "/proc/$pid/stat" 2>/dev/null) || break
        [ "$used" -gt $((all * 6 / 10)) ] && break
        sleep 0.02
    done
    ls "$dir"/requeued/.partial/*.state >/dev/null 2>&1 || fail "$how: no checkpoint inside the sample"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    rest=$(processor_time "$dir/requeued" $how)
    "$P" merge results="$dir/requeued" plots=0 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "$how: merge of the requeued sample"; }
    cmp -s "$dir/long/passkey-cells.csv" "$dir/requeued/passkey-cells.csv" || fail "$how: the requeued sample's table"
    [ "$rest" -le $((all * 7 / 10)) ] || fail "$how: $rest of $all ms again for a sample killed after $used ms"
    say "$how, killed inside its sample after $used of $all ms: $rest ms more"
    rm -rf "$dir/requeued"
done

killed=$(wc -l <"$dir/kills")
[ "$killed" -ge "$kills" ] || fail "only $killed kills: the work was done before"
say "$killed kills in all, in $((SECONDS - began)) s"
[ "$failed" = 0 ]
