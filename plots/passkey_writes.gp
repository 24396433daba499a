# Accuracy against the number of memory writes since the needle: gnuplot -c plots/passkey_writes.gp [DIR [SEGMENT]]
# Reads DIR/passkey-cells.csv, writes DIR/passkey-writes.png and .svg. Every length and depth is a point: what stands
# between needle and question, in tokens and in segments of SEGMENT (256) tokens, each of which is one write. Bars are
# 95 % intervals. Controls, variants and the needle at the very end, which no write parts from its question, are left out.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"
segment = ARGC > 1 ? ARG2 + 0 : 256

# Columns: 4 model, 10 length, 11 depth, 12 metric, 14 value, 15 lo, 16 hi, 20 memory, 25 and on the cell's name, in which
# variants have a third word.
csv = "awk -F, '$12 == \"token_accuracy\" && $20 == \"kept\" && $11 < 100 && $27 == \"\""
file = " '".dir."/passkey-cells.csv'"
models = system(csv." && !seen[$4]++ { print $4 }'".file)
only(m) = "< ".csv." && $4 == \"".m."\" { print $10 * (1 - $11 / 100) \",\" $14 \",\" $15 \",\" $16 }'".file." | sort -g"
if (words(models) == 0) { exit }

low = 2 ** 9
high = 2 ** 21
set logscale x 2
set logscale x2 2
set xrange [low:high]
set x2range [1.0 * low / segment:1.0 * high / segment]
set xtics () nomirror
set x2tics () nomirror
do for [k = 9:21] {
    set xtics add (short(2 ** k) 2 ** k)
    if (2 ** k >= segment && k % 2) { set x2tics add (sprintf("%d", 2 ** k / segment) 2 ** k / segment) }
}
set yrange [-3:103]
set ytics 20 nomirror
set border 7
set xlabel "tokens from the needle to the question (1K = 1024)"
set x2label sprintf("memory writes, one for every %d tokens", segment)
set ylabel "token accuracy, %"
set key outside right center Left reverse samplen 3 noenhanced

do for [kind in "png svg"] {
    if (kind eq "png") { set terminal pngcairo size 900, 460 font "sans,11" }
    if (kind eq "svg") { set terminal svg size 900, 460 font "sans,12" background rgb "white" }
    set output dir."/passkey-writes.".kind
    plot for [i = 1:words(models)] only(word(models, i)) using 1:(100 * $2):(100 * $3):(100 * $4) \
        with yerrorlines linetype i title word(models, i) noenhanced
    unset output
}
