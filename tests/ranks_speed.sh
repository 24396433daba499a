#!/bin/bash
# What several processes cost against the threads of one, on this machine, in turns: a training by 2 ranks of 1 thread
# against 1 process of 2 threads; a model's layers over 2 ranks against 2 threads; and the tokens and processor time that
# dealing adds to a job of minutes. Usage: bash tests/ranks_speed.sh [training|layers|dealing]...; ROUNDS=5. Needs mpirun and a
# program of `make MPI=1` (PALIMPSEST), and `make models` for the layers. Start-up and loading are not counted.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
P=$(realpath "${PALIMPSEST:-build/palimpsest}")
rounds=${ROUNDS:-5}
parts=${*:-training layers dealing}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 XDG_CACHE_HOME=$dir/cache
ranks() { mpirun --bind-to none -n "$@"; }
load() { cut -d' ' -f1 /proc/loadavg; }
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
run() { "$@" >"$dir/out" 2>&1 || { cat "$dir/out"; echo "ranks_speed: FAILED: $*"; exit 1; }; }
report() { # report NAME THREADS-FILE RANKS-FILE UNIT: medians, and the quotient of speeds, round by round
    local a b
    a=$(median <"$2") b=$(median <"$3")
    paste "$2" "$3" | awk -v name="$1" -v a="$a" -v b="$b" -v unit="$4" '{ print $1 / $2 > "/dev/stderr" } END {
        printf "%-10s 1 process, 2 threads %.2f %s; 2 ranks, 1 thread %.2f %s; efficiency %.3f\n", name, a, unit, b, unit, a / b }' 2>"$dir/each"
    echo "           of each round: $(tr '\n' ' ' <"$dir/each")median $(median <"$dir/each")"
}

for part in $parts; do
    : >"$dir/threads"; : >"$dir/ranks"
    case $part in
    training) # seconds between the first and the last line of the log
        words=(train recipe=bytes-tiny train_steps="${STEPS:-240}" log_every=10 log_format=jsonl checkpoint_every=100000 val_every=0
            batch_tokens=16K grad_parts=2)
        took() { sed -n 's/.*"seconds":\([0-9.]*\).*/\1/p' "$1" | sed -n '1p;$p' | paste -s -d' ' | awk '{ print $2 - $1 }'; }
        for ((i = 0; i < rounds; i++)); do
            echo "round $((i + 1)): load $(load)"
            rm -f "$dir"/[ab].safetensors*
            run "$P" "${words[@]}" threads=2 out="$dir/a.safetensors" log="$dir/a.jsonl"
            run ranks 2 "$P" "${words[@]}" threads=1 out="$dir/b.safetensors" log="$dir/b.jsonl"
            cmp "$dir/a.safetensors" "$dir/b.safetensors" || exit 1
            took "$dir/a.jsonl" >>"$dir/threads"
            took "$dir/b.jsonl" >>"$dir/ranks"
            rm -f "$dir"/[ab].jsonl
        done
        report training "$dir/threads" "$dir/ranks" s
        ;;
    layers) # seconds of the sample, from its record
        model=${MODEL:-models/fetched/SmolLM2-135M-Instruct.Q4_1.gguf}
        words=(eval perplexity model="$model" data=datasets/slice docs=1 max_tokens="${TOKENS:-8K}" references=0 plots=0 checkpoint=0
            ${WORDS:-attention=infini-delta:segment=128 new_tensors=start})
        took() { sed -n 's/.*"seconds":\([0-9.e-]*\).*/\1/p' "$1"/perplexity-journal.jsonl | awk '{ s += $1 } END { print s }'; }
        for ((i = 0; i < rounds; i++)); do
            echo "round $((i + 1)): load $(load)"
            rm -rf "$dir/a" "$dir/b"
            run "$P" "${words[@]}" threads=2 results="$dir/a"
            run ranks 2 "$P" "${words[@]}" threads=1 ranks=layers results="$dir/b"
            cmp "$dir/a/perplexity-cells.csv" "$dir/b/perplexity-cells.csv" || exit 1
            took "$dir/a" >>"$dir/threads"
            took "$dir/b" >>"$dir/ranks"
        done
        report layers "$dir/threads" "$dir/ranks" s
        ;;
    dealing) # once: tokens that were read are exact; processor time is of everything, start-up too
        words=(eval passkey len="${LEN:-32K,64K}" n="${N:-8}" depths=0,50,100
            model=passkey-local,passkey-infini-delta,passkey-transformer-xl plots=0 share=1 threads=1)
        read_by() { sed -n 's/.*"read":\([0-9.e+]*\).*/\1/p' "$1/passkey-journal.jsonl" | awk '{ s += $1 } END { printf "%.0f", s }'; }
        clock() { date +%s.%N; }
        cpu() { # of all that this shell waited for
            local TIMEFORMAT='%U %S'
            { time run "$@"; } 2>&1 | awk '{ print $1 + $2 }'
        }
        echo "load $(load)"
        began=$(clock)
        one=$(cpu "$P" "${words[@]}" results="$dir/one")
        wall=$(awk -v a="$began" -v b="$(clock)" 'BEGIN { printf "%.0f", b - a }')
        four=0
        for i in 1 2 3 4; do four=$(awk -v a="$four" -v b="$(cpu "$P" "${words[@]}" results="$dir/four" shard=$i/4)" 'BEGIN { print a + b }'); done
        run "$P" merge results="$dir/four" plots=0
        auto=$(cpu "$P" "${words[@]}" results="$dir/auto" shard=auto)
        run "$P" merge results="$dir/auto" plots=0
        dealt=$(cpu mpirun --bind-to none -n 2 "$P" "${words[@]}" results="$dir/dealt")
        for run in four auto dealt; do cmp "$dir/one/passkey-cells.csv" "$dir/$run/passkey-cells.csv" || exit 1; done
        tokens=$(read_by "$dir/one")
        echo "dealing    one process: $wall s, $tokens tokens read, $one s of processor time"
        for run in four auto dealt; do
            awk -v name=$run -v t="$tokens" -v r="$(read_by "$dir/$run")" -v a="$one" -v b="${!run}" 'BEGIN {
                what["four"] = "four shards"; what["auto"] = "shard=auto"; what["dealt"] = "2 ranks"
                printf "           %s: %+.2f %% of tokens, %+.2f %% of processor time\n", what[name], 100 * (r / t - 1), 100 * (b / a - 1) }'
        done
        ;;
    *) echo "$part: training, layers or dealing"; exit 2 ;;
    esac
done
