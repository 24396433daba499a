# Perplexity against position in the document, one picture for each corpus, one row for each size of model (within a tenth):
#   gnuplot -c plots/perplexity_position.gp [DIR]
# Reads DIR/perplexity-cells.csv, writes DIR/perplexity-position-<corpus>.png and .svg. Positions are ranges that
# double; a point stands in the middle of its range. Intervals are in the CSV: documents differ more than models do, and all
# models read the same. A model whose memory was zeroed has its model's colour and a thin dotted line.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"
# Labels hold a comma when the memory was zeroed: make it a semicolon, so that awk can split the rows.
csv = "sed 's/\"\\([^\",]*\\), \\([^\"]*\\)\"/\\1; \\2/g' '".dir."/perplexity-cells.csv' | awk -F, "

# Columns: 4 model, 12 metric, 14 value, 21 parameters, 24 tokenizer, 25 corpus.
ranges = "$12 ~ /^token_ppl@/ && $14 != \"\""
corpora = system(csv."'NR > 1 && ".ranges." && !seen[$25]++ { print $25 }'")
# A model's rows of a corpus: middle of the range, value.
points(c, m) = "< ".csv."'".ranges." && $25 == \"".c."\" && $4 == \"".m."\" { from = $12; sub(/.*@/, \"\", from); ". \
    "k = from ~ /K$/; sub(/K$/, \"\", from); from *= k ? 1024 : 1; ". \
    "print (from ? from * 1.414 : 128) \",\" $14 }'"

# The smallest number of parameters of each size. A token is not the same to models of another tokenizer: those of the one
# that most models of a size have.
of(c) = csv."'".ranges." && $21 > 0 && $25 == \"".c."\""
sizes(c) = system(of(c)." { print $21 }' | sort -n | awk '$1 > 1.1 * from { from = $1; print from }'")
sized(c, from) = of(c)." && $21 >= ".from." && $21 <= 1.1 * ".from
one(c, from) = system(sized(c, from)." && ++n[$24] > most { most = n[$24]; best = $24 } END { print best }'")
models_of(c, from, tokenizer) = \
    system(sized(c, from)." && $24 == \"".tokenizer."\" && !seen[$4]++ { gsub(/ /, \"~\", $4); print $4 }'")

set logscale x 2
set xtics () nomirror
do for [k = 8:20:2] { set xtics add (short(2 ** k) 2 ** k) }
set ylabel "token perplexity"
set logscale y
set ytics (20, 30, 40, 50, 60, 65, 70, 75, 80, 90, 100, 110, 120, 150, 200, 250, 300, 400, 600, 1000)
set autoscale yfix
set lmargin at screen 0.08
set rmargin at screen 0.66
plain(m) = system("printf %s '".m."' | tr '~' ' '")

do for [c in corpora] {
    rows = sizes(c)
    array all[words(rows)]
    # A legend that is higher than its row would lose its end.
    array high[words(rows)]
    height = 0
    do for [row = 1:words(rows)] {
        from = word(rows, row)
        all[row] = system("echo '".models_of(c, from, one(c, from))."' | tr '\\n' ' '")
        high[row] = 110 + (words(all[row]) < 18 ? 18 : words(all[row])) * 19
        height = height + high[row]
    }
    name = system("printf %s '".c."' | tr -c 'A-Za-z0-9.-' '-'")
    do for [kind in "png svg"] {
        if (kind eq "png") { set terminal pngcairo size 1060, height font "sans,11" }
        if (kind eq "svg") { set terminal svg size 1060, height font "sans,12" background rgb "white" }
        set output dir."/perplexity-position-".name.".".kind
        set multiplot
        top = 0
        do for [row = 1:words(rows)] {
            models = ""
            zeroed = ""
            do for [m in all[row]] { if (strstrt(m, ";")) { zeroed = zeroed." ".m } else { models = models." ".m } }
            base(m) = m[1:strstrt(m, ";") - 1]
            place(m) = sum [i = 1:words(models)] (word(models, i) eq base(m) ? i : 0)
            set title sprintf("Perplexity by position: %s, models of %.2fM parameters", c, word(rows, row) / 1e6) noenhanced
            set tmargin at screen 1 - (top + 40.0) / height
            set bmargin at screen 1 - (top + high[row] - 60.0) / height
            set key at screen 0.68, screen 1 - (top + 35.0) / height left top Left reverse samplen 3 maxcols 1 noenhanced
            if (row == words(rows)) { set xlabel "position in the document, tokens (1K = 1024)" } else { unset xlabel }
            if (words(zeroed) > 0) {
                plot for [i = 1:words(models)] points(c, word(models, i)) using 1:2 \
                    with linespoints linetype i title word(models, i) noenhanced, \
                    for [i = 1:words(zeroed)] points(c, plain(word(zeroed, i))) using 1:2 \
                    with linespoints linetype place(word(zeroed, i)) linewidth 1 dashtype 3 pointsize 0.7 \
                    title plain(word(zeroed, i)) noenhanced
            } else {
                plot for [i = 1:words(models)] points(c, word(models, i)) using 1:2 \
                    with linespoints linetype i title word(models, i) noenhanced
            }
            top = top + high[row]
        }
        unset multiplot
        unset output
    }
}
