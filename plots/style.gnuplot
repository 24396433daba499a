# What all pictures share: load system("dirname ".ARG0)."/style.gnuplot"
set datafile separator comma

# Okabe and Ito's colours, told apart by the colour-blind and in grey; models differ in colour, line and mark. The second
# round is thinner, with open marks.
array ink[6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#000000"]
array full[6] = [7, 5, 9, 11, 13, 6]
array open[6] = [6, 4, 8, 10, 12, 1]
array dash[6] = [1, 2, 3, 4, 5, 1]
do for [i = 1:6] {
    set linetype i lc rgb ink[i] lw 2 dt dash[i] pt full[i]
    set linetype 6 + i lc rgb ink[i] lw 1 dt 1 pt open[i]
}
set linetype cycle 12

set border 3
set grid ytics lc rgb "#dddddd" lt 1
set xtics nomirror
set ytics nomirror
set bars 0.6

# 32768 -> "32K"
short(tokens) = int(tokens) % 1048576 == 0 ? sprintf("%dM", int(tokens) / 1048576) : \
    int(tokens) % 1024 == 0 ? sprintf("%dK", int(tokens) / 1024) : sprintf("%d", int(tokens))
