# Overall ROUGE, and the share of a story's facts that are told, against the length of the input, one picture for each
# set of texts: gnuplot -c plots/booksum_length.gp [DIR]
# Reads DIR/booksum-cells.csv, writes DIR/booksum-<metric>-<texts>.png and .svg. Bars are 95 % intervals over books.
# Rows that take no model are thin and grey; whole books have no place on the axis and are left out.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results/run"

# Lines "texts,label,model?,length,value,lo,hi" of a metric. Columns: 4 model, 9 BLAS core, 12 metric, 14 value, 15 lo,
# 16 hi, 25 cell ("stories/test:len=16K,skipped=2"). Commas in quotes become semicolons first.
flat = "{ while (match($0, /\"[^\"]*\"/)) { q = substr($0, RSTART + 1, RLENGTH - 2); gsub(/,/, \";\", q); ". \
    "$0 = substr($0, 1, RSTART - 1) q substr($0, RSTART + RLENGTH) } } "
size = "match($25, /:len=[0-9]+[KM]?/) { n = substr($25, RSTART + 5, RLENGTH - 5); ". \
    "t = substr($25, 1, RSTART - 1); k = n ~ /K/ ? 1024 : n ~ /M/ ? 1048576 : 1; "
rows(metric) = "awk -F, '".flat.size."if ($12 == \"".metric."\" && $14 != \"\") ". \
    "print t \",\" $4 \",\" ($9 != \"none\") \",\" (n + 0) * k \",\" $14 \",\" ". \
    "($15 == \"\" ? $14 : $15) \",\" ($16 == \"\" ? $14 : $16) }' '".dir."/booksum-cells.csv'"
# Labels hold spaces: they are listed one a line and taken by number.
texts_of(metric) = system(rows(metric)." | awk -F, '!seen[$1]++ { print $1 }'")
labels(metric, t, model) = rows(metric)." | awk -F, '$1 == \"".t."\" && $3 == ".model." && !seen[$2]++ { print $2 }'"
count(metric, t, model) = int(system(labels(metric, t, model)." | wc -l"))
label(metric, t, model, i) = system(labels(metric, t, model)." | sed -n ".i."p")
points(metric, t, l) = "< ".rows(metric)." | awk -F, '$1 == \"".t."\" && $2 == \"".l."\"' | sort -t, -gk4"

set logscale x 2
set xlabel "input, tokens (1K = 1024)"
set key outside right center Left reverse samplen 3 noenhanced

do for [metric in "overall facts"] {
    do for [t in texts_of(metric)] {
        lengths = system(rows(metric)." | awk -F, '$1 == \"".t."\" { print $4 }' | sort -gu")
        set xrange [word(lengths, 1) * 0.7:word(lengths, words(lengths)) * 1.4]
        set xtics () nomirror
        do for [l in lengths] { set xtics add (short(l) l + 0) }
        set ylabel metric eq "facts" ? "facts told, %" : "overall ROUGE (geometric mean of R-1, R-2, R-L)"
        if (metric eq "facts") { set yrange [-3:103] } else { set yrange [*:*] }
        set title t noenhanced
        m = count(metric, t, 1)
        r = count(metric, t, 0)
        # Intervals of neighbouring models would hide each other: shift each by a little.
        shift(i) = 1.02 ** (i - (m + 1) / 2.0)
        name = system("printf %s '".t."' | tr -c 'A-Za-z0-9.-' '-'")
        do for [kind in "png svg"] {
            if (kind eq "png") { set terminal pngcairo size 900, 480 font "sans,11" }
            if (kind eq "svg") { set terminal svg size 900, 480 font "sans,12" background rgb "white" }
            set output dir."/booksum-".metric."-".name.".".kind
            plot for [i = 1:m] points(metric, t, label(metric, t, 1, i)) \
                    using ($4 * shift(i)):(100 * $5):(100 * $6):(100 * $7) \
                    with yerrorlines linetype i title label(metric, t, 1, i), \
                for [i = 1:r] points(metric, t, label(metric, t, 0, i)) using 4:(100 * $5) \
                    with linespoints lc rgb "#999999" lw 1 dt i pt i title label(metric, t, 0, i)
            unset output
        }
    }
}
