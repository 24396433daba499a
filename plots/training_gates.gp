# The gate of every head after training, as in the Infini-attention paper's figure 3: gnuplot -c plots/training_gates.gp [DIR]
# Reads DIR/training/*-gates.csv, writes DIR/training-gates.png and .svg: a panel for each model, layers from left to right,
# heads from top to bottom. 0: the head reads its segment alone; 1: the memory alone. Stages before the last are left out.
load system("dirname ".ARG0)."/style.gnuplot"
dir = ARGC > 0 ? ARG1 : "results"

# Columns of a log: 1 step, 2 tensor ("layers.0.dec_attn.gate"), 3 head, 4 how far it is open.
logs = system("cd '".dir."/training' 2>/dev/null && ls *-gates.csv 2>/dev/null | grep -vE -- '-short-gates.csv$' ". \
    "| grep -vE '^(passkey|booksum)-.*-long-gates.csv$'")
last(log) = sprintf("< awk -F, 'NR > 1 { if ($1 != s) { s = $1; n = 0 } split($2, p, \".\"); row[n++] = p[2] \",\" $3 \",\" $4 } ". \
    "END { for (i = 0; i < n; i++) print row[i] }' '%s/training/%s'", dir, log)
if (words(logs) == 0) { exit }

# Cividis' ends and middle: read alike by the colour-blind and in grey.
set palette defined (0 "#00204d", 0.5 "#7c7b78", 1 "#ffea46")
set cbrange [0:1]
unset colorbox
set xtics 1 nomirror scale 0
set ytics 1 nomirror scale 0
set border 0
set key off
across = 4
down = (words(logs) + across - 1) / across

do for [kind in "png svg"] {
    if (kind eq "png") { set terminal pngcairo size 900, 60 + 230 * down font "sans,9" }
    if (kind eq "svg") { set terminal svg size 900, 60 + 230 * down font "sans,11" background rgb "white" }
    set output dir."/training-gates.".kind
    set multiplot layout down, across title "Gates after training: 0 reads the segment, 1 the memory"
    set xlabel "layer"
    set ylabel "head"
    do for [log in logs] {
        set title log[1:strlen(log) - 10] noenhanced
        set xrange [*:*]
        set yrange [*:*]
        stats last(log) using 1:2 nooutput
        set xrange [STATS_min_x - 0.5:STATS_max_x + 0.5]
        set yrange [STATS_max_y + 0.5:STATS_min_y - 0.5]
        plot last(log) using 1:2:(0.5):(0.5):3 with boxxyerror fillstyle solid noborder linecolor palette, \
            last(log) using 1:2:(sprintf("%.2f", $3)):($3 > 0.6 ? 0x000000 : 0xffffff) with labels textcolor rgb variable
    }
    unset multiplot
    unset output
}
