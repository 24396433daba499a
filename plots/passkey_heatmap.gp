# Needle depth against length, one picture a model: gnuplot -c plots/passkey_heatmap.gp [DIR]
# Reads DIR/passkey-cells.csv, writes DIR/passkey-heatmap-<model>.png and .svg. The colour says token accuracy; so does
# the number in each cell, with the number of samples, so that nothing depends on telling red from green. Controls and
# variants are left out.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"

# Columns: 4 model, 10 length, 11 depth, 12 metric, 13 n, 14 value, 20 memory, 25 and on the cell's name, in which variants
# have a third word.
csv = "awk -F, '$12 == \"token_accuracy\" && $20 == \"kept\" && $27 == \"\""
file = " '".dir."/passkey-cells.csv'"
models = system(csv." && !seen[$4]++ { print $4 }'".file)
only(m) = csv." && $4 == \"".m."\""
values(m, c) = system(only(m)." { print $".c." }'".file." | sort -gu")
place(list, value) = sum [i = 1:words(list)] (word(list, i) eq value ? i : 0)

set key off
set palette defined (0 "#d73027", 25 "#f98e52", 50 "#fee08b", 75 "#a6d96a", 100 "#1a9850")
set cbrange [0:100]
set cblabel "token accuracy, %"
set xlabel "length, tokens (1K = 1024)"
set ylabel "needle depth"
set border 0
set tics scale 0
set style fill solid 1.0 border rgb "white"

do for [m in models] {
    lengths = values(m, 10)
    depths = values(m, 11)
    # Many depths stand closer together, with a line of text each.
    many = words(depths) > 8
    width = 260 + 110 * words(lengths)
    height = 190 + (many ? 28 : 55) * words(depths)
    say(value, n) = sprintf(many ? "%.0f  (n = %s)" : "%.0f\nn = %s", value, n)
    set xrange [0.5:words(lengths) + 0.5]
    set yrange [words(depths) + 0.5:0.5]
    set xtics () nomirror
    set ytics () nomirror
    do for [i = 1:words(lengths)] { set xtics add (short(word(lengths, i)) i) }
    do for [i = 1:words(depths)] { set ytics add (word(depths, i)." %%" i) }
    set title "Passkey retrieval: ".m noenhanced
    rows = "< ".only(m)."'".file
    do for [kind in "png svg"] {
        if (kind eq "png") { set terminal pngcairo size width, height font "sans,11" }
        if (kind eq "svg") { set terminal svg size width, height font "sans,12" background rgb "white" }
        set output dir."/passkey-heatmap-".m.".".kind
        plot rows using (place(lengths, strcol(10))):(place(depths, strcol(11))):(0.5):(0.5):(100 * $14) \
                 with boxxyerror fillcolor palette, \
             rows using (place(lengths, strcol(10))):(place(depths, strcol(11))):(say(100 * $14, strcol(13))) \
                 with labels textcolor rgb "black"
        unset output
    }
}
