/* One page with all results: tables, claims, plots, runs, configs and how to make each number again; and the same
 * numbers as JSON in the layout of lm-evaluation-harness. The page loads nothing from elsewhere. */
#ifndef PAL_HTML_H
#define PAL_HTML_H

#include "harness/gate/audit.h"
#include "harness/page/svg.h"
#include "harness/report/tables.h"

typedef struct html_options {
    char results[KV_TEXT_MAX], out[KV_TEXT_MAX], json[KV_TEXT_MAX], claims[KV_TEXT_MAX], weights[KV_TEXT_MAX];
    char lm_eval[KV_TEXT_MAX], date[KV_TEXT_MAX]; /* "": no such files */
} html_options;

/* Write the page to `out`, all results to `json` and those of each model below `lm_eval`; list them on `log`.
 * A claims file that is not there is left out. */
int html_run(const html_options *o, const task_module *const *tasks, FILE *log, pal_error *err);

/* ---- Parts ---- */

/* A table's field with a whole number, "1,053,456"; or with what report_format makes, the interval below. */
void html_count(FILE *out, double value);
void html_value(FILE *out, const char *text);

void html_table(FILE *out, const table *t);
/* The claims with verdict and evidence. */
void html_audit(FILE *out, const audit *a);

/* SHA-256 of the weights whose configs are on the page, each once: at "#weights-<its first 16 digits>". */
typedef struct html_shipped {
    char (*digest)[HASH_HEX];
    size_t count;
} html_shipped;

int html_shipped_has(const html_shipped *s, const char *digest);
void html_shipped_free(html_shipped *s);
/* Configs and recipes of the weights in a directory. PAL_DATA: one of them is damaged. */
int html_configs(FILE *out, const char *weights, html_shipped *shipped, pal_error *err);

/* Every run, and every cell: on what it was made, the command that makes it again, and its samples. */
void html_runs(FILE *out, const evidence *e, const html_shipped *shipped);
int html_cells(FILE *out, const evidence *e, pal_error *err);
/* One picture, with the number that the page gives it. */
typedef struct page_figure {
    size_t number;
    char name[256]; /* of its file */
    svg_picture svg;
    int lead;    /* it stands at the top of the page */
    size_t task; /* its task's place in the list */
} page_figure;

typedef struct page_figures {
    page_figure *figure;
    size_t count;
} page_figures;

/* The files DIR/ *.svg, those that lead first, then by task of the NULL-terminated list, then by name. A file that
 * svg_read refuses is left out with a line on `log`. The first picture of each script in `plots` with a line "#
 * lead:" at its head leads. */
int figures_read(page_figures *all, const char *dir, const char *plots, const task_module *const *tasks, FILE *log,
                 pal_error *err);
void figures_free(page_figures *all);
/* Those from `first` to before `end`. */
void html_figures(FILE *out, const page_figures *all, size_t first, size_t end);

#endif
