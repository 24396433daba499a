# Bits per byte against the bytes of streaming state, one picture for each corpus, one row for each size of model (within a
# tenth): gnuplot -c plots/perplexity_state.gp [DIR]
# Reads DIR/perplexity-cells.csv, writes DIR/perplexity-state-<corpus>.png and .svg. Down and left is better. Intervals are in
# the CSV: documents differ more than models do, and all models read the same. Controls and compressors are left out.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"
csv = "awk -F, '$12 == \"bits_per_byte\" && $20 == \"kept\" && $21 > 0"

# Columns: 4 model, 12 metric, 14 value, 15 lo, 16 hi, 20 memory, 21 parameters, 22 state bytes, 25 corpus.
file = " '".dir."/perplexity-cells.csv'"
corpora = system(csv." && !seen[$25]++ { print $25 }'".file)
points(c, m) = "< ".csv." && $25 == \"".c."\" && $4 == \"".m."\" { print ($22 ? $22 : 1) \",\" $14 }'".file
# The smallest number of parameters of each size, and the models from there to a tenth more.
sizes(c) = system(csv." && $25 == \"".c."\" { print $21 }'".file." | sort -n | awk '$1 > 1.1 * from { from = $1; print from }'")
models_of(c, from) = system(csv." && $25 == \"".c."\" && $21 >= ".from." && $21 <= 1.1 * ".from." && !seen[$4]++ { print $4 }'".file)
bounds(c, from) = system(csv." && $25 == \"".c."\" && $21 >= ".from." && $21 <= 1.1 * ".from." { v = $14; if (!n++) lo = hi = v; ". \
    "if (v < lo) lo = v; if (v > hi) hi = v } END { print lo - 0.01, hi + 0.01 }'".file)
bytes(k) = k < 10 ? sprintf("%d B", 2 ** k) : k < 20 ? sprintf("%d KiB", 2 ** (k - 10)) : \
    k < 30 ? sprintf("%d MiB", 2 ** (k - 20)) : sprintf("%d GiB", 2 ** (k - 30))

set logscale x 2
set xtics () nomirror
do for [k = 0:40:5] { set xtics add (bytes(k) 2 ** k) }
set grid lc rgb "#dddddd" lt 1
set offsets graph 0.05, graph 0.05, 0, 0
set xrange [0.5:*]
set ylabel "bits per byte"
set lmargin at screen 0.09
set rmargin at screen 0.66

do for [c in corpora] {
    all = sizes(c)
    # A legend that is higher than its row would lose its end.
    array high[words(all)]
    height = 0
    do for [row = 1:words(all)] {
        entries = words(models_of(c, word(all, row)))
        high[row] = 110 + (entries < 12 ? 12 : entries) * 19
        height = height + high[row]
    }
    name = system("printf %s '".c."' | tr -c 'A-Za-z0-9.-' '-'")
    do for [kind in "png svg"] {
        if (kind eq "png") { set terminal pngcairo size 960, height font "sans,11" }
        if (kind eq "svg") { set terminal svg size 960, height font "sans,12" background rgb "white" }
        set output dir."/perplexity-state-".name.".".kind
        set multiplot
        top = 0
        do for [row = 1:words(all)] {
            models = models_of(c, word(all, row))
            set title sprintf("Perplexity against memory: %s, models of %.2fM parameters", c, word(all, row) / 1e6) noenhanced
            set tmargin at screen 1 - (top + 40.0) / height
            set bmargin at screen 1 - (top + high[row] - 60.0) / height
            set key at screen 0.68, screen 1 - (top + 35.0) / height left top Left reverse samplen 3 maxcols 1 noenhanced
            if (row == words(all)) { set xlabel "streaming state of one sequence" } else { unset xlabel }
            ends = bounds(c, word(all, row))
            set yrange [word(ends, 1) + 0:word(ends, 2) + 0]
            plot for [i = 1:words(models)] points(c, word(models, i)) using 1:2 \
                with points linetype i pointsize 1.3 title word(models, i) noenhanced
            top = top + high[row]
        }
        unset multiplot
        unset output
    }
}
