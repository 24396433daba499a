# Loss against tokens trained on, a picture for each line of models: gnuplot -c plots/training_loss.gp [DIR]
# Reads DIR/training/LINE-*.csv, writes DIR/training-LINE.png and .svg: LINE is text (nats a token), passkey and booksum
# (nats an answer's token, in the last stage). Every point is the mean of five rows of the log.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"
lines = "text passkey booksum"

# Columns: 3 tokens, 4 loss, 5 loss of the answers. Stages before the last, sweeps and gates have logs of their own.
logs(line) = system("cd '".dir."/training' 2>/dev/null && ls ".line."-*.csv 2>/dev/null ". \
    "| grep -vE -- '-(gates|short|first|sweep)\\.csv$' | grep -vE '^(passkey|booksum)-.*-long\\.csv$'")
means(log, column) = sprintf("< awk -F, 'NR > 1 { s += $%d; if (++n == 5) { print $3 \",\" s / n; s = n = 0 } }' '%s/training/%s'", \
    column, dir, log)
name(log) = log[1:strlen(log) - 4]

set format x "%.0fM"
set xlabel "tokens trained on"
set key at screen 0.68, screen 0.97 left top Left reverse samplen 3 maxcols 1 noenhanced
set lmargin at screen 0.09
set rmargin at screen 0.66

do for [line in lines] {
    all = logs(line)
    if (words(all) > 0) {
        answers = line eq "text" ? 0 : 1
        set ylabel answers ? "nats a token of the answers" : "nats a token"
        set autoscale y
        if (!answers) { set yrange [*:5.5] }
        do for [kind in "png svg"] {
            if (kind eq "png") { set terminal pngcairo size 960, 540 font "sans,11" }
            if (kind eq "svg") { set terminal svg size 960, 540 font "sans,12" background rgb "white" }
            set output dir."/training-".line.".".kind
            plot for [i = 1:words(all)] means(word(all, i), answers ? 5 : 4) using ($1 / 1e6):2 with lines \
                linetype i title name(word(all, i)) noenhanced
            unset output
        }
    }
}
