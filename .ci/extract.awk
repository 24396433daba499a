# Prints the commands that a Markdown file tells people to type, one a line: those of code blocks, indented or fenced, and
# of inline code. Words are kept as they stand; comments, prompts and output around them go. -v tools='make|palimpsest'
function command(text) {
    sub(/^[ \t]*(\$ )?/, "", text)
    sub(/[ \t]+#.*$/, "", text)
    sub(/[ \t]+$/, "", text)
    return text
}
function is_command(text) { return text ~ ("^(" tools ")( |$)") }
function emit(text) {
    text = command(text)
    if (is_command(text)) print FILENAME ":" start "\t" text
}
/^ *```/ { fenced = !fenced; next }
{
    block = fenced || /^(    |\t)/
    line = $0
    if (!joined) start = FNR
}
# A line that ends in a backslash goes on.
block && (joined || is_command(command(line))) && line ~ /\\$/ {
    sub(/\\$/, "", line)
    held = held (joined ? command(line) " " : line)
    joined = 1
    next
}
block && joined { emit(held " " command(line)); held = ""; joined = 0; next }
block { emit(line); next }
{
    held = ""; joined = 0
    n = split(line, part, "`")
    for (i = 2; i <= n; i += 2) emit(part[i])
}
