#!/bin/sh
# Install the program below $DESTDIR$PREFIX with what it brings along, its manual and its completion for bash; without
# a binary, remove them again. Usage: install.sh [BINARY]
set -eu
root=${DESTDIR-}${PREFIX:?}
share=$root/share/palimpsest
manual=$root/share/man/man1/palimpsest.1
completion=$root/share/bash-completion/completions/palimpsest

if [ $# = 0 ]; then
    rm -rf -- "$share"
    rm -f -- "$root/bin/palimpsest" "$manual" "$completion"
    echo "removed from $root"
    exit
fi
for file in "$manual" "$completion" "$share/models/x" "$share/results/x" "$share/datasets/x"; do
    mkdir -p -- "${file%/*}"
done
install -D -m 755 -- "$1" "$root/bin/palimpsest"
"$1" help format=man >"$manual"
"$1" help format=completion >"$completion"
cp -R -- models/weights models/recipes models/tokenizers "$share/models/"
cp -R -- results/expected "$share/results/"
cp -R -- datasets/slice "$share/datasets/"
cp -R -- plots "$share/"
echo "installed $root/bin/palimpsest"
