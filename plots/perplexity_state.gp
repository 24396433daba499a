# Bits per byte against the bytes of streaming state, one picture for each corpus:
# gnuplot -c plots/perplexity_state.gp [DIR]
# Reads DIR/perplexity-cells.csv, writes DIR/perplexity-state-<corpus>.png and .svg. Down and left is better. Bars are
# 95 % intervals over documents. Controls and compressors are left out.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"
csv = "awk -F, '$12 == \"bits_per_byte\" && $20 == \"kept\" && $21 > 0"

# Columns: 4 model, 12 metric, 14 value, 15 lo, 16 hi, 20 memory, 21 parameters, 22 state bytes, 25 corpus.
file = " '".dir."/perplexity-cells.csv'"
corpora = system(csv." && !seen[$25]++ { print $25 }'".file)
points(c, m) = "< ".csv." && $25 == \"".c."\" && $4 == \"".m."\" ". \
    "{ print ($22 ? $22 : 1) \",\" $14 \",\" ($15 == \"\" ? $14 : $15) \",\" ($16 == \"\" ? $14 : $16) }'".file
bytes(k) = k < 10 ? sprintf("%d B", 2 ** k) : k < 20 ? sprintf("%d KiB", 2 ** (k - 10)) : \
    k < 30 ? sprintf("%d MiB", 2 ** (k - 20)) : sprintf("%d GiB", 2 ** (k - 30))

set logscale x 2
set xtics () nomirror
do for [k = 0:40:5] { set xtics add (bytes(k) 2 ** k) }
set grid lc rgb "#dddddd" lt 1
set offsets graph 0.05, graph 0.05, graph 0.05, graph 0.05
set xlabel "streaming state of one sequence"
set ylabel "bits per byte"
set key at screen 0.7, screen 0.95 left top Left reverse samplen 3 maxcols 1 noenhanced
set lmargin at screen 0.09
set rmargin at screen 0.68

do for [c in corpora] {
    models = system(csv." && $25 == \"".c."\" && !seen[$4]++ { print $4 }'".file)
    set title "Perplexity against memory: ".c noenhanced
    name = system("printf %s '".c."' | tr -c 'A-Za-z0-9.-' '-'")
    do for [kind in "png svg"] {
        if (kind eq "png") { set terminal pngcairo size 960, 540 font "sans,11" }
        if (kind eq "svg") { set terminal svg size 960, 540 font "sans,12" background rgb "white" }
        set output dir."/perplexity-state-".name.".".kind
        plot for [i = 1:words(models)] points(c, word(models, i)) using 1:2:3:4 \
            with yerrorbars linetype i title word(models, i) noenhanced
        unset output
    }
}
