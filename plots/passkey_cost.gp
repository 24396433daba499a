# Time of a token and peak memory against length: gnuplot -c plots/passkey_cost.gp [DIR]
# Reads DIR/passkey-cost.csv, writes DIR/passkey-cost.png and .svg. Time is wall time over the tokens that the model really
# read; memory is the process's peak, weights and all samples side by side included.
dir = ARGC > 0 ? ARG1 : "results"

# Columns: 2 model, 5 length, 10 tokens/s, 12 peak RSS. Of runs with other threads or batches the one with most samples.
csv = "awk -F, 'NR > 1 && $10 > 0"
file = " '".dir."/passkey-cost.csv'"
models = system(csv." && $2 !~ /zeroed/ && !seen[$2]++ { print $2 }'".file)
only(m) = "< ".csv." && $2 == \"".m."\" && $8 >= most[$5] { most[$5] = $8; row[$5] = $5 \",\" 1e6 / $10 \",\" $12 / 1048576 } ". \
    "END { for (l in row) print row[l] }'".file." | sort -g"
short(tokens) = int(tokens) % 1048576 == 0 ? sprintf("%dM", int(tokens) / 1048576) : \
    int(tokens) % 1024 == 0 ? sprintf("%dK", int(tokens) / 1024) : sprintf("%d", int(tokens))
if (words(models) == 0) { exit }

set datafile separator comma
# Okabe and Ito's colours, told apart by the colour-blind and in grey.
set linetype 1 lc rgb "#0072b2" lw 2 dt 1 pt 7
set linetype 2 lc rgb "#d55e00" lw 2 dt 2 pt 5
set linetype 3 lc rgb "#009e73" lw 2 dt 3 pt 9
set linetype 4 lc rgb "#cc79a7" lw 2 dt 4 pt 11
set linetype 5 lc rgb "#e69f00" lw 2 dt 5 pt 13
set linetype 6 lc rgb "#000000" lw 2 dt 1 pt 6
# A second round: the same colours, thin, with open marks.
array mark[6] = [6, 4, 8, 10, 12, 1]
array ink[6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#000000"]
do for [i = 1:6] { set linetype 6 + i lc rgb ink[i] lw 1 dt 1 pt mark[i] }
set linetype cycle 12

set logscale x 2
set xtics () nomirror
do for [k = 9:24] { set xtics add (short(2 ** k) 2 ** k) }
set yrange [0:*]
set ytics nomirror
set grid ytics lc rgb "#dddddd" lt 1
set border 3
set xlabel "length, tokens (1K = 1024)"

do for [kind in "png svg"] {
    if (kind eq "png") { set terminal pngcairo size 1000, 400 font "sans,11" }
    if (kind eq "svg") { set terminal svg size 1000, 400 font "sans,12" background rgb "white" }
    set output dir."/passkey-cost.".kind
    set multiplot
    set lmargin at screen 0.07
    set rmargin at screen 0.36
    set ylabel "microseconds for a token read"
    set key off
    plot for [i = 1:words(models)] only(word(models, i)) using 1:2 with linespoints linetype i
    set lmargin at screen 0.45
    set rmargin at screen 0.74
    set ylabel "peak memory of the process, MiB"
    set key outside right center Left reverse samplen 3 noenhanced
    plot for [i = 1:words(models)] only(word(models, i)) using 1:3 with linespoints linetype i \
        title word(models, i) noenhanced
    unset multiplot
    unset output
}
