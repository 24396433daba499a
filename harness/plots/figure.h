/* One picture: its numbers as tidy tables, and how they are drawn. C only selects and groups; plots/<script>.gp
 * draws, and reads nothing but the files that figure_write makes. No name is ever part of a gnuplot command. */
#ifndef PAL_FIGURE_H
#define PAL_FIGURE_H

#include "harness/cli/progress.h"
#include "harness/report/report.h"

/* How a series is drawn. */
typedef enum figure_kind {
    FIGURE_MODEL,     /* in the colour and mark of its attention module */
    FIGURE_CONTEXT,   /* thin and grey, without a name: the others of the picture */
    FIGURE_REFERENCE, /* grey, with a name: a row that takes no model */
    FIGURE_PAPER      /* the paper's own numbers */
} figure_kind;

/* What tells series apart, the same in all panels: a line of the legend. */
typedef struct figure_look {
    char label[REPORT_LABEL];
    char attention[32]; /* names the colour and mark; "": none is known */
    int variant;        /* 0, 1, ... among the looks of one attention and group: dash and fill; filled in */
    int group;          /* of the panel that it was first seen in; filled in */
    int zeroed;         /* the control without memory: dotted */
    figure_kind kind;
} figure_look;

typedef struct figure_series {
    size_t panel, look;
} figure_series;

/* x and y are in the units of the axes; z is a second coordinate or value. NaN: there is none. */
typedef struct figure_point {
    size_t series;
    double x, y, lo, hi, z;
    int64_t n;
    const report_row *row; /* where it comes from, or NULL */
} figure_point;

typedef struct figure_panel {
    char title[REPORT_LABEL];
    char heading[64]; /* panels of one heading stand together under it */
    int group;        /* counts the headings */
} figure_panel;

typedef struct figure_tick {
    char axis; /* 'x' or 'y' */
    double place;
    char label[24];
} figure_tick;

typedef struct figure {
    const char *script;         /* "passkey_accuracy" */
    char subject[REPORT_LABEL]; /* of what, when a script draws several: "novels, test split"; else "" */
    char id[TEXT_ID];           /* of the subject, for the files' names */
    char note[200];             /* one more sentence for the caption, such as the number of samples; or "" */
    figure_panel *panel;
    figure_look *look;
    figure_series *series;
    figure_point *point;
    figure_tick *tick;
    size_t panels, looks, all_series, points, ticks;
    size_t room[5]; /* of the arrays, in this order */
    int failed;     /* out of memory while it was filled; reported by figure_draw */
} figure;

/* ---- Filling: a panel, its series, their points, each after what it belongs to ---- */

void figure_begin(figure *f, const char *script, const char *subject, const char *name);
void figure_free(figure *f);
void figure_add_panel(figure *f, const char *heading, const char *title);
/* A series of the newest panel. Its look is found by the label and kind, or added. */
void figure_add_series(figure *f, const figure_look *look);
/* A point of the newest series; f->point[].series is filled in. */
void figure_add_point(figure *f, figure_point point);
/* Put the points of the newest series in the order of x. */
void figure_sort_points(figure *f);
/* Once for each place of an axis. */
void figure_add_tick(figure *f, char axis, double place, const char *label);
/* A tick of 1024 steps: "32K". */
void figure_add_size_tick(figure *f, char axis, double place);

/* ---- Drawing ---- */

typedef struct figure_output {
    const char *scripts; /* directory of the .gp files */
    const char *dir;     /* of the pictures */
    const char *keep;    /* where the tidy tables stay, a folder a picture; "" : nowhere */
    int counting;        /* only count the pictures that there are, in `planned` */
    size_t planned, drawn;
    progress *progress; /* of the pictures drawn; or NULL */
    char note[600];     /* what was in the way first, or "" */
    char left_out[600]; /* the first file that could not be read, and why; or "" */
} figure_output;

/* Write the tables into the existing directory `folder`: panels, looks, series, points and ticks, each .tsv, with
 * a line of names first, sorted as they were added; picture.tsv has the subject. */
int figure_write(const figure *f, const char *folder, pal_error *err);
/* Draw <dir>/<script>[-<id>].svg and .png, '_' in the script's name being '-'. A figure without points is not
 * drawn, and an old picture of its name is removed. The SVG's accessible name and description are the script's `#
 * title:` and
 * `# caption:` lines. A missing gnuplot or a script that fails goes to out->note. */
int figure_draw(const figure *f, figure_output *out, pal_error *err);
/* Whether <scripts>/<script>.gp is there: a task need not have the pictures that bear its name. A folder that is
 * not there is figure_draw's to report. */
int figure_has_script(const figure_output *out, const char *script);

#endif
