# Margins, title, heading and names of panel p.
x0 = outer_left + cell_width * column_of[p] + left_gap
y0 = top_of[row_of[p]] + headings_to[p] * heading_gap
set lmargin at screen x0 / width
set rmargin at screen (outer_left + cell_width * (column_of[p] + 1) - right_gap) / width
set tmargin at screen 1 - (y0 + top_gap) / height
set bmargin at screen 1 - (y0 + top_gap + panel_height) / height
if (p > 1) { unset label }
if (p > 1) { unset arrow }
set label 2 cut(panel_title[p], title_most) at screen x0 / width, screen 1 - (y0 + top_gap - 12.0) / height left noenhanced font title_font
if (panel_heading[p] ne "" && (p == 1 || panel_group[p] != panel_group[p > 1 ? p - 1 : 1])) {
    set label 3 panel_heading[p] at screen 10 / width, screen 1 - (y0 - 4.0) / height left noenhanced font ",14"
}
if (with_names) {
    y1 = y0 + top_gap + panel_height + bottom_gap + 2
    do for [s = first_of(p):last_of(p)] {
        k = series_look[s]
        if (kind[k] ne "context") {
            set arrow 10 + s from screen x0 / width, screen 1 - y1 / height to screen (x0 + 24) / width, screen 1 - y1 / height \
                nohead lc rgb color(k) dt dash(k) lw width_of(k)
            set label 10 + s "" at screen (x0 + 12) / width, screen 1 - y1 / height point pt point(k) lc rgb color(k) ps 0.7
            set label 1000 + s cut(label[k], name_most) at screen (x0 + 30) / width, screen 1 - y1 / height left noenhanced font ",11"
            y1 = y1 + name_row
        }
    }
}
