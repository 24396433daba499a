#!/bin/bash
# A dozen hostile names as weights, corpus folder, results folder and training log: all tables and pictures are there,
# nothing is executed, nothing is lost. The repository must be built; without gnuplot only tables are checked.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
P=${PALIMPSEST:-$root/build/palimpsest}
craft() { perl "$root/tests/lib/craft.pl" "$@"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OPENBLAS_NUM_THREADS=1
plots=1
command -v gnuplot >/dev/null || { echo 'names: no gnuplot here: the pictures are not looked at'; plots=0; }

names=('run 7 (best)' "it's" 'say "hi"' '$(touch executed)' '`touch executed`' 'a;touch executed' $'two\nlines' 'a,b'
    'a|touch executed' 'a&b' 'k=v' '-rf' '<script>alert(1)<' '=1+1' '%s%n\n')

passed=0 failed=0
verdict() { # verdict TEXT: of the checks since the last one
    if [ -z "$wrong" ]; then
        passed=$((passed + 1))
        echo "ok      $1"
    else
        failed=$((failed + 1))
        echo "FAILED  $1"
        printf '        %s\n' "${wrong//$'\n'/$'\n'        }"
    fi
    wrong=
}
wrong=
note() { wrong+="${wrong:+$'\n'}$1"; }
must() { "$@" >out 2>err </dev/null || note "exit code $? of: $* :: $(tail -n 2 err)"; }
nothing_executed() { [ -z "$(find "$work" "$root" -maxdepth 3 -name executed 2>/dev/null)" ] || { note 'something was executed'; find "$work" "$root" -maxdepth 3 -name executed -delete; }; }
pictures() { find "$1" -name '*.svg' | wc -l; }
flat() { printf %s "$1" | tr '\n' ' '; }

# ---- Small weights and texts ----

cat >tiny.conf <<'END'
task = passkey
attention = infini-delta
tokenizer = bytes
d_model = 16
n_layers = 2
n_heads = 2
d_head = 8
d_ff = 16
segment = 64
train_len = 256
train_steps = 4
batch_tokens = 512
warmup = 1
log_every = 1
threads = 1
END
"$P" train config=tiny.conf out=plain.safetensors log=plain.csv >/dev/null || exit 1
evaluate() { # evaluate TASK RESULTS WORDS...: through the binary, from the repository, where the plot scripts are
    local task=$1 results=$2
    shift 2
    if [ "$task" = passkey ]; then set -- "$@" len=1K,2K n=2 depths=0,50,100; else set -- "$@" references=0; fi
    (cd "$root" && "$P" eval task="$task" results="$results" threads=1 plots=$plots "$@") >out 2>err </dev/null || note "exit code $?: $(tail -n 2 err)"
}

# ---- Weights: all of them in one folder, evaluated and reported together ----

mkdir weights plain-weights
for i in "${!names[@]}"; do
    # Different weights: equal ones are one model, whatever its name.
    "$P" train config=tiny.conf seed=$((i + 2)) out="plain-weights/model$i.safetensors" log=log.csv >/dev/null || exit 1
    mv plain-weights/*-gates.csv . 2>/dev/null
    cp "plain-weights/model$i.safetensors" "weights/${names[i]}.safetensors"
done
evaluate passkey "$work/plain-results" weights="$work/plain-weights" model=all
evaluate passkey "$work/results" weights="$work/weights" model=all
expected=$(pictures plain-results)
[ "$(pictures results)" = "$expected" ] || note "$(pictures results) pictures; with plain names $expected"
[ $plots = 0 ] || [ "$expected" -gt 0 ] || note 'no pictures at all'
nothing_executed
for file in results/*.csv; do
    craft csv "$file" model | sort -u >found || note "$file: no CSV"
    for name in "${names[@]}"; do
        # A leading sign may be neutralised by a quote before it.
        grep -qxF -e "$(flat "$name")" -e "'$(flat "$name")" found || note "$file: lost $name"
    done
    grep -q '^[=+@-]' found && note "$file: a formula"
done
verdict "${#names[@]} names of weights: pictures and CSV"
(cd "$root" && "$P" report results="$work/results" out="$work/results/report.html") >out 2>err </dev/null ||
    (cd "$root" && "$P" html results="$work/results" out="$work/results/report.html" json="$work/results/results.json") >out 2>err </dev/null ||
    note "no report: $(tail -n 1 err)"
grep -q '<script>alert' results/report.html && note 'a name became HTML'
for word in 'run 7 (best)' 'a&amp;b' '&lt;script&gt;alert(1)'; do grep -qF "$word" results/report.html || note "the page lacks $word"; done
nothing_executed
verdict 'the page of them'
must "$P" tables results="$work/results"
nothing_executed
verdict 'the tables of them'

# ---- Corpora ----

mkdir texts
printf 'A text of one line, and\nanother line of it.\n' >text.txt
for name in "${names[@]}"; do
    mkdir -p "texts/$name"
    for i in 1 2 3; do cp text.txt "texts/$name/text $i.txt"; done
    list=$work/texts/$name
    evaluate perplexity "$work/corpora" data="${list//,/\\,}" split=all model="$work/plain.safetensors"
done
samples=$(grep -c '"kind":"sample"' corpora/perplexity-journal.jsonl)
[ "$samples" = $((3 * ${#names[@]})) ] || note "$samples samples, not $((3 * ${#names[@]}))"
craft csv corpora/perplexity-cells.csv cell | sort -u >found || note 'no CSV'
for name in "${names[@]}"; do grep -qF -- "$(flat "$name")" found || note "lost $name"; done
nothing_executed
verdict "${#names[@]} names of corpora"

# ---- Results folders, by the binary and by make ----

for name in "${names[@]}"; do
    # make's own escape of its one special character.
    evaluate passkey "$work/folders/$name" model="$work/plain.safetensors"
    [ -e "folders/$name/passkey-table.md" ] || note "no table in $name"
    [ $plots = 0 ] || [ "$(pictures "folders/$name")" -gt 0 ] || note "no pictures in $name"
    make -C "$root" plots RESULTS="$work/folders/${name//\$/\$\$}" >out.log 2>&1 </dev/null || note "make plots of $name: $(tail -n 1 out.log)"
done
nothing_executed
verdict "${#names[@]} names of results folders"

# ---- Training logs ----

mkdir -p logs/training
for name in "${names[@]}"; do
    (cd logs/training && "$P" train config="$work/tiny.conf" out="$work/t.safetensors" log="./$name.csv") >out 2>err </dev/null || note "train: $(tail -n 1 err)"
    rm -f t.safetensors*
    [ -s "logs/training/$name.csv" ] || note "no log $name"
done
if [ $plots = 1 ]; then
    (cd "$root" && "$P" plots results="$work/logs") >out 2>err </dev/null || make -C "$root" plots RESULTS="$work/logs" >out 2>err </dev/null || note "plots: $(tail -n 1 err)"
    [ "$(pictures logs)" -gt 0 ] || note 'no picture of training'
fi
nothing_executed
verdict "${#names[@]} names of training logs"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
