#!/bin/sh
# Break the program on purpose, one line at a time, and see whether the suite that should notice does.
# Usage: sh tests/mutants.sh [PATTERN]    only mutants whose line in tests/mutants.txt matches
# Works in a copy under build/mutants, so the sources stay as they are. Ends with 1 when fewer than 95 % are killed.
set -u
cd "$(dirname "$0")/.." || exit 4
tree=build/mutants/tree
rm -rf "$tree" && mkdir -p "$tree" || exit 4
# Hard links: a mutation writes a new file, and leaves the original alone.
for f in * .ci .clang-format; do [ "$f" = build ] || cp -al "$f" "$tree/" || exit 4; done
cd "$tree" || exit 4
list=tests/mutants.txt
# Without -Werror: a mutant may leave something unused.
build() { make -s -j2 WERROR= ${CC:+CC="$CC"} build/palimpsest "build/tests/test_$1" >../log 2>&1; }
# Seconds of processor time end what never ends; those of the clock say little where others work.
suite() (ulimit -t 300; PALIMPSEST=build/palimpsest exec timeout 3000 "build/tests/test_$1" >../log 2>&1)
tab=$(printf '\t')
grep -v '^#' "$list" | grep . | grep -e "${1:-.}" >../chosen
for suite in $(cut -f2 ../chosen | tr ' ' '\n' | sort -u); do
    build "$suite" || { echo "the unchanged $suite does not build"; exit 4; }
    suite "$suite" || { echo "the unchanged $suite fails"; tail -n 5 ../log; exit 4; }
done
killed=0 survived=0 excused=0
while IFS=$tab read -r file suites from to reason; do
    excuse=; case $file in -*) excuse=1; file=${file#-} ;; esac
    cp "$file" ../original
    FROM=$from TO=$to perl -0pi -e '$n = () = /\Q$ENV{FROM}\E/g; s/\Q$ENV{FROM}\E/$ENV{TO}/; END { exit 9 if $n != 1 }' "$file" ||
        { echo "not there, or more than once: $file: $from"; exit 4; }
    verdict=survived
    for suite in $suites; do
        if ! build "$suite"; then verdict='does not build'; break; fi
        if ! suite "$suite"; then verdict="killed by $suite"; break; fi
    done
    rm "$file" && cp ../original "$file"
    case $verdict in
    killed*) killed=$((killed + 1)) ;;
    *) if [ "$excuse" ]; then excused=$((excused + 1)); verdict="$verdict:$reason"; else survived=$((survived + 1)); fi ;;
    esac
    echo "$verdict | $file | $from -> $to"
done <../chosen
echo "$killed killed, $survived survived, $excused equivalent"
[ $((killed * 100)) -ge $(((killed + survived) * 95)) ]
