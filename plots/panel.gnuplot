# Margins, title and heading of panel p.
x0 = outer_left + cell_width * column_of[p] + left_gap
y0 = title_gap + headings_to[p] * heading_gap + row_of[p] * cell_height
set lmargin at screen x0 / width
set rmargin at screen (outer_left + cell_width * (column_of[p] + 1) - right_gap) / width
set tmargin at screen 1 - (y0 + top_gap) / height
set bmargin at screen 1 - (y0 + top_gap + panel_height) / height
set label 2 panel_title[p] at screen x0 / width, screen 1 - (y0 + top_gap - 12.0) / height left noenhanced font ",13"
unset label 3
if (panel_heading[p] ne "" && (p == 1 || panel_group[p] != panel_group[p > 1 ? p - 1 : 1])) {
    set label 3 panel_heading[p] at screen 10 / width, screen 1 - (y0 - 2.0) / height left noenhanced font ",14"
}
