#!/bin/bash
# The report page of the reference results, as a browser sees it: light, dark and as wide as a phone; its filter, its
# sorting and the samples of a cell; and that nothing in it runs but its own script. Left out, with a line, where there is
# no Chromium: then tests/harness/test_html.c and test_svg.c alone check the page.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() { echo "report: LEFT OUT: $1; left to tests/harness/test_html.c"; exit 0; }
fail() { echo "report: $1" >&2; exit 1; }
count() { grep -o -- "$1" "$2" | wc -l; }
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || skip 'there is no Chromium here'

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
look() { # look PAGE FLAGS...
    timeout 240 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$dir/profile" --window-size=1200,1600 \
        --enable-logging=stderr --log-level=0 --virtual-time-budget=5000 "${@:2}" "$1" 2>"$dir/log"
}
quiet() { # quiet WHAT: nothing was said on the console, where refused scripts and styles are named
    grep -q 'CONSOLE' "$dir/log" && fail "$1: $(grep CONSOLE "$dir/log" | head -1)"
    return 0
}
look about:blank --dump-dom >"$dir/blank" || skip 'Chromium does not start here'

# ---- The page of the reference results, with its pictures ----

mkdir "$dir/results"
cp results/reference/*.jsonl results/reference/*-imprint.csv "$dir/results/"
build/palimpsest report results="$dir/results" lm_eval=none >/dev/null
page=$dir/results/report.html
size=$(wc -c <"$page")
[ "$size" -lt 5000000 ] || fail "the page has $size bytes"
look "file://$page" --dump-dom >"$dir/dom.html"
quiet 'the page'
for tag in '<h1' '<h2' '<table' '<svg' '<tr' '</html>'; do
    there=$(count "$tag" "$page") seen=$(count "$tag" "$dir/dom.html")
    [ "$there" -gt 0 ] && [ "$there" = "$seen" ] || fail "$tag: $there in the file, $seen in the browser"
done
[ "$(count '<svg' "$page")" = "$(count '<svg role="img" aria-label="[^"]' "$page")" ] || fail 'a picture without a name'
grep -qE '(src|href)="(https?:)?//' "$dir/dom.html" && fail 'it asks for something from elsewhere'

# ---- Light and dark ----

for scheme in light dark; do
    flags=$([ $scheme = dark ] && echo --blink-settings=preferredColorScheme=0 || echo --blink-settings=preferredColorScheme=1)
    look "file://$page" "$flags" --screenshot="$dir/$scheme.png" >/dev/null
    [ -s "$dir/$scheme.png" ] || fail "no picture of the $scheme page"
done
cmp -s "$dir/light.png" "$dir/dark.png" && fail 'light and dark look the same'

# ---- What its script does, by links into the page ----

look "file://$page#filter=overlap%201M" --dump-dom >"$dir/filter.html"
quiet 'the filter'
found=$(sed -n 's/.*<output id="found"[^>]*>\([0-9]*\) of [0-9]* rows<.*/\1/p' "$dir/filter.html")
[ "${found:-0}" -ge 3 ] || fail "the filter found ${found:-no} rows"
[ "$(grep -c '<tr hidden=""\|<tr [^>]*hidden=""' "$dir/filter.html")" -gt 300 ] || fail 'the filter hid nothing'
look "file://$page#cell-passkey-20" --dump-dom >"$dir/cell.html"
quiet 'the samples of a cell'
grep -q 'class="drill"' "$dir/cell.html" || fail 'the samples of a cell do not open'
grep -q 'build/palimpsest show task=passkey' "$dir/cell.html" || fail 'no command for a prompt'

# ---- A probe in a copy of the page whose policy is taken away: widths on a phone, and sorting ----

probe='<script>
const table = document.querySelector("table.data"), head = table.tHead.rows[0].cells;
const column = () => Array.from(table.tBodies[0].rows, (row) => parseFloat(row.cells[1].textContent));
head[1].querySelector("button").click();
const up = column().every((v, i, all) => i === 0 || all[i - 1] <= v);
head[1].querySelector("button").click();
const down = column().every((v, i, all) => i === 0 || all[i - 1] >= v);
const wide = Array.from(document.querySelectorAll("body *")).filter((e) => !e.closest(".wide, .canvas, pre") &&
    e.getBoundingClientRect().right > innerWidth + 1);
const cut = Array.from(document.querySelectorAll(".canvas")).filter((e) => e.scrollWidth > e.clientWidth + 1);
parent.postMessage(`${innerWidth} wide, ${document.documentElement.scrollWidth} used, ${wide.length} over, ` +
    `${cut.length} cut, up ${up}, down ${down}`, "*");
</script>'
sed '/http-equiv="Content-Security-Policy"/d' "$page" >"$dir/probe.html"
grep -q 'Content-Security-Policy' "$dir/probe.html" && fail 'the policy is not on a line of its own'
printf '%s\n' "$probe" >>"$dir/probe.html"
# A window is never that narrow: a frame is.
echo '<title></title><script>onmessage = (event) => { document.title = event.data; };</script>' \
    '<iframe src="probe.html" width="390" height="844" style="border:0"></iframe>' >"$dir/frame.html"
look "file://$dir/frame.html" --hide-scrollbars --dump-dom >"$dir/phone.html"
title=$(sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' "$dir/phone.html" | head -1)
[ "$title" = '390 wide, 390 used, 0 over, 0 cut, up true, down true' ] || fail "on a phone: $title"

# ---- Nothing but its own script runs: not a picture's, not a name's, and not what gets into the page itself ----

mkdir "$dir/hostile"
printf '%s' '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"' >"$dir/head"
{ cat "$dir/head"; printf '\nonload="document.title=1"/>'; } >"$dir/hostile/passkey-accuracy.svg"
{ cat "$dir/head"; printf '><script>document.title=2</script></svg>'; } >"$dir/hostile/b.svg"
{ cat "$dir/head"; printf '><text>&lt;script>document.title=3&lt;/script></text></svg>'; } >"$dir/hostile/<img src=x onerror=document.title=4>.svg"
cp results/reference/passkey-journal.jsonl "$dir/hostile/"
build/palimpsest report results="$dir/hostile" plots=0 lm_eval=none >"$dir/said"
[ "$(grep -c '^left out ' "$dir/said")" = 2 ] || fail 'hostile pictures are not named'
look "file://$dir/hostile/report.html" --dump-dom >"$dir/hostile.html"
quiet 'a page with hostile pictures'
grep -q '<title>Palimpsest: results</title>' "$dir/hostile.html" || fail 'a picture changed the page'
[ "$(count '<figure' "$dir/hostile.html")" = 1 ] || fail 'a hostile picture was taken, or the harmless one was not'
sed 's|</body>|<script>document.title="ran"</script><img src="x" onerror="document.title=8"/></body>|' "$page" >"$dir/broken.html"
look "file://$dir/broken.html" --dump-dom >"$dir/broken.dom"
grep -q '<title>Palimpsest: results</title>' "$dir/broken.dom" || fail 'the policy lets a foreign script run'
[ "$(grep -c 'CONSOLE.*Content Security Policy' "$dir/log")" -ge 2 ] || fail 'the browser says nothing of a foreign script'

echo "report: $((size / 1000)) kB, $(count '<svg' "$dir/dom.html") pictures, $(count '<table' "$dir/dom.html") tables;" \
    "light, dark, phone; filter, sorting, samples; nothing else runs"
