#!/bin/sh
# Run suites under every BLAS core of the list that this processor can run: other machines take other kernels, whose
# sums round differently. Usage: cores.sh SUITE...; CORES names some of the list; SUITE_LIMIT as in run.sh.
here=${0%/*}
flags=" $(sed -n '/^flags/{s/.*://p;q}' /proc/cpuinfo 2>/dev/null) "

# Whether the processor has all instructions that a core's kernels use.
can_run() {
    case $1 in
    Prescott) needed=pni ;;
    Nehalem) needed='sse4_2' ;;
    Sandybridge) needed='avx' ;;
    Haswell | Zen) needed='avx2 fma' ;;
    SkylakeX) needed='avx512f avx512dq avx512bw avx512vl' ;;
    *) missing="a rule in $0" && return 1 ;;
    esac
    for flag in $needed; do
        case $flags in *" $flag "*) ;; *) missing=$flag && return 1 ;; esac
    done
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0 ran=0
for core in ${CORES:-Prescott Nehalem Sandybridge Haswell Zen SkylakeX}; do
    if ! can_run "$core"; then
        echo "== BLAS core $core: SKIPPED, this processor has no $missing"
        continue
    fi
    ran=$((ran + 1))
    if OPENBLAS_CORETYPE=$core sh "$here/run.sh" "$@" >"$log" 2>&1; then
        echo "== BLAS core $core: $(tail -n 1 "$log")"
    else
        cat "$log"
        echo "== BLAS core $core: FAILED"
        failed=$((failed + 1))
    fi
done
echo "suites under $ran BLAS cores, $failed failed"
[ "$ran" -gt 0 ] || echo "== no BLAS core of the list runs on this processor: nothing was tested"
[ "$failed" = 0 ]
