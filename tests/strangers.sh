#!/bin/bash
# What strangers type, and what breaks under their hands: damaged files, odd names, machines that fail. Every row runs
# the binary or make as a user would and checks exit code, message and what is left behind. Usage: strangers.sh [WORD...]:
# only rows whose description holds a word. The repository must be built.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
P=${PALIMPSEST:-$root/build/palimpsest}
craft() { perl "$root/tests/lib/craft.pl" "$@"; }

# ---- One run and what is asked of it ----

# run WORDS...: exit code in $code, output in $work/out and $work/err. LIMIT: seconds.
run() {
    code=0
    timeout -k 2 "${LIMIT:-60}" "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
    last="$*"
}
# One thread: rows may run beside other work, where threads that wait for each other are slow.
p() {
    case $1 in eval | train) [[ " $* " == *--help* || " $* " == *' -h '* ]] || set -- "$@" threads=1 ;; esac
    run "$P" "$@"
}
say() { echo "    $1" >&2; sed 's/^/    | /' "$work/err" "$work/out" 2>/dev/null | tail -n 8 >&2; exit 1; }
code_is() {
    local allowed
    for allowed in "$@"; do [ "$code" = "$allowed" ] && return; done
    say "exit code $code, not $* of: $last"
}
one_line() { [ "$(wc -l <"$work/err")" = 1 ] || say "not one line of error: $last"; }
err_has() { grep -qiE -- "$1" "$work/err" || say "no /$1/ in the error of: $last"; }
out_has() { grep -qE -- "$1" "$work/out" || say "no /$1/ in the output of: $last"; }
either_has() { cat "$work/out" "$work/err" | grep -qiE -- "$1" || say "no /$1/ in what is printed by: $last"; }
out_lacks() { ! grep -qE -- "$1" "$work/out" || say "/$1/ in the output of: $last"; }
# refused CODE WORD: exit code, one line, and a word of it
refused() { code_is "$1"; one_line; err_has "$2"; }
there() { local path; for path in "$@"; do [ -e "$path" ] || say "$path is not there after: $last"; done; }
absent() { local path; for path in "$@"; do [ ! -e "$path" ] || say "$path is there after: $last"; done; }
same() { cmp -s "$1" "$2" || say "$1 and $2 differ after: $last"; }
value() { craft csv "$1" value | head -n "${2:-1}"; }

# ---- Small inputs ----

tiny() { # tiny NAME [key=value...]: weights of seconds
    local name=$1
    shift
    [ -e "$work/$name" ] || "$P" train config="$work/tiny.conf" out="$work/$name" log="$work/$name.csv" "$@" >/dev/null || exit 1
}
passkey() { # passkey MODEL RESULTS [key=value...]
    local model=$1 results=$2
    shift 2
    p eval task=passkey model="$model" results="$results" len=1K n=2 depths=0,100 plots=0 "$@"
}
perplexity() { # perplexity DATA RESULTS [key=value...]
    local data=$1 results=$2
    shift 2
    p eval task=perplexity data="$data" model="$work/tiny.safetensors" results="$results" plots=0 references=0 "$@"
}
prepare() {
    cat >"$work/tiny.conf" <<END
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
train_steps = 2
batch_tokens = 512
warmup = 1
log_every = 1
threads = 1
END
    tiny tiny.safetensors
    mkdir -p "$work/texts"
    printf 'A text of one line, and\nanother line of it.\n' >"$work/texts/plain.txt"
}
# A clone with the objects of this build, so that make has nothing to compile.
clone() {
    git clone -q "$root" "$1" && git -C "$1" -c advice.detachedHead=false checkout -q "$(git -C "$root" rev-parse HEAD)" || exit 1
    mkdir -p "$1/build"
    (cd "$root/build" && cp -r palimpsest flags datasets harness models tasks "$1/build/" 2>/dev/null)
    # Whatever else a build leaves beside them.
    for file in "$root"/build/*; do [ -f "$file" ] && cp "$file" "$1/build/"; done
    find "$1/build" -exec touch {} +
}

# The compiler of this build: with another one make would begin anew.
CC=$(sed -n 's/ -std=.*//p' "$root/build/flags")
mk() { LIMIT=${LIMIT:-120} run make -C "$work/c" CC="$CC" "$@"; }

rows=()
row() { rows+=("$1|$2"); }

# ---- The commands that READMEs and help name ----

row equal_keys 'equal keys have equal neighbours on every BLAS core'
equal_keys() {
    [ -x "$root/build/tests/test_memorizing" ] || LIMIT=250 run make -C "$root" CC="$CC" build/tests/test_memorizing
    local core
    for core in Haswell Zen Nehalem; do
        OPENBLAS_CORETYPE=$core run "$root/build/tests/test_memorizing"
        # A core that this processor lacks dies of its first instruction.
        [ "$code" = 132 ] || code_is 0
    done
}
row fetches_corpora 'make eval TASK=perplexity fetches the default corpora, and only what is named'
fetches_corpora() {
    clone "$work/c"
    mk -n eval TASK=perplexity
    code_is 0
    either_has 'fetch\.sh.*books|datasets.*books'
    mk -n eval TASK=perplexity "DATA=/x/my books"
    code_is 0
    ! grep -E "fetch\.sh.* books|DATASETS='?[a-z ]*books" "$work/out" >/dev/null || say "fetches books for DATA='/x/my books'"
}
row compare_by_make 'make compare A= B= compares, and builds nothing into B'
compare_by_make() {
    clone "$work/c"
    passkey "$work/tiny.safetensors" "$work/c/results"
    mk compare A=results B=results
    code_is 0
    mkdir "$work/b"
    cp -r "$work/c/results/." "$work/b"
    mk compare A=results B="$work/b"
    code_is 0
    [ -z "$(find "$work/c/results" "$work/b" -name '*.o' -o -name '*.d')" ] || say 'objects among the results'
}
row missing_corpus 'a missing corpus: the message says how to get that very one'
missing_corpus() {
    perplexity novels "$work/r"
    refused 2 novels
    err_has 'README|ELTeC'
    perplexity books,nothing-of-that-name "$work/r"
    refused 2 'no such|neither|not there'
}
row short_names 'a short model name means the model of the task; a wrong one gets near names'
short_names() {
    cd "$root" || exit 1
    p eval task=passkey model=infini-delta len=1K n=1 depths=0 results="$work/r" plots=0
    code_is 0
    grep -q '"model":"passkey-infini-delta"' "$work/r/passkey-journal.jsonl" || say 'another model'
    p eval task=passkey model=infini-dleta len=1K n=1 results="$work/r2"
    refused 2 'infini-delta'
    p evla
    refused 2 eval
    p eval taks=passkey
    refused 2 task
}
row verify_elsewhere 'the reference results verify on another BLAS core, and without their corpora'
verify_elsewhere() {
    cd "$root" || exit 1
    LIMIT=240 OPENBLAS_CORETYPE=Haswell run "$P" verify results=results/reference task=passkey k=1
    [ "$code" = 132 ] || code_is 0
    p verify results=results/reference task=booksum k=1
    code_is 0 5
}
row unset_split 'an unset split is the one that the layout has'
unset_split() {
    printf '{"text":"one line"}\n{"text":"another"}\n' >"$work/test.jsonl"
    mkdir -p "$work/pg/test" "$work/pg/train"
    printf 'a book\n' >"$work/pg/test/1.txt"
    printf 'another book\n' >"$work/pg/train/2.txt"
    perplexity "$work/texts" "$work/r"
    code_is 0
    perplexity "$work/test.jsonl" "$work/r"
    code_is 0
    perplexity "$work/pg,$work/texts" "$work/r"
    code_is 0
    [ "$(grep -c '"kind":"sample"' "$work/r/perplexity-journal.jsonl")" = 4 ] || say 'not 1 + 2 + 1 documents'
    perplexity "$work/pg" "$work/r2" split=train
    code_is 0
    perplexity "$work/pg" "$work/r2" split=validation
    code_is 2 3
    one_line
    err_has validation
}
row outputs_by_folder 'make report and tables RESULTS=DIR write into DIR and leave results alone'
outputs_by_folder() {
    clone "$work/c"
    passkey "$work/tiny.safetensors" "$work/d"
    local before
    before=$(cd "$work/c" && find results -type f -exec cksum {} + | sort)
    mk report RESULTS="$work/d"
    code_is 0
    mk tables RESULTS="$work/d"
    code_is 0
    there "$work/d/report.html"
    [ -n "$(find "$work/d/tables" -name '*.md' 2>/dev/null)" ] || say 'no tables in DIR/tables'
    [ "$before" = "$(cd "$work/c" && find results -type f -exec cksum {} + | sort)" ] || say 'results has changed'
}
row swallowed_words 'words that are no setting are refused, on the line of make too'
swallowed_words() {
    clone "$work/c"
    local word
    for word in MODELS=passkey-local LENGHT=1K NO_SUCH=1; do
        mk plan "$word"
        [ "$code" != 0 ] || say "make plan $word: exit code 0"
        either_has "${word%%=*}|$(echo "${word%%=*}" | tr A-Z a-z)"
    done
    # The environment: honoured or refused, never passed over.
    (cd "$work/c" && LEN=1K MODEL=passkey-local N=1 LIMIT=120 run make CC="$CC" plan)
    grep -qE '32768|32K' "$work/out" && say 'LEN=1K of the environment is passed over'
    mkdir "$work/cwd"
    cd "$work/cwd" || exit 1
    p eval task=passkey model="$work/tiny.safetensors" len=1K n=1 results=
    refused 2 results
    absent /passkey-journal.jsonl /passkey-cells.csv
}
row values_for_make 'values with quotes, spaces and $( ) are values to make'
values_for_make() {
    clone "$work/c"
    local name
    for name in 'a b' "o'brien" '$(touch executed)' '`touch executed`' 'x;touch executed'; do
        passkey "$work/tiny.safetensors" "$work/c/$name"
        mk tables RESULTS="${name//\$/\$\$}"
        code_is 0
        there "$work/c/$name/tables"
        mk plots RESULTS="${name//\$/\$\$}"
        code_is 0
        absent "$work/c/executed"
    done
}

# ---- Data that becomes program text ----

row svg_handlers 'nothing executable gets out of a picture onto the page'
svg_handlers() {
    passkey "$work/tiny.safetensors" "$work/r"
    printf '<svg xmlns="http://www.w3.org/2000/svg"\nonload="a()"><rect onmouseover="b()"/><a xlink:href="javascript:c()"><set onbegin="d()"/></a><script>e()</script></svg>' >"$work/r/passkey-accuracy.svg"
    cd "$root" || exit 1
    p report results="$work/r"
    [ -e "$work/r/report.html" ] || p html results="$work/r" out="$work/r/report.html" json="$work/r/results.json"
    code_is 0
    there "$work/r/report.html"
    grep -q 'Content-Security-Policy' "$work/r/report.html" || say 'no Content-Security-Policy'
    ! grep -zqiE '<[^>]*[[:space:]/]on(load|mouseover|begin)[[:space:]]*=|javascript:|<script>e' "$work/r/report.html" || say 'a handler on the page'
}
row csv_fields 'every CSV has as many fields as its head, and no formula'
csv_fields() {
    tiny '=1+1.safetensors' seed=5
    tiny 'a,b "c".safetensors' seed=6
    mkdir "$work/w"
    mv "$work/=1+1.safetensors" "$work/a,b \"c\".safetensors" "$work/w/"
    p eval task=passkey weights="$work/w" model=all len=1K n=1 depths=0 results="$work/r" plots=0
    code_is 0
    local file models
    for file in "$work"/r/*.csv; do
        models=$(craft csv "$file" model) || say "$file"
        echo "$models" | grep -q '^[=+@-]' && say "$file: a formula"
        echo "$models" | grep -qF 'a,b "c"' || say "$file: a name is lost"
    done
}

# ---- Wrong answers without a word ----

row non_finite 'weights with NaN or infinity are refused'
non_finite() {
    local bits tensor
    for bits in 7fc00000 7f800000 ff800000; do
        for tensor in word_emb.emb_layers.0.weight layers.0.dec_attn.qkv_net.weight layers.1.pos_ff.CoreNet.0.bias; do
            craft number "$work/tiny.safetensors" "$work/bad.safetensors" "$tensor" 1 $bits
            passkey "$work/bad.safetensors" "$work/r"
            code_is 3
            one_line
            err_has "$tensor"
        done
    done
    craft number "$work/tiny.safetensors" "$work/huge.safetensors" layers.1.pos_ff.CoreNet.0.bias 1 7f7fffff
    passkey "$work/huge.safetensors" "$work/r2"
    code_is 0 1
    grep -qiE "(^|[^a-z])(nan|-?inf)([^a-z]|$)" "$work/r2/passkey-table.md" 2>/dev/null && say 'NaN in the table'
    true
}
row damaged_gzip 'a damaged gzip member, wherever, is an error with its file'
damaged_gzip() {
    local i offset size
    for i in 1 2 3 4; do printf '{"text":"document %s"}\n' $i | gzip -9n; done >"$work/four.jsonl.gz"
    perplexity "$work/four.jsonl.gz" "$work/r" split=all
    code_is 0
    [ "$(grep -c '"kind":"sample"' "$work/r/perplexity-journal.jsonl")" = 4 ] || say 'not four documents'
    size=$(stat -c %s "$work/four.jsonl.gz")
    # The magic of members two and three, a length, and the last byte.
    for offset in $((size / 4)) $((size / 2)) $((size / 4 - 2)) $((size - 1)); do
        cp "$work/four.jsonl.gz" "$work/bad.jsonl.gz"
        craft flip "$work/bad.jsonl.gz" $offset 4
        perplexity "$work/bad.jsonl.gz" "$work/r-$offset" split=all
        refused 3 bad.jsonl.gz
    done
    { cat "$work/four.jsonl.gz"; echo rubbish; } >"$work/tail.jsonl.gz"
    perplexity "$work/tail.jsonl.gz" "$work/r-tail" split=all
    refused 3 tail.jsonl.gz
    head -c $((size - 6)) "$work/four.jsonl.gz" >"$work/cut.jsonl.gz"
    perplexity "$work/cut.jsonl.gz" "$work/r-cut" split=all
    refused 3 cut.jsonl.gz
    gzip -9nc "$work/texts/plain.txt" >"$work/plain.txt.gz"
    craft flip "$work/plain.txt.gz" -3 1
    perplexity "$work/plain.txt.gz" "$work/r-txt" split=all
    refused 3 plain.txt.gz
}
row damaged_lanes 'a damaged file of training state never trains other weights'
damaged_lanes() {
    local out=$work/m.safetensors words=(task=perplexity data="$work/long.txt" split=all attention=infini-delta train_steps=2000 checkpoint_every=20 log_every=100)
    local i lanes reference
    for i in $(seq 3000); do echo "line $i of a text"; done >"$work/long.txt"
    "$P" train config="$work/tiny.conf" out="$work/whole.safetensors" "${words[@]}" >/dev/null 2>&1 || say 'training fails'
    reference=$(cksum <"$work/whole.safetensors")
    # Stop it as soon as there is a checkpoint.
    "$P" train config="$work/tiny.conf" out="$out" "${words[@]}" >/dev/null 2>&1 &
    local child=$!
    for i in $(seq 1000); do ls "$out"*.lanes-* >/dev/null 2>&1 && break; sleep 0.02; done
    kill -9 $child 2>/dev/null
    wait $child 2>/dev/null
    lanes=$(ls "$out"*.lanes-* 2>/dev/null | head -n 1)
    [ -n "$lanes" ] || say 'no checkpoint to damage'
    mkdir "$work/kept"
    cp "$out"* "$work/kept/"
    # Digits of the header, both newlines of it, and a byte of a state.
    local newline1 newline2 offset
    newline1=$(grep -abom1 $'\x0a' "$lanes" 2>/dev/null | head -n 1 | cut -d: -f1)
    newline1=$(head -n 1 "$lanes" | wc -c) newline2=$(head -n 2 "$lanes" | wc -c)
    for offset in 21 25 30 $((newline1 + 1)) $((newline2 - 2)) $((newline1 - 1)) "$((newline1 - 1)) $((newline2 - 1))" -40; do
        rm -f "$out"*
        cp "$work/kept/"* "$work/"
        for i in $offset; do craft flip "$lanes" "$i" 1; done
        p train config="$work/tiny.conf" out="$out" "${words[@]}"
        # Refused, or read past the damage to the very same weights.
        if [ "$code" = 0 ]; then
            [ "$(cksum <"$out")" = "$reference" ] || say "byte $offset flipped: other weights"
        else
            code_is 3
            one_line
        fi
    done
}
row latin_names 'a file name that is not UTF-8 is refused by its escaped name, or kept whole'
latin_names() {
    mkdir "$work/l"
    printf 'some text\n' >"$work/l/$(printf 'ol\351.txt')"
    perplexity "$work/l" "$work/r" split=all
    if [ "$code" = 0 ]; then
        ! grep -q '"record":{}' "$work/r/perplexity-journal.jsonl" || say 'an empty record'
    else
        code_is 2 3
        one_line
        err_has 'ol.*e9|UTF-8'
    fi
    cp "$work/tiny.safetensors" "$work/$(printf 'w\351.safetensors')"
    passkey "$work/$(printf 'w\351.safetensors')" "$work/r2"
    [ "$code" = 0 ] || { code_is 2 3; one_line; err_has 'UTF-8|e9'; }
    ! grep -qi 'out of memory' "$work/err" || say 'out of memory'
}
row byte_order_mark 'one rule for byte order marks, everywhere'
byte_order_mark() {
    local mark=$'\xef\xbb\xbf'
    { printf %s "$mark"; cat "$work/texts/plain.txt"; } >"$work/bom.txt"
    perplexity "$work/texts/plain.txt" "$work/r1" split=all
    code_is 0
    perplexity "$work/bom.txt" "$work/r2" split=all
    code_is 0
    [ "$(craft csv "$work/r1/perplexity-cells.csv" value)" = "$(craft csv "$work/r2/perplexity-cells.csv" value)" ] || say 'the mark is scored'
    printf '%s{"text":"one line"}\n' "$mark" >"$work/bom.jsonl"
    perplexity "$work/bom.jsonl" "$work/r3" split=all
    code_is 0
    { printf %s "$mark"; cat "$work/tiny.conf"; } >"$work/bom.conf"
    p train config="$work/bom.conf" out="$work/b.safetensors"
    code_is 0
    { printf %s "$mark"; cat "$root/models/tokenizers/text-2k.json"; } >"$work/bom.json"
    p tokenizer file="$work/bom.json" data="$work/texts/plain.txt" split=all
    # The keys of this command are its own; what matters is that the mark is no fault of the JSON.
    ! grep -qi "json.*line 1\|invalid token" "$work/err" || say 'the mark is a fault of tokenizer.json'
    printf '%s{"bid":"1","text":"A long text.","summary":[{"text":"Short."}]}\n' "$mark" >"$work/bom-test.jsonl"
    p eval task=booksum data="$work/bom-test.jsonl" model="$work/tiny.safetensors" max_tokens=4 results="$work/r4" plots=0
    code_is 0
}
row other_scripts 'ROUGE of texts without a-z is undefined, never 0.0'
other_scripts() {
    printf '{"bid":"1","text":"Жил-был старик. У самого моря.","summary":[{"text":"Сказка о рыбаке."}]}\n' >"$work/ru-test.jsonl"
    p eval task=booksum data="$work/ru-test.jsonl" model="$work/tiny.safetensors" max_tokens=8 results="$work/r" plots=0
    code_is 0
    ! grep -E '^\| *(oracle|tiny|lead)' "$work/r/booksum-table.md" | grep -qE '\| *\**0\.0' || say '0.0 in the table'
    either_has 'no token|token'
}
row lost_record 'a damaged last record, records of other versions and foreign files are said, not dropped'
lost_record() {
    passkey "$work/tiny.safetensors" "$work/r"
    cp -r "$work/r" "$work/r2"
    craft flip "$work/r2/passkey-journal.jsonl" -20 1
    p report task=passkey results="$work/r2" plots=0
    either_has 'damaged|torn|crc|record'
    cp -r "$work/r" "$work/r3"
    craft seal "$work/r/passkey-journal.jsonl" "$work/r3/passkey-journal.jsonl" '"task_version":' '"task_version":9'
    p report task=passkey results="$work/r3" plots=0
    either_has 'version'
    mkdir "$work/r4"
    printf 'my notes, no journal at all' >"$work/r4/passkey-journal.jsonl"
    passkey "$work/tiny.safetensors" "$work/r4"
    code_is 3
    one_line
    [ "$(cat "$work/r4/passkey-journal.jsonl")" = 'my notes, no journal at all' ] || say 'the foreign file was changed'
}
row honest_columns 'cost.csv holds seconds and tokens a second; tables hold no speed'
honest_columns() {
    passkey "$work/tiny.safetensors" "$work/r"
    head -n 1 "$work/r/passkey-cost.csv" | grep -q seconds || say 'no seconds in cost.csv'
    local table
    perplexity "$work/texts" "$work/r" split=all
    for table in "$work"/r/*-table.md; do
        ! grep -qi 'tokens/s\|seconds' "$table" || say "speed in $table"
    done
}
row labels 'a label that tables print can be typed'
labels() {
    tiny one.safetensors seed=1
    tiny two.safetensors seed=2
    mkdir -p "$work/w1" "$work/w2"
    cp "$work/one.safetensors" "$work/w1/m.safetensors"
    cp "$work/two.safetensors" "$work/w2/m.safetensors"
    passkey "$work/w1/m.safetensors" "$work/r"
    passkey "$work/w2/m.safetensors" "$work/r" memory=both
    code_is 0
    local label n=0
    while read -r label; do
        p compare "$work/r" "$work/r" model_a="$label" model_b="$label"
        code_is 0
        n=$((n + 1))
    done < <(sed -n 's/^| \([^|]*[^ |]\) *| 1K |.*/\1/p' "$work/r/passkey-table.md" | grep -v '^paper' | tr -d '*\\' | sort -u)
    [ $n -ge 3 ] || say "only $n labels in the table"
}
row short_prompts 'depth 0 of a very short prompt lies at the start, or is refused'
short_prompts() {
    p eval task=passkey model="$work/tiny.safetensors" results="$work/r" plots=0 n=2 depths=0 len=99
    if [ "$code" = 0 ]; then
        local depth
        for depth in $(grep -o '"depth_actual":[0-9.]*' "$work/r/passkey-journal.jsonl" | cut -d: -f2); do
            awk -v d="$depth" 'BEGIN { exit !(d <= 5) }' || say "depth 0 lies at $depth %"
        done
    else
        refused 2 'len|short'
    fi
}
row line_ends 'CRLF and added tokens in a text are said'
line_ends() {
    printf 'one line\r\nanother\r\n' >"$work/crlf.txt"
    perplexity "$work/crlf.txt" "$work/r" split=all
    code_is 0
    either_has 'CRLF|carriage'
    printf 'one<|endoftext|>two\n' >"$work/added.txt"
    cd "$root" || exit 1
    p eval task=perplexity data="$work/added.txt" split=all model=text-300k-local results="$work/r2" plots=0 references=0
    code_is 0
    either_has 'endoftext'
}

# ---- The machine fails ----

row closed_descriptors 'closed standard descriptors never reach a file of ours'
closed_descriptors() {
    passkey "$work/tiny.safetensors" "$work/r0"
    local words=(eval task=passkey model="$work/tiny.safetensors" len=1K n=2 depths=0,100 threads=1 plots=0)
    "$P" "${words[@]}" results="$work/r1" <&- >&- 2>&-
    "$P" "${words[@]}" results="$work/r2" >&-
    "$P" "${words[@]}" results="$work/r3" 2>&- >/dev/null
    "$P" "${words[@]}" results="$work/r4" <&- >/dev/null
    local i
    for i in 1 2 3 4; do
        p report task=passkey results="$work/r$i" plots=0
        code_is 0
        same "$work/r0/passkey-table.md" "$work/r$i/passkey-table.md"
        ! grep -qv '^{.*}$' "$work/r$i/passkey-journal.jsonl" || say 'other lines in the journal'
    done
}
row two_trainings 'a second training of the same out= is refused, the first is whole'
two_trainings() {
    local words=(config="$work/tiny.conf" train_steps=3000 log_every=1 checkpoint_every=20 out="$work/m.safetensors")
    "$P" train "${words[@]}" >"$work/first" 2>&1 &
    local child=$! i
    for i in $(seq 1000); do [ -s "$work/m.safetensors.csv" ] && break; sleep 0.02; done
    LIMIT=20 p train "${words[@]}"
    kill -0 $child 2>/dev/null || say 'the first run ended too early to tell'
    code_is 2 3 4
    one_line
    wait $child || say 'the first run fails'
    [ "$(grep -c '^[0-9]' "$work/m.safetensors.csv")" = 3000 ] || say 'the log of the first is cut'
}
row folder_removed 'results folder renamed during a run: exit 4 and no lost result'
folder_removed() {
    "$P" eval task=passkey model="$work/tiny.safetensors" len=4K n=2000 depths=0 batch=1 share=0 threads=1 plots=0 results="$work/r" >"$work/out" 2>"$work/err" &
    local child=$! i
    for i in $(seq 500); do grep -q '"sample"' "$work/r/passkey-journal.jsonl" 2>/dev/null && break; sleep 0.02; done
    mv "$work/r" "$work/away"
    code=0
    wait $child || code=$?
    last='eval whose results were renamed'
    code_is 4
    p eval task=passkey model="$work/tiny.safetensors" len=4K n=2 depths=0 batch=1 share=0 plots=0 results="$work/away"
    code_is 0
}
row address_space 'little address space ends in one line, never in a loop'
address_space() {
    local limit
    for limit in 30000 60000 100000 150000 200000 300000 500000 800000; do
        code=0
        (ulimit -v $limit; timeout -k 2 20 "$P" eval task=passkey model="$work/tiny.safetensors" len=1K n=1 depths=0 plots=0 \
            threads=1 results="$work/r$limit" >"$work/out" 2>"$work/err" </dev/null) || code=$?
        last="eval under ulimit -v $limit"
        # 127: the loader had no room for the libraries; that line is its own.
        code_is 0 4 127
        [ "$code" != 4 ] || one_line
    done
}
row memory_in_proportion 'small hostile files take little memory and time'
memory_in_proportion() {
    passkey "$work/tiny.safetensors" "$work/r"
    mkdir -p "$work/h"
    craft seal "$work/r/passkey-journal.jsonl" "$work/h/passkey-journal.jsonl" '"index":1,' '"index":9999999,'
    frugal() { # frugal WORDS...: within 1.5 GB of address space and 60 s
        code=0
        (ulimit -v 1500000; timeout -k 2 60 "$P" "$@" >"$work/out" 2>"$work/err" </dev/null) || code=$?
        last="$* within 1.5 GB"
        ! grep -qi 'out of memory' "$work/err" || say "out of memory"
    }
    frugal report task=passkey results="$work/h" plots=0
    code_is 0 3
    craft config "$work/tiny.safetensors" "$work/wild.safetensors" n_heads 1024
    craft config "$work/wild.safetensors" "$work/wild.safetensors" d_head 4096
    frugal eval task=passkey model="$work/wild.safetensors" len=1K n=1 results="$work/r5" plots=0
    code_is 3
    craft config "$work/tiny.safetensors" "$work/wide.safetensors" d_model 1048576
    frugal eval task=passkey model="$work/wide.safetensors" len=1K n=1 results="$work/r5" plots=0
    code_is 2 3
    truncate -s 6G "$work/sparse.safetensors"
    frugal eval task=passkey model="$work/sparse.safetensors" len=1K n=1 results="$work/r5" plots=0
    code_is 3
    { printf '{"text":"'; head -c 1500000000 /dev/zero | tr '\0' a; printf '"}\n'; } | gzip -1n >"$work/line.jsonl.gz"
    frugal eval task=perplexity data="$work/line.jsonl.gz" split=all model="$work/tiny.safetensors" max_tokens=1K references=0 results="$work/r5" plots=0
    code_is 0 2 3
    {
        printf '{"bid":"1","text":"A long text.","summary":[{"text":"s"}'
        for i in $(seq 8000); do printf ',{"text":"summary %s of the text"}' "$i"; done
        printf ']}\n'
    } >"$work/many-test.jsonl"
    frugal eval task=booksum data="$work/many-test.jsonl" model="$work/tiny.safetensors" max_tokens=4 results="$work/r6" plots=0
    code_is 0
}
row pipes 'pipes, devices and folders in place of files are refused at once'
pipes() {
    mkfifo "$work/pipe" "$work/pipe.safetensors" "$work/pipe.jsonl" "$work/pipe.conf"
    mkdir "$work/r" "$work/r9"
    mkfifo "$work/r/passkey-journal.jsonl"
    LIMIT=10 perplexity "$work/pipe" "$work/r9" split=all
    refused 3 pipe
    LIMIT=10 perplexity "$work/pipe.jsonl" "$work/r9" split=all
    refused 3 pipe
    LIMIT=10 passkey "$work/pipe.safetensors" "$work/r9"
    refused 3 pipe
    LIMIT=10 p train config="$work/pipe.conf" out="$work/x.safetensors"
    refused 3 pipe
    LIMIT=10 passkey "$work/tiny.safetensors" "$work/r"
    refused 3 journal
    LIMIT=10 p report task=passkey results="$work/r"
    code_is 3
    passkey "$work" "$work/r9"
    code_is 2 3
    one_line
    passkey /dev/zero "$work/r9"
    code_is 2 3
    one_line
    p eval task=passkey model="$work/tiny.safetensors" tokenizer="$work/pipe" len=1K n=1 results="$work/r9"
    code_is 2 3
    one_line
}
row killed_state 'a damaged checkpoint inside a sample changes no result'
killed_state() {
    # -u of the journal: samples alone, without what they cost.
    values() { grep '"sample"' "$1/passkey-journal.jsonl" | sed 's/"cost":.*//' | sort; }
    local words=(eval task=passkey model="$work/tiny.safetensors" len=2M n=1 depths=0 share=0 threads=1 plots=0 checkpoint=1)
    p "${words[@]}" results="$work/r0"
    code_is 0
    local offset i child state
    for offset in 60 200 -70; do
        "$P" "${words[@]}" results="$work/r$offset" >/dev/null 2>&1 &
        child=$!
        for i in $(seq 300); do state=$(find "$work/r$offset" -name '*.state' 2>/dev/null | head -n 1); [ -n "$state" ] && break; sleep 0.02; done
        kill -9 $child 2>/dev/null
        wait $child 2>/dev/null
        # Too fast a machine has finished: then there is nothing to damage.
        [ -z "$state" ] || [ ! -e "$state" ] || craft flip "$state" $offset 8
        p "${words[@]}" results="$work/r$offset"
        code_is 0
        [ "$(values "$work/r0")" = "$(values "$work/r$offset")" ] || say 'other values after damage'
    done
}
row wrong_blas 'a BLAS core that is none, or of another processor, is one clear line'
wrong_blas() {
    local core
    for core in nonsense Haswell Zen SkylakeX Cooperlake SapphireRapids Bulldozer Prescott Atom; do
        OPENBLAS_CORETYPE=$core passkey "$work/tiny.safetensors" "$work/r-$core"
        code_is 0 4
        [ "$code" = 0 ] || one_line
    done
}

# ---- What everybody types first ----

row help_everywhere '--help, -h, --version, CMD --help, help TASK'
help_everywhere() {
    local words command
    for words in --help -h help --version -V version 'eval --help' 'train -h' 'help eval' 'help eval passkey' 'help passkey' 'help train'; do
        # shellcheck disable=SC2086
        p $words
        code_is 0
        [ -s "$work/out" ] || say "nothing printed by: $words"
        [ ! -s "$work/err" ] || say "printed on standard error: $words"
    done
    for command in $("$P" help | sed -n 's/^  \([a-z][a-z-]*\)  *[a-zA-Z].*/\1/p'); do
        p "$command" --help
        code_is 0
        [ "$(awk '!/^ *(palimpsest|make) / && length > n { n = length } END { print n + 0 }' "$work/out")" -le 100 ] || say "$command --help: a line of more than 100 characters"
    done
    p --version
    out_has '[0-9]+\.[0-9]+'
    p help eval passkey
    out_lacks 'decoding='
}
row gnu_words 'GNU spellings beside key=value'
gnu_words() {
    p eval --task passkey --model "$work/tiny.safetensors" --len 1K --n=1 --depths 0 --results "$work/r" --plots=0
    code_is 0
    p plan --task passkey --model "$work/tiny.safetensors" --len 1K --n=1
    code_is 0
    p list --weights "$work"
    code_is 0
    p eval --lenght 1K
    refused 2 'len'
}
row make_words 'make list, install, uninstall; the installed program runs from anywhere'
make_words() {
    clone "$work/c"
    mk list
    code_is 0
    out_has passkey-infini-delta
    mk install PREFIX=/usr DESTDIR="$work/dest"
    code_is 0
    there "$work/dest/usr/bin/palimpsest"
    [ -n "$(find "$work/dest" -name 'palimpsest.1*')" ] || say 'no man page'
    [ -n "$(find "$work/dest" -path '*bash-completion*' -type f)" ] || say 'no completion'
    bash -n "$(find "$work/dest" -path '*bash-completion*' -type f | head -n 1)" || say 'the completion is no bash'
    mk install PREFIX="$work/prefix"
    code_is 0
    mkdir "$work/else"
    cd "$work/else" || exit 1
    run "$work/prefix/bin/palimpsest" list
    code_is 0
    out_has passkey-infini-delta
    cd "$root" || exit 1
    mk uninstall PREFIX="$work/prefix"
    code_is 0
    absent "$work/prefix/bin/palimpsest"
}
row elsewhere 'the program finds its files from another folder'
elsewhere() {
    mkdir "$work/else"
    cd "$work/else" || exit 1
    p list
    code_is 0
    out_has passkey-infini-delta
}
row generate_and_show 'generate and show'
generate_and_show() {
    cd "$root" || exit 1
    p generate model=text-300k-local prompt='Once upon a time' max_tokens=8 seed=1
    code_is 0
    cp "$work/out" "$work/first"
    p generate model=text-300k-local prompt='Once upon a time' max_tokens=8 seed=1
    same "$work/first" "$work/out"
    p show task=passkey len=1K depths=0 index=0
    code_is 0
    out_has 'pass key'
}
row ranges 'ranges, decimals and patterns'
ranges() {
    p eval task=passkey model="$work/tiny.safetensors" results="$work/r" plots=0 n=1 len='1K:4K:*2' depths=0:100:50
    code_is 0
    [ "$(grep -c '"cell",' "$work/r/passkey-journal.jsonl")" -ge 9 ] || say 'not 3 lengths of 3 depths'
    p eval task=passkey model="$work/tiny.safetensors" results="$work/r2" plots=0 n=1 len=1.5K depths=0
    code_is 0
    grep -q '"length":1536' "$work/r2/passkey-journal.jsonl" || say '1.5K is not 1536'
    cd "$root" || exit 1
    p eval task=passkey model='passkey-infini-d*' len=1K n=1 depths=0 results="$work/r3" plots=0
    code_is 0
    grep -q passkey-infini-delta "$work/r3/passkey-journal.jsonl" || say 'the pattern finds nothing'
}
row long_paths 'paths with commas, and longer than 255 characters'
long_paths() {
    local long=$work/$(printf 'd%.0s' $(seq 200))/$(printf 'e%.0s' $(seq 200))
    mkdir -p "$long" "$work/a,b"
    cp "$work/tiny.safetensors" "$long/m.safetensors"
    cp "$work/texts/plain.txt" "$work/a,b/plain.txt"
    passkey "$long/m.safetensors" "$long/r"
    code_is 0
    there "$long/r/passkey-table.md"
    perplexity "$work/a\\,b" "$work/r" split=all
    code_is 0
}
row formats 'format=md, csv and jsonl on standard output'
formats() {
    local format
    passkey "$work/tiny.safetensors" "$work/r"
    for format in md csv jsonl; do
        p eval task=passkey model="$work/tiny.safetensors" results="$work/r" len=1K n=2 depths=0,100 plots=0 format=$format
        code_is 0
        check_format $format
        p plan task=passkey model="$work/tiny.safetensors" len=1K n=1 depths=0 format=$format
        code_is 0
        check_format $format
        p list weights="$work" format=$format
        code_is 0
        check_format $format
        p compare "$work/r" "$work/r" format=$format
        code_is 0
        check_format $format
    done
}
check_format() {
    case $1 in
    # A table ends at an empty line: anything else would be a row of it.
    md) awk '/^\|[-:|]+\|$/ { rows = table = 1; next } table && NF && !/^\|/ { exit wrong = 1 } !NF { table = 0 }
            END { exit wrong || !rows }' "$work/out" || say "no Markdown: $last" ;;
    csv) craft csv "$work/out" "$(head -n 1 "$work/out" | cut -d, -f1)" >/dev/null || say "no CSV: $last" ;;
    jsonl) ! grep -qv '^{.*}$' "$work/out" || say "no JSON lines: $last" ;;
    esac
    [ -s "$work/out" ] || say "nothing printed: $last"
}
row half_weights 'weights in half precision are read'
half_weights() {
    craft f16 "$work/tiny.safetensors" "$work/half.safetensors"
    passkey "$work/half.safetensors" "$work/r"
    code_is 0
}
row booksum_files 'BookSum as CSV, val.jsonl, and a blank summary'
booksum_files() {
    printf 'bid,book_id,chapter,summary_text\n1,a.1,"A ""long"" text, of a chapter",It is long.\n1,a.2,"Two\nlines",Short.\n' >"$work/test.csv"
    p eval task=booksum data="$work/test.csv" model="$work/tiny.safetensors" max_tokens=4 results="$work/r" plots=0
    code_is 0
    [ "$(grep -c '"sample"' "$work/r/booksum-journal.jsonl")" -ge 2 ] || say 'not two chapters'
    mkdir "$work/b"
    printf '{"bid":"1","text":"A long text.","summary":[{"text":"Short."}]}\n{"bid":"2","text":"Another.","summary":[{"text":" "}]}\n' >"$work/b/val.jsonl"
    p eval task=booksum data="$work/b" split=validation model="$work/tiny.safetensors" max_tokens=4 results="$work/r2" plots=0
    code_is 0
    either_has 'blank|empty'
}
row validation_loss 'validation loss while training, and a log that trackers read'
validation_loss() {
    p train config="$work/tiny.conf" train_steps=4 val_every=2 out="$work/v.safetensors" log="$work/v.csv"
    code_is 0
    head -n 1 "$work/v.csv" | grep -q val_loss || say 'no val_loss in the log'
    p train config="$work/tiny.conf" train_steps=4 val_every=2 log_format=jsonl out="$work/w.safetensors" log="$work/w.jsonl"
    code_is 0
    ! grep -qv '^{.*"loss":.*}$' "$work/w.jsonl" || say 'no JSON lines in the log'
    same "$work/v.safetensors" "$work/w.safetensors"
}
row environment_flags 'CC, CFLAGS and LDFLAGS of the environment are taken'
environment_flags() {
    clone "$work/c"
    LIMIT=120 run env CFLAGS='-O0 -DSEEN_CFLAGS' LDFLAGS=-Wl,-z,now CC="$CC" make -C "$work/c" -n VERBOSE=1 build/palimpsest
    code_is 0
    out_has '-O0 -DSEEN_CFLAGS .*-c -o build/harness/main\.o'
    out_has '-Wl,-z,now -o build/palimpsest'
    LIMIT=120 run env CC='gcc -DSEEN_CC' make -C "$work/c" -n VERBOSE=1 build/palimpsest
    code_is 0
    out_has 'gcc -DSEEN_CC .*-c -o build/harness/main\.o'
    # Not only said: the object is that of the flags.
    cp "$work/c/build/harness/base/csv.o" "$work/before.o"
    LIMIT=120 run env CFLAGS=-O0 CC="$CC" make -C "$work/c" build/harness/base/csv.o
    code_is 0
    ! cmp -s "$work/before.o" "$work/c/build/harness/base/csv.o" || say 'CFLAGS=-O0 makes the same object'
}
row first_minute 'the first command of README ends soon, and plan answers at once'
first_minute() {
    cd "$root" || exit 1
    export XDG_CACHE_HOME=$work/cache
    p plan task=passkey len=4K n=5 format=csv
    code_is 0
    local planned began took
    planned=$(craft csv "$work/out" seconds | awk '{ sum += $1 } END { print int(sum + 1) }')
    began=$(date +%s%N)
    LIMIT=60 p plan task=passkey len=1M n=1 depths=0 model=passkey-local
    LIMIT=60 p plan task=passkey len=4K n=5
    took=$((($(date +%s%N) - began) / 1000000000))
    [ "$took" -le $((10 + planned)) ] || say "plan answers after $took s"
    # All but what was measured just now, on a machine that may be busy with something else.
    LIMIT=$((30 + 6 * planned)) p eval task=passkey len=4K n=5 plots=0 results="$work/r"
    code_is 0
    [ "$(grep -c '"sample"' "$work/r/passkey-journal.jsonl")" -ge 105 ] || say 'not 7 models, 3 depths, 5 samples'
    out_has 'passkey-infini-next +4K'
}
row bench_formats 'bench prints its rows as md, csv and jsonl'
bench_formats() {
    local format
    for format in md csv jsonl; do
        p bench attention=local d_model=16 n_heads=2 d_head=8 d_ff=16 segment=16 seconds=0.1 mode=eval batch=1 format=$format threads=1
        code_is 0
        check_format $format
    done
}
row one_report 'make report and palimpsest report are one thing'
one_report() {
    passkey "$work/tiny.safetensors" "$work/r"
    cd "$root" || exit 1
    p report results="$work/r"
    code_is 0
    there "$work/r/report.html"
}
row lm_eval_layout "results in lm-evaluation-harness's layout have its members"
lm_eval_layout() {
    passkey "$work/tiny.safetensors" "$work/r"
    cd "$root" || exit 1
    p report results="$work/r"
    local json
    json=$(grep -rl --include='*.json' '"n-shot"' "$work/r" | head -n 1)
    [ -n "$json" ] || say 'no file with n-shot'
    grep -q 'passkey_1k_d0' "$json" || say 'no task passkey_1k_d0'
    [ -n "$(find "$work/r" -name 'samples_*.jsonl')" ] || say 'no samples'
}

# ---- All of them ----

if [ "${1:-}" = --row ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    export OPENBLAS_NUM_THREADS=1
    prepare
    "$2"
    exit 0
fi
passed=0 failed=0
for entry in "${rows[@]}"; do
    name=${entry%%|*} text=${entry#*|}
    if [ $# -gt 0 ]; then
        wanted=
        for word in "$@"; do [[ $entry == *"$word"* ]] && wanted=1; done
        [ -n "$wanted" ] || continue
    fi
    if timeout -k 5 300 bash "$0" --row "$name" 2>&1 | sed 's/^/  /' >"${TMPDIR:-/tmp}/strangers.$$"; [ "${PIPESTATUS[0]}" = 0 ]; then
        echo "ok      $text"
        passed=$((passed + 1))
    else
        echo "FAILED  $text ($name)"
        cat "${TMPDIR:-/tmp}/strangers.$$"
        failed=$((failed + 1))
    fi
done
rm -f "${TMPDIR:-/tmp}/strangers.$$"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
