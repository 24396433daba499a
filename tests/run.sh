#!/bin/sh
# Run cmocka suites, as many at once as there are processors, show the output of each when it ends and close with
# `N passed, N failed`. A suite that crashes, hangs beyond SUITE_LIMIT seconds or prints no verdict counts as one failure.
# AT_ONCE says how many run at once; WRAPPER goes before each suite.
export AT_ONCE="${AT_ONCE:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)}"

# One suite: its output in a file, then on ours.
if [ "${1:-}" = --one ]; then
    dir=$2 suite=$3
    log=$(mktemp "$dir/log.XXXXXX")
    echo "== $suite" >"$log"
    start=$(date +%s)
    timeout -k 5 "${SUITE_LIMIT:-300}" ${WRAPPER:-} "$suite" >>"$log" 2>&1
    status=$?
    good=$(sed -n 's/^\[  PASSED  \] \([0-9][0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    wrong=$(sed -n 's/^\[  FAILED  \] .*: \([0-9][0-9]*\) test.*/\1/p;s/^\[  FAILED  \] \([0-9][0-9]*\) test.*/\1/p' "$log" |
        awk '{ n += $1 } END { print n + 0 }')
    if [ $((good + wrong)) = 0 ] || { [ "$status" != 0 ] && [ "$wrong" = 0 ]; }; then
        echo "== $suite ended with status $status and no complete verdict" >>"$log"
        wrong=$((wrong + 1))
    fi
    echo "== $suite: $(($(date +%s) - start)) s" >>"$log"
    # As nobody else is writing.
    (
        flock 9
        cat "$log"
        echo "$good $wrong $suite" >>"$dir/ends"
    ) 9>"$dir/lock"
    exit 0
fi

# Suites multiply by the BLAS kernels that the binary takes; valgrind does not know the instructions of the newest.
if [ -n "${PALIMPSEST:-}" ] && [ -z "${WRAPPER:-}${OPENBLAS_CORETYPE:-}" ]; then
    core=$("$PALIMPSEST" list weights=/ | sed -n 's/^BLAS core: //p')
    [ -z "$core" ] || export OPENBLAS_CORETYPE="$core"
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
: >"$dir/ends"
printf '%s\n' "$@" | xargs -P "$AT_ONCE" -I '{}' sh "$0" --one "$dir" '{}'
awk -v suites=$# '
    { passed += $1; failed += $2; ended++ }
    $2 > 0 { bad = bad " " $3 }
    END {
        if (ended < suites) failed += suites - ended
        if (bad != "") print "failed suites:" bad
        print passed + 0 " passed, " failed + 0 " failed"
        exit !(failed == 0 && passed > 0)
    }' "$dir/ends"
