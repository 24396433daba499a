#!/bin/sh
# Run cmocka suites one after the other, show their output and close with `N passed, N failed`. A suite that crashes,
# hangs beyond SUITE_LIMIT seconds or prints no verdict counts as one failure. WRAPPER goes before each suite.
passed=0 failed=0 bad=
# Suites multiply by the BLAS kernels that the binary takes; valgrind does not know the instructions of the newest.
if [ -n "${PALIMPSEST:-}" ] && [ -z "${WRAPPER:-}${OPENBLAS_CORETYPE:-}" ]; then
    core=$("$PALIMPSEST" list weights=/ | sed -n 's/^BLAS core: //p')
    [ -z "$core" ] || export OPENBLAS_CORETYPE="$core"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for suite in "$@"; do
    echo "== $suite"
    timeout -k 5 "${SUITE_LIMIT:-300}" ${WRAPPER:-} "$suite" >"$log" 2>&1
    status=$?
    cat "$log"
    good=$(sed -n 's/^\[  PASSED  \] \([0-9][0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    wrong=$(sed -n 's/^\[  FAILED  \] .*: \([0-9][0-9]*\) test.*/\1/p;s/^\[  FAILED  \] \([0-9][0-9]*\) test.*/\1/p' "$log" |
        awk '{ n += $1 } END { print n + 0 }')
    if [ $((good + wrong)) = 0 ] || { [ "$status" != 0 ] && [ "$wrong" = 0 ]; }; then
        echo "== $suite ended with status $status and no complete verdict"
        wrong=$((wrong + 1))
    fi
    [ "$wrong" = 0 ] || bad="$bad $suite"
    passed=$((passed + good)) failed=$((failed + wrong))
done

[ -z "$bad" ] || echo "failed suites:$bad"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
