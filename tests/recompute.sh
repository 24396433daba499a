#!/bin/sh
# The Python of results/README.md gives the cells of the committed journals as the harness does.
# Usage: sh tests/recompute.sh BINARY
binary=${1:-build/palimpsest}
command -v python3 >/dev/null || { echo 'recompute: skipped, there is no python3'; exit 0; }
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT || exit 4
awk '/^```python/ { on = 1; next } /^```/ { on = 0 } on' results/README.md >"$dir/cells.py"
lines=$(grep -c . "$dir/cells.py")
[ "$lines" -gt 5 ] && [ "$lines" -le 20 ] || { echo "recompute: $lines lines of Python in results/README.md, not 6 to 20"; exit 1; }
# check TASK MODEL METRIC UNIT COLUMN VALUE [OVER]: each cell that the harness gives is among the script's, in units of UNIT.
check() {
    task=$1 model=$2 metric=$3 unit=$4 column=$5
    shift 5
    journal=results/reference/$task-journal.jsonl
    python3 "$dir/cells.py" "$journal" "$model" "$@" >"$dir/python" || exit 1
    "$binary" compare "$journal" "$journal" model_a="$model" model_b="$model" format=csv >"$dir/harness" || exit 1
    awk -F, -v metric="$metric" -v unit="$unit" -v column="$column" '
        NR == FNR { split($0, part, " n = "); match($0, column " = [-+.e0-9]+")
                    value[part[1]] = value[part[1]] " " unit * substr($0, RSTART + length(column) + 3, RLENGTH); next }
        { n = split($0, field, ","); name = $4; a = $7
          if (match($0, /"[^"]*"/)) { name = substr($0, RSTART + 1, RLENGTH - 2); $0 = substr($0, 1, RSTART - 1) "x" substr($0, RSTART + RLENGTH); a = $7 }
          if ($5 != metric) next
          seen++; found = 0; m = split(value[name], v, " ")
          for (i = 1; i <= m; i++) { d = v[i] - a; if (d < 0) d = -d; if (d <= 1e-4 * (a > 1 ? a : 1)) found = 1 }
          if (!found) { print "recompute: " name " " metric " is" value[name] ", and " a " by the harness"; bad = 1 } }
        END { if (!seen) { print "recompute: no cell of " metric; bad = 1 } else print "recompute: " seen " cells of " metric " agree"; exit bad }' \
        "$dir/python" "$dir/harness" || exit 1
}
check perplexity text-infini-delta bits_per_byte 1 bits nll bytes
check passkey passkey-infini-delta token_accuracy 100 ratio token_accuracy
