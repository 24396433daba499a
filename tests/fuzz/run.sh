#!/bin/sh
# Run fuzz harnesses one after the other: run.sh BUILD SECONDS HARNESS..., each for so many seconds, from the kept
# corpus in tests/fuzz/corpus. FUZZ_GROWN: a folder that keeps what they discover. FUZZ_LOG: a file that counts executions.
# A finding is left as build/fuzz/findings/HARNESS-...; run the harness on it to see it again.
set -u
build=$1 seconds=$2
shift 2
here=$(dirname "$0")
findings=$build/findings
mkdir -p "$findings"
log=$(mktemp)
grown=${FUZZ_GROWN:-}
[ -n "$grown" ] || grown=$(mktemp -d)
# Findings must not depend on the number of threads; one BLAS thread also starts faster.
export OPENBLAS_NUM_THREADS=1
export UBSAN_OPTIONS=print_stacktrace=1
trap 'rm -f "$log"; [ -n "${FUZZ_GROWN:-}" ] || rm -rf "$grown"' EXIT

passed=0 failed=0
for name in "$@"; do
    mkdir -p "$grown/$name" "$here/corpus/$name"
    # Where time grows with the square of the input, or short inputs say all, long ones are left out.
    case $name in rouge | training | state | recipes) most=2048 ;; *) most=16384 ;; esac
    "$build/fuzz_$name" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=1500 -malloc_limit_mb=400 -max_len=$most \
        -print_final_stats=1 -artifact_prefix="$findings/$name-" "$grown/$name" "$here/corpus/$name" >"$log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    [ -z "${FUZZ_LOG:-}" ] || echo "$name ${runs:-0} status $status" >>"$FUZZ_LOG"
    if [ "$status" = 0 ] && [ "${runs:-0}" -gt 0 ]; then
        passed=$((passed + 1))
        echo "fuzz $name: $runs executions in $seconds s"
    else
        failed=$((failed + 1))
        echo "fuzz $name: FAILED with status $status after ${runs:-?} executions"
        grep -aE '^(fuzz:|==[0-9]+==ERROR|SUMMARY|.*: not so|.*runtime error|artifact_prefix)' "$log" | head -20
        grep -aE '^ *#[0-9]+ ' "$log" | head -12
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
