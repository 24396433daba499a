# Time of a token and peak memory against length: gnuplot -c plots/passkey_cost.gp [DIR]
# Reads DIR/passkey-cost.csv, writes DIR/passkey-cost.png and .svg. Time is wall time over the tokens that the model really
# read; memory is the process's peak, weights and all samples side by side included. Controls and variants are left out.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"

# Columns: 2 model, 5 length, 10 tokens/s, 12 peak RSS. Of runs with other threads or batches the one with most samples.
csv = "awk -F, 'NR > 1 && $10 > 0"
file = " '".dir."/passkey-cost.csv'"
models = system(csv." && $2 !~ /[\"@]/ && !seen[$2]++ { print $2 }'".file)
only(m) = "< ".csv." && $2 == \"".m."\" && $8 >= most[$5] { most[$5] = $8; row[$5] = $5 \",\" 1e6 / $10 \",\" $12 / 1048576 } ". \
    "END { for (l in row) print row[l] }'".file." | sort -g"
if (words(models) == 0) { exit }

set logscale x 2
set xtics () nomirror rotate by 55 right
do for [k = 9:24] { set xtics add (short(2 ** k) 2 ** k) }
set xlabel "length, tokens (1K = 1024)"

do for [kind in "png svg"] {
    if (kind eq "png") { set terminal pngcairo size 1080, 420 font "sans,11" }
    if (kind eq "svg") { set terminal svg size 1080, 420 font "sans,12" background rgb "white" }
    set output dir."/passkey-cost.".kind
    set multiplot
    set lmargin at screen 0.08
    set rmargin at screen 0.36
    set ylabel "microseconds for a token read"
    set logscale y
    set yrange [*:*]
    set key off
    plot for [i = 1:words(models)] only(word(models, i)) using 1:2 with linespoints linetype i
    set lmargin at screen 0.45
    set rmargin at screen 0.74
    set ylabel "peak memory of the process, MiB"
    unset logscale y
    set yrange [0:*]
    set key at screen 0.75, screen 0.93 left top Left reverse samplen 3 noenhanced
    plot for [i = 1:words(models)] only(word(models, i)) using 1:3 with linespoints linetype i \
        title word(models, i) noenhanced
    unset multiplot
    unset output
}
