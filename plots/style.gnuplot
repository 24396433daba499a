# What all pictures share. A script sets folder = ARG1 (the picture's tables: `palimpsest plots keep=FOLDER` leaves them)
# and out = ARG2 (the .svg or .png to write) and loads this file.
# Names from outside come in as fields of those tables and are shown as they are: none is ever part of a command.

set datafile separator tab
set datafile columnheaders
set datafile commentschars "\001"
set datafile missing "nan"
set encoding utf8
data = folder."/"

# ---- The tables ----

# Strings go into arrays while the file is read; `set table` keeps gnuplot from drawing.
stats data."panels.tsv" using (column("panel")) nooutput
panels = int(STATS_max)
array panel_title[panels]
array panel_heading[panels]
array panel_group[panels]
stats data."looks.tsv" using (column("look")) nooutput
looks = int(STATS_max)
array label[looks]
array kind[looks]
array attention[looks]
array variant[looks]
array zeroed[looks]
stats data."series.tsv" using (column("series")) nooutput
all_series = int(STATS_max)
array series_panel[all_series]
array series_look[all_series]
stats data."ticks.tsv" using (column("place")) nooutput
ticks = int(STATS_records)
array tick_axis[ticks > 0 ? ticks : 1]
array tick_place[ticks > 0 ? ticks : 1]
array tick_label[ticks > 0 ? ticks : 1]

# Of an empty field gnuplot 5.4 returns the character that follows it.
text(name) = (t_ = strcol(name), t_ eq "\t" || t_ eq "\n" || t_ eq "\r" ? "" : t_)
i = 0
set table $read
plot data."panels.tsv" using (i = int(column("panel")), panel_title[i] = text("title"), \
        panel_heading[i] = text("heading"), panel_group[i] = int(column("group"))) with table
plot data."looks.tsv" using (i = int(column("look")), label[i] = text("label"), kind[i] = text("kind"), \
        attention[i] = text("attention"), variant[i] = int(column("variant")), zeroed[i] = int(column("zeroed"))) with table
plot data."series.tsv" using (i = int(column("series")), series_panel[i] = int(column("panel")), \
        series_look[i] = int(column("look"))) with table
i = 0
if (ticks > 0) {
    plot data."ticks.tsv" using (i = i + 1, tick_axis[i] = text("axis"), tick_label[i] = text("label"), \
        tick_place[i] = column("place")) with table
}
subject = ""
plot data."picture.tsv" using (subject = text("subject"), 1) with table
unset table
points = data."points.tsv"

# A series' rows, each by itself: x, or nothing where the row is another's.
x_of(s) = column("series") == s ? column("x") : NaN
first_of(p) = (sum [s = 1:all_series] (series_panel[s] < p ? 1 : 0)) + 1
last_of(p) = sum [s = 1:all_series] (series_panel[s] <= p ? 1 : 0)

# ---- One colour and mark for each attention module, in all pictures ----

# Okabe and Ito's colours, told apart by the colour-blind. Variants of a module (another seed, another training) differ in
# dash and fill. Rows that take no model are grey.
ink(a) = a eq "infini-linear" ? 0x0072b2 : a eq "infini-delta" ? 0xd55e00 : a eq "infini-gated" ? 0x009e73 : \
    a eq "transformer-xl" ? 0xcc79a7 : a eq "memorizing" ? 0xe69f00 : a eq "local" ? 0x000000 : a eq "full" ? 0x56b4e9 : 0x8a6d3b
mark(a) = a eq "infini-linear" ? 7 : a eq "infini-delta" ? 5 : a eq "infini-gated" ? 9 : a eq "transformer-xl" ? 13 : \
    a eq "memorizing" ? 11 : a eq "local" ? 15 : a eq "full" ? 15 : 7
grey = 0x8c8c8c
light = 0xc4c4c4
color(k) = kind[k] eq "context" ? light : kind[k] eq "reference" ? grey : ink(attention[k])
# Filled marks are odd, the open ones of the same form stand before them.
point(k) = kind[k] eq "reference" ? variant[k] % 3 + 1 : kind[k] eq "paper" ? 2 : \
    zeroed[k] || variant[k] % 2 ? mark(attention[k]) - 1 : mark(attention[k])
dash(k) = attention[k] eq "" && kind[k] eq "model" ? 1 : zeroed[k] || kind[k] eq "paper" ? 3 : kind[k] eq "reference" ? variant[k] % 5 + 1 : \
    variant[k] == 0 ? 1 : (variant[k] - 1) % 3 == 0 ? 2 : (variant[k] - 1) % 3 == 1 ? 4 : 5
width_of(k) = kind[k] eq "model" && variant[k] == 0 && !zeroed[k] ? 2 : kind[k] eq "context" ? 0.7 : 1.3

# Which series have a name, and which a band: those of an attention module's first look.
named(s) = kind[series_look[s]] ne "context"
band(s) = kind[series_look[s]] eq "model" && !zeroed[series_look[s]] && variant[series_look[s]] == 0

# A long name gives up its middle.
cut(name, most) = strlen(name) <= most ? name : name[1:most - 13]."…".name[strlen(name) - 11:*]

# ---- Grounds ----

set border 3
set grid ytics lc rgb "#dddddd" lt 1
set tics nomirror
set bars 0
set samples 2
set key noenhanced
set title noenhanced
set xtics noenhanced
set ytics noenhanced

# 32768 -> "32K"
short(tokens) = int(tokens) % 1048576 == 0 ? sprintf("%dM", int(tokens) / 1048576) : \
    int(tokens) % 1024 == 0 ? sprintf("%dK", int(tokens) / 1024) : sprintf("%d", int(tokens))

# ---- Small multiples ----
# Panels stand in rows of `across`; each heading begins a new row, with a line of text above it. A script sets across,
# panel_width and panel_height (of the plotted area), the gaps around it, and `legend`, the entries in the legend.
# All are in pixels of a picture 600 wide, which a phone shows at three fifths.

width = 600.0
across = 2
left_gap = 55.0
right_gap = 12
top_gap = 26
bottom_gap = 30
title_char = 7.4
title_font = ",13"
heading_gap = 26
title_gap = 32
legend_row = 20
legend_across = 2
with_legend = 1
with_names = 0
name_row = 15
axis_gap = 26
outer_left = 0
outer_right = 4
x_title = ""
main_title = ""
