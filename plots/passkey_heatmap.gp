# Needle depth against length, one picture a model: gnuplot -c plots/passkey_heatmap.gp [DIR]
# Reads DIR/passkey-cells.csv, writes DIR/passkey-heatmap-<model>.png and .svg. The colour says token accuracy; so does
# the number in each cell, over the number of samples, so that nothing depends on telling red from green.
dir = ARGC > 0 ? ARG1 : "results"
csv = dir."/passkey-cells.csv"
metric = "token_accuracy"

# Columns: 4 model, 10 length, 11 depth, 12 metric, 13 n, 14 value. No field of a passkey row holds a comma before them.
rows(column) = sprintf("awk -F, 'NR > 1 && $12 == \"%s\" { print $%d }' '%s' | sort -g | uniq", metric, column, csv)
models = system(rows(4))
lengths = system(rows(10))
depths = system(rows(11))
place(list, value) = sum [i = 1:words(list)] (word(list, i) eq value ? i : 0)
short(tokens) = int(tokens) % 1048576 == 0 ? sprintf("%dM", int(tokens) / 1048576) : \
    int(tokens) % 1024 == 0 ? sprintf("%dK", int(tokens) / 1024) : sprintf("%d", int(tokens))

set datafile separator comma
set key off
set palette defined (0 "#d73027", 25 "#f98e52", 50 "#fee08b", 75 "#a6d96a", 100 "#1a9850")
set cbrange [0:100]
set cblabel "token accuracy, %"
set xlabel "length, tokens (1K = 1024)"
set ylabel "needle depth"
set xrange [0.5:words(lengths) + 0.5]
set yrange [words(depths) + 0.5:0.5]
set xtics () nomirror
set ytics () nomirror
do for [i = 1:words(lengths)] { set xtics add (short(word(lengths, i)) i) }
do for [i = 1:words(depths)] { set ytics add (word(depths, i)." %%" i) }
set border 0
set tics scale 0
set style fill solid 1.0 border rgb "white"

mine(m) = strcol(4) eq m && strcol(12) eq metric
width = 260 + 110 * words(lengths)
height = 190 + 55 * words(depths)
do for [m in models] {
    set title "Passkey retrieval: ".m noenhanced
    do for [kind in "png svg"] {
        if (kind eq "png") { set terminal pngcairo size width, height font "sans,11" }
        if (kind eq "svg") { set terminal svg size width, height font "sans,12" background rgb "white" }
        set output dir."/passkey-heatmap-".m.".".kind
        plot csv using (mine(m) ? place(lengths, strcol(10)) : NaN):(place(depths, strcol(11))):(0.5):(0.5): \
                 (100 * $14) with boxxyerror fillcolor palette, \
             csv using (mine(m) ? place(lengths, strcol(10)) : NaN):(place(depths, strcol(11))): \
                 (sprintf("%.0f\nn = %s", 100 * $14, strcol(13))) with labels textcolor rgb "black"
        unset output
    }
}
