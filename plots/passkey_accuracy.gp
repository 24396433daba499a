# Accuracy against length, one panel for each depth, one row for each line of models (the first word of their names):
#   gnuplot -c plots/passkey_accuracy.gp [DIR]
# Reads DIR/passkey-cells.csv, writes DIR/passkey-accuracy.png and .svg. Bars are 95 % intervals; models differ in
# colour, line and mark. Controls and variants are left out.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"
csv = dir."/passkey-cells.csv"
metric = "token_accuracy"

# Columns: 4 model, 10 length, 11 depth, 12 metric, 14 value, 15 lo, 16 hi, 20 memory, 25 and on the cell's name, in which
# variants have a third word.
own = "$20 == \"kept\" && $27 == \"\""
rows(column) = sprintf("awk -F, '%s && $12 == \"%s\" { print $%d }' '%s'", own, metric, column, csv)
first_words = system(rows(4)." | cut -d- -f1 | awk '!seen[$0]++'")
models_of(line) = system(rows(4)." | awk -F- '$1 == \"".line."\" && !seen[$0]++'")
depths = system(rows(11)." | sort -gu | grep -xE '0|50|100'")
lengths = system(rows(10)." | sort -gu")

set logscale x 2
set xrange [word(lengths, 1) * 0.7:word(lengths, words(lengths)) * 1.4]
set xtics () nomirror rotate by 55 right
do for [l in lengths] { set xtics add (short(l) l + 0) }
set yrange [-3:103]
set ytics 20 nomirror
set xlabel "length, tokens (1K = 1024)"

# Intervals of neighbouring models would hide each other: shift each by a little.
shift(i, count) = 1.04 ** (i - (count + 1) / 2.0)
# Its own rows alone: a line would break at every row left out by an expression.
only(m, d) = sprintf("< awk -F, '%s && $4 == \"%s\" && $11 == \"%s\" && $12 == \"%s\"' '%s'", own, m, d, metric, csv)
panels = words(depths)
lines = words(first_words)
width = 320 * panels + 290
height = 400 * lines
do for [kind in "png svg"] {
    if (kind eq "png") { set terminal pngcairo size width, height font "sans,11" }
    if (kind eq "svg") { set terminal svg size width, height font "sans,12" background rgb "white" }
    set output dir."/passkey-accuracy.".kind
    set multiplot
    do for [row = 1:lines] {
        models = models_of(word(first_words, row))
        top = 1 - 400.0 * (row - 1) / height
        set tmargin at screen top - 50.0 / height
        set bmargin at screen top - 325.0 / height
        do for [p = 1:panels] {
            d = word(depths, p)
            # Panels of one width; the legend stands right of the last.
            left = (80.0 + 320 * (p - 1)) / width
            set lmargin at screen left
            set rmargin at screen left + 250.0 / width
            set title "needle at ".d." %"
            if (p == 1) { set ylabel "token accuracy, %" } else { unset ylabel }
            if (p == panels) { set key at screen (320.0 * panels + 20) / width, screen top - 40.0 / height left top Left reverse samplen 3 noenhanced } else { set key off }
            plot for [i = 1:words(models)] only(word(models, i), d) \
                using ($10 * shift(i, words(models))):(100 * $14):(100 * $15):(100 * $16) \
                with yerrorlines linetype i title word(models, i) noenhanced
        }
    }
    unset multiplot
    unset output
}
