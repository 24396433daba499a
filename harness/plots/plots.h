/* All pictures of a directory of results: what is drawn of which cells, and of training and imprint logs. */
#ifndef PAL_PLOTS_H
#define PAL_PLOTS_H

#include "harness/plots/figure.h"
#include "harness/report/evidence.h"

#define PLOTS_DIR "plots"

typedef struct plots_options {
    char results[KV_TEXT_MAX], training[KV_TEXT_MAX], weights[KV_TEXT_MAX], scripts[KV_TEXT_MAX],
        keep[KV_TEXT_MAX];
} plots_options;

/* Draw what the journals in `results`, the logs in `training` and the imprint CSVs allow; lists on `log`. */
int plots_run(const plots_options *o, const task_module *const *tasks, FILE *log, pal_error *err);

/* The pictures of one task's journal in `dir` alone. A missing gnuplot is said on `log` and fails nothing. */
int plots_task(const task_module *task, const char *dir, const char *weights, FILE *log, pal_error *err);

/* ---- Parts ---- */

/* Every picture of complete cells that the report's task has. */
int plots_cells(const report *rep, figure_output *out, pal_error *err);
/* Time and memory, of cells whose samples shared nothing; *none: there are complete cells, but no such. */
int plots_cost(const report *rep, figure_output *out, int *none, pal_error *err);
/* <dir>/<task>-imprint.csv, where it is there. */
int plots_imprint(const report *rep, const char *dir, figure_output *out, pal_error *err);
/* Loss and gates of the logs in a folder. Models are known by the weights file of the log's name in `weights`. */
int plots_training(const char *folder, const char *weights, figure_output *out, pal_error *err);

/* Characters of a cell's name that name its texts: up to a ':'. */
size_t plots_texts_size(const result_cell *cell);
int plots_same_texts(const result_cell *a, const result_cell *b);
/* The one model that rows with another attention in its place are of; "": there are none, or they are of several.
 * A model that also has a row of its own does not count, and keeps its name. Returns out. */
const char *plots_base(const report *rep, char out[KV_TEXT_MAX]);
/* The look of a row: its label as people read it, its attention module. `others`: rows among which it must be told
 * apart; a base that they share is no part of it. */
figure_look plots_look(const report_row *row, const report *others);

#endif
