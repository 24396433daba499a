#!/bin/bash
# Type every command that README.md, the folders' READMEs, the page of the retrofit, CONTRIBUTING, `make help` and
# `palimpsest help` name, in a clean clone. Long ones are made short by their own keys, as .ci/commands.rules says; one that no
# rule covers is a failure.
# Usage: commands.sh [--list]: only say what would be run.
set -u
cd "$(dirname "$0")/.." || exit 1
tools='make|build/palimpsest|palimpsest|sudo|apt-get|git|sh|bash|pip|python3'
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
clone=$dir/clone

# ---- Where commands stand ----

# `make a | b   what they do`: cut at the first gap, split at bars.
from_make_help() {
    make -s help | awk '/^ *make / {
        sub(/^ */, "")
        sub(/  .*/, "")
        n = split($0, part, / *\| */)
        for (i = 1; i <= n; i++) print "make help\t" (part[i] ~ /^make/ ? part[i] : "make " part[i])
    }'
}
from_help() {
    local name
    for name in $("$1" help | sed -n 's/^  \([a-z][a-z-]*\)  *[a-zA-Z].*/\1/p'); do
        "$1" help "$name" >"$dir/help $name" 2>/dev/null &&
            awk -v tools="$tools" -f .ci/extract.awk "$dir/help $name" | sed "s|^$dir/||"
    done
}
all_commands() {
    git ls-files README.md '*/README.md' results/retrofit.md '.github/*.md' | while read -r file; do
        awk -v tools="$tools" -f .ci/extract.awk "$file"
    done
    from_make_help
    [ ! -x "$1" ] || from_help "$1"
}

# ---- Running them ----

. .ci/rules.sh

prepare() {
    git clone -q . "$clone" && git -C "$clone" -c advice.detachedHead=false checkout -q "$(git rev-parse HEAD)" || exit 1
    make -C "$clone" >"$dir/log" 2>&1 || { tail -n 20 "$dir/log"; exit 1; }
    mkdir -p "$clone/build/ci"
    printf 'The cat sat.\n' >"$clone/build/ci/ref.txt"
    printf 'A cat sat down.\n' >"$clone/build/ci/hyp.txt"
    printf '{"bid":"1","text":"Once upon a time there was a cat.","summary":[{"text":"A cat."}]}\n' >"$clone/build/ci/books-test.jsonl"
    cp "$clone/build/ci/books-test.jsonl" "$clone/build/ci/books-train.jsonl"
    printf '{"prompt":"One and one is","answer":["two","2"]}\n' >"$clone/build/ci/questions.jsonl"
    mkdir -p "$clone/build/ci/booksum"
    printf 'bid,book_id,chapter,summary_text\n1,A.1,"Once upon a time, there was a cat.",A cat.\n' >"$clone/build/ci/booksum/validation.csv"
    # Reports need something to report.
    (cd "$clone" && build/palimpsest eval task=passkey len=1K n=2 depths=0 model=passkey-infini-delta,passkey-local plots=0 >/dev/null) || exit 1
}

passed=0 failed=0 elsewhere=0 seen=$'\n'
binary=build/palimpsest
if [ "${1:-}" != --list ]; then
    prepare
    binary=$clone/build/palimpsest
fi
export PATH="$clone/build:$PATH"
while IFS=$'\t' read -r place command; do
    decide "$command"
    # The same words do the same.
    [[ $seen == *$'\n'"$typed"$'\n'* ]] && continue
    seen+=$typed$'\n'
    if [ "$how" = none ]; then
        echo "FAILED  $place: no rule covers: $command"
        failed=$((failed + 1))
    elif [ "$how" != run ]; then
        [ "${1:-}" != --list ] || echo "        $place: $command: ${how#elsewhere }"
        elsewhere=$((elsewhere + 1))
    elif [ "${1:-}" = --list ]; then
        echo "        $place: $command -> $typed"
    else
        # `make clean` is one of the commands: those behind it need the program again.
        [ -x "$clone/build/palimpsest" ] || make -C "$clone" >/dev/null 2>&1 || exit 1
        start=$(date +%s) code=0
        (cd "$clone" && timeout -k 5 180 bash -c "$typed" >"$dir/log" 2>&1 </dev/null) || code=$?
        if [[ ,$codes, == *,$code,* ]]; then
            echo "ok      $place: $typed ($(($(date +%s) - start)) s)"
            passed=$((passed + 1))
        else
            echo "FAILED  $place: exit code $code of: $typed"
            tail -n 12 "$dir/log" | sed 's/^/        | /'
            failed=$((failed + 1))
        fi
    fi
done < <(all_commands "$binary")
echo "commands: $elsewhere more are typed by other stages"
[ "${1:-}" = --list ] || echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && { [ "${1:-}" = --list ] || [ "$passed" -gt 0 ]; }
