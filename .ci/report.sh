#!/bin/bash
# The report page of the reference results, as a browser sees it: it must load by itself, ask for nothing else, and come
# out whole, in a light and in a dark window. Left out where there is no Chromium: tests/harness/test_html.c checks its structure.
set -euo pipefail
cd "$(dirname "$0")/.."

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || { echo 'report: no Chromium here; left to tests/harness/test_html.c'; exit 0; }

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
build/palimpsest html results=results/reference out="$dir/report.html" json="$dir/results.json" >/dev/null

page=file://$dir/report.html
look() { # PAGE FLAGS...
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$dir/profile" --window-size=1200,1600 \
        --enable-logging=stderr --log-level=0 "${@:2}" "$1" 2>"$dir/log"
}
fail() { echo "report: $1" >&2; exit 1; }
count() { grep -o "$1" "$2" | wc -l; }

look about:blank --dump-dom >"$dir/blank" || { echo 'report: Chromium does not start here; left to tests/harness/test_html.c'; exit 0; }
look "$page" --dump-dom >"$dir/dom.html"
for tag in '<h1' '<h2' '<table' '<svg' '</html>'; do
    there=$(count "$tag" "$dir/report.html") seen=$(count "$tag" "$dir/dom.html")
    [ "$there" -gt 0 ] && [ "$there" = "$seen" ] || fail "$tag: $there in the file, $seen in the browser"
done
grep -q 'CONSOLE' "$dir/log" && fail "$(grep CONSOLE "$dir/log" | head -1)"
grep -qE '(src|href)="(https?:)?//' "$dir/dom.html" && fail 'it asks for something from elsewhere'
for scheme in light dark; do
    flags=$([ $scheme = dark ] && echo --blink-settings=preferredColorScheme=0 || echo --blink-settings=preferredColorScheme=1)
    look "$page" "$flags" --screenshot="$dir/$scheme.png" >/dev/null
    [ -s "$dir/$scheme.png" ] || fail "no picture of the $scheme page"
done
cmp -s "$dir/light.png" "$dir/dark.png" && fail 'light and dark look the same'
echo "report: $(count '<svg' "$dir/dom.html") pictures and $(count '<table' "$dir/dom.html") tables, light and dark"
