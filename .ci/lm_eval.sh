#!/bin/bash
# The exported results, read by lm-evaluation-harness itself: its table prints our values, its functions find our files,
# its loader reads our samples. Left out with a loud line where Python, pip or the package index is not there.
# The environment is kept between runs in ${XDG_CACHE_HOME:-~/.cache}/palimpsest.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() { echo "lm_eval: LEFT OUT: $1; nothing was checked"; exit 0; }
command -v python3 >/dev/null || skip 'there is no python3'
venv=${XDG_CACHE_HOME:-$HOME/.cache}/palimpsest/lm-eval
python=$venv/bin/python
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Only what its table, its file names and its loader of samples import; neither models nor torch.
if ! [ -e "$venv/complete" ]; then
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv" 2>"$dir/log" || skip "python3 -m venv: $(tail -1 "$dir/log")"
    limit='timeout 300 nice -n 10'
    $limit "$python" -m pip install -q --no-deps 'lm-eval>=0.4.9,<0.5' >"$dir/log" 2>&1 &&
        $limit "$python" -m pip install -q numpy requests pyyaml jinja2 pytablewriter datasets >"$dir/log" 2>&1 ||
        skip "pip cannot install lm-eval: $(tail -1 "$dir/log")"
    touch "$venv/complete"
fi

mkdir "$dir/results"
cp results/reference/*-journal.jsonl "$dir/results/"
build/palimpsest report results="$dir/results" plots=0 >/dev/null
# -P: the folder datasets/ of this repository is not the library of that name.
HF_HOME=$dir/cache HF_HUB_OFFLINE=1 timeout 100 "$python" -P .ci/lm_eval.py "$dir/results" results/reference
