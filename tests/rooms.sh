#!/bin/sh
# Check the layout of the sources: which folder may include which, no circles, folders of a readable size, and a comment
# at the head of every file. What was compiled is read from the compiler's own BUILD/**/*.d. Usage: rooms.sh [BUILD]
# tests/rooms.allow lists exceptions, one a line; one that nothing needs is a fault too.
set -u
build=${1:-build}
allow=${0%/*}/rooms.allow
[ -e "$allow" ] || allow=/dev/null

# Words for awk: the files that took part in the build, the sources that exist, their heads and their own includes.
{
    find "$build/datasets" "$build/harness" "$build/models" "$build/tasks" -name '*.d' -exec cat {} + 2>/dev/null |
        tr -s ' \\' '\n\n' | sed -n 's/^[a-z].*\.[ch]$/built &/p' | sort -u
    find datasets harness models tasks -name '*.[ch]' ! -path 'datasets/packages/*' | LC_ALL=C sort >"$build/rooms.list"
    xargs awk '
        FNR == 1 { print "file", FILENAME; words = 0; open = /^\/[*\/]/ }
        open { words += NF; if (/\*\// || FNR == 3) { open = 0; if (words >= 4) print "head", FILENAME } }
        /^#include "/ { split($0, part, "\""); print "include", FILENAME, part[2] }' <"$build/rooms.list"
} | awk -v allow="$allow" -v most=15 '
function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
# The unit that the rules speak of: a folder of the harness, or a whole top folder.
function unit(path,  word) { split(path, word, "/"); return word[1] == "harness" && word[3] != "" ? word[1] "/" word[2] : word[1] }
function rank(room) {
    if (room == "harness/base") return 0
    if (room == "harness/cli" || room == "harness/journal" || room == "harness/stats") return 1
    if (room == "harness/eval") return 2
    if (room == "harness/command") return 4
    return room == "harness" ? 5 : 3
}
# The rule that an include of TO by FROM breaks, or nothing. What it allows is transitive: checking each line is enough.
function broken(from, to) {
    if (from == to) return ""
    if (from == "models") return to == "harness/base" ? "" : "models include models and harness/base only"
    if (from == "datasets") return to == "harness/base" ? "" : "datasets include datasets and harness/base only"
    if (from == "tasks")
        return to == "harness/base" || to == "datasets" ? "" : "tasks include tasks, datasets and harness/base only"
    if (from == "harness/base") return "harness/base includes nothing but itself"
    if (to ~ /^harness/ && rank(to) > rank(from))
        return "inside harness: base < cli, journal, stats < eval < train, report, gate, page < command"
    return ""
}
function excused(key) {
    if (!(key in allowed)) return 0
    used[key] = 1
    return 1
}
function complain(key, text) {
    if (excused(key)) return
    print "rooms: " text
    faults++
}
BEGIN {
    while ((getline line < allow) > 0) {
        sub(/ *#.*/, "", line)
        if (line != "") { allowed[line] = 1; exceptions++ }
    }
}
$1 == "built" { built[$2] = 1 }
$1 == "file" { file[++files] = $2; if ($2 ~ /\.c$/) count[folder($2)]++ }
$1 == "head" { head[$2] = 1 }
$1 == "include" && ($2 in built) && ($3 in built) {
    rule = broken(unit($2), unit($3))
    if (rule != "") { complain("include " $2 " " $3, $2 " includes " $3 ": " rule); next }
    a = folder($2); b = folder($3)
    if (a == b || excused("circle " a " " b)) next
    edge[a, b] = $2 " includes " $3
    path[a, b] = rooms[a] = rooms[b] = 1
}
END {
    for (i = 1; i <= files; i++) {
        if (file[i] ~ /\.c$/ && !(file[i] in built)) complain("unbuilt " file[i], file[i] " was not built; type make first")
        if (!(file[i] in head)) complain("head " file[i], file[i] " does not begin with a comment that says what it is")
    }
    for (f in count) if (count[f] > most) complain("crowded " f, f " holds " count[f] " .c files; at most " most)
    for (m in rooms) for (a in rooms) if ((a, m) in path) for (b in rooms) if ((m, b) in path) path[a, b] = 1
    for (a in rooms) for (b in rooms)
        if (((a, b) in edge) && ((b, a) in path)) { print "rooms: on a circle of folders: " edge[a, b]; faults++ }
    for (key in allowed) if (!(key in used)) { print "rooms: nothing needs this exception: " key; faults++ }
    if (faults) { print "rooms: " faults " faults"; exit 1 }
    printf "rooms: %d files, %d exceptions\n", files, exceptions
}'
