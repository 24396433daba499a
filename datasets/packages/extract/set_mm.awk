# Cut Metamath's set.mm into documents DIR/PART-TITLE-N.txt of whole sections: those of a part are joined until there
# are LIMIT bytes, and a shorter rest goes to the document before it. What comes before the first part (a list of
# renamed labels) and the table of typesetting is left out: neither is mathematics.
#
# A comment that begins with a line of #### gives a part's title, one of #*#* a section's.
# Usage: awk -v dir=DIR -v limit=LIMIT -f set_mm.awk set.mm

function add(text) {
    if (part == 0 || skip) return
    line[++lines] = text
    size += length(text) + 1
}

# Documents end at end_of[1..documents], in lines of the part.
function finish_part(   d, i, file) {
    if (lines == 0) return
    if (documents == 0 || size >= limit) documents++
    end_of[documents] = lines
    i = 1
    for (d = 1; d <= documents; d++) {
        file = sprintf("%s/%02d-%s-%02d.txt", dir, part, slug, d)
        for (; i <= end_of[d]; i++) print line[i] > file
        close(file)
    }
    lines = size = documents = 0
}

function finish_section() {
    if (size < limit) return
    end_of[++documents] = lines
    size = 0
}

held != "" && /^(####|#\*#\*)/ {
    is_part = /^####/
    rule = $0
    getline title
    if (is_part) {
        finish_part()
        part++
        slug = tolower(title)
        gsub(/\([^)]*\)/, "", slug)
        gsub(/[^a-z]+/, "-", slug)
        gsub(/^-|-$/, "", slug)
    } else if (part > 0) finish_section()
    skip = title ~ /Typesetting definitions/
    add(held)
    add(rule)
    add(title)
    held = ""
    next
}
{
    if (held != "") add(held)
    held = ""
    if ($0 == "$(") held = $0
    else add($0)
}
END {
    if (held != "") add(held)
    finish_part()
}
