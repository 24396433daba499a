# Loss against tokens trained on, a picture for each line of models, a row for each size of model that names tell (300k, 4m):
#   gnuplot -c plots/training_loss.gp [DIR]
# Reads DIR/training/LINE-*.csv, writes DIR/training-LINE.png and .svg: LINE is text (nats a token), passkey and booksum
# (nats an answer's token, in the last stage). Every point is the mean of five rows of the log.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"
lines = "text passkey booksum"

# Columns: 3 tokens, 4 loss, 5 loss of the answers. Stages before the last, sweeps and gates have logs of their own.
logs(line) = system("cd '".dir."/training' 2>/dev/null && ls ".line."-*.csv 2>/dev/null ". \
    "| grep -vE -- '-(gates|short|first|sweep)\\.csv$' | grep -vE '^(passkey|booksum)-.*-long\\.csv$' | tr '\\n' ' '")
means(log, column) = sprintf("< awk -F, 'NR > 1 { s += $%d; if (++n == 5) { print $3 \",\" s / n; s = n = 0 } }' '%s/training/%s'", \
    column, dir, log)
name(log) = log[1:strlen(log) - 4]
sized = "sed -E 's/^[a-z]+-([0-9]+[km])-.*/\\1/; t; s/.*/-/'"
sizes(line) = system("echo '".logs(line)."' | tr ' ' '\n' | ".sized." | sort -u")
logs_of(line, size) = system("for l in ".logs(line)."; do [ \"$(echo $l | ".sized.")\" != '".size."' ] || echo $l; done")

set format x "%.0fM"
set xlabel "tokens trained on"
set lmargin at screen 0.09
set rmargin at screen 0.66

do for [line in lines] {
    if (words(logs(line)) > 0) {
        all = sizes(line)
        # A legend that is higher than its row would lose its end.
        array high[words(all)]
        height = 0
        do for [row = 1:words(all)] {
            entries = words(logs_of(line, word(all, row)))
            high[row] = 70 + (entries < 16 ? 16 : entries) * 19
            height = height + high[row]
        }
        answers = line eq "text" ? 0 : 1
        set ylabel answers ? "nats a token of the answers" : "nats a token"
        set autoscale y
        if (!answers) { set yrange [*:5.5] }
        do for [kind in "png svg"] {
            if (kind eq "png") { set terminal pngcairo size 960, height font "sans,11" }
            if (kind eq "svg") { set terminal svg size 960, height font "sans,12" background rgb "white" }
            set output dir."/training-".line.".".kind
            set multiplot
            top = 0
            do for [row = 1:words(all)] {
                some = logs_of(line, word(all, row))
                set tmargin at screen 1 - (top + 15.0) / height
                set bmargin at screen 1 - (top + high[row] - 50.0) / height
                set key at screen 0.68, screen 1 - (top + 10.0) / height left top Left reverse samplen 3 maxcols 1 noenhanced
                plot for [i = 1:words(some)] means(word(some, i), answers ? 5 : 4) using ($1 / 1e6):2 with lines \
                    linetype i title name(word(some, i)) noenhanced
                top = top + high[row]
            }
            unset multiplot
            unset output
        }
    }
}
