# The book alone: without Project Gutenberg's header, licence and names of who typed it in, carriage returns, a byte
# order mark, and empty lines at both ends. A text that never had a header passes through.
{
    sub(/\r$/, "")
    if (NR == 1) sub(/^\357\273\277/, "")
}
/^\*\*\* ?START OF TH/ { count = 0; next }
/^End of (the )?Project Gutenberg/ || /^\*\*\* ?END OF TH/ { exit }
count == 0 && /^Produced by/ { credits = 1 }
credits { if ($0 == "") credits = 0; next }
count == 0 && $0 == "" { next }
{ line[++count] = $0 }
END {
    while (count > 0 && line[count] == "") count--
    for (i = 1; i <= count; i++) print line[i]
}
