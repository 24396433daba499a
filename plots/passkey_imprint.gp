# What a needle leaves in a memory, against the segments read since: gnuplot -c plots/passkey_imprint.gp [DIR]
# Reads DIR/passkey-imprint.csv (`palimpsest imprint`), writes DIR/passkey-imprint.png and .svg. Left: how much of M is
# another one without the needle, the norm of the difference over that of M. Right: the norm of z, by which every read is
# divided. Both are means over the layers that have a memory; needles at the start of the text.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"
file = "'".dir."/passkey-imprint.csv'"
if (system("[ -e ".file." ] && echo there") eq "") { exit }

# Columns: 1 model, 4 depth, 5 segments, 7 part, 9 norm, 10 difference.
models = system("awk -F, '$7 == \"M\" && !seen[$1]++ { print $1 }' ".file)
if (words(models) == 0) { exit }
mean(m, part) = "< awk -F, '$1 == \"".m."\" && $4 == 0 && $7 == \"".part."\" && $9 > 0 ".\
    "{ n[$5]++; a[$5] += $9; b[$5] += $10 } END { for (k in n) print k \",\" a[k] / n[k] \",\" b[k] / n[k] }' ".\
    file." | sort -g"

set logscale xy
set xlabel "segments read, each one write"
set border 3
set xtics nomirror
set ytics nomirror
do for [kind in "png svg"] {
    if (kind eq "png") { set terminal pngcairo size 900, 420 font "sans,11" }
    if (kind eq "svg") { set terminal svg size 900, 420 font "sans,12" background rgb "white" }
    set output dir."/passkey-imprint.".kind
    set multiplot layout 1, 2
    set format y "%g"
    set yrange [0.0005:2]
    set ylabel "difference that the needle makes to M"
    set key bottom left Left reverse samplen 3 noenhanced
    plot for [i = 1:words(models)] mean(word(models, i), "M") using 1:3 with linespoints linetype i \
        title word(models, i) noenhanced
    set format y "10^{%T}"
    set yrange [1:1e7]
    set ylabel "norm of z"
    unset key
    plot for [i = 1:words(models)] mean(word(models, i), "z") using 1:2 with linespoints linetype i notitle
    unset multiplot
    unset output
}
