/* From a journal's results to files: long-format CSVs, a Markdown table, plots. Everything is a function of the
 * journal alone and sorted, so the same journal gives the same bytes. */
#ifndef PAL_REPORT_H
#define PAL_REPORT_H

#include "harness/results.h"
#include "harness/stats.h"

#include <stdio.h>

#define REPORT_LEVEL 0.95 /* of all intervals */

enum { REPORT_LABEL = KV_TEXT_MAX + 16 };

/* One complete cell. The label is the model's name; where the journal holds several runs of that name (other
 * weights, settings or BLAS core) it goes on with '@' and the start of a hash that tells them apart. */
typedef struct report_row {
    const result_cell *cell;
    int64_t n; /* samples 0 .. n-1 are reported */
    char label[REPORT_LABEL];
} report_row;

typedef struct report {
    const task_module *task;
    report_row *row; /* by model, label, length, depth, name */
    size_t count;
} report;

/* Points into `r`, which must stay as it is while the report lives. */
int report_create(report *out, const results *r, pal_error *err);
void report_free(report *rep);

typedef struct summary {
    double mean;
    interval ci;
} summary;

/* Mean and interval of a metric over samples 0 .. n-1: exact binomial where the metric counts hits, else a
 * bootstrap over samples (stats.h). A metric where more is better is taken to be a share in [0, 1]. */
summary report_summary(const task_module *task, const result_cell *cell, size_t metric, int64_t n);
/* "98.0 [93.1, 99.8]" in percent for shares, plain otherwise, "-" without a value. Returns out. */
char *report_format(const task_metric *metric, const summary *s, char out[64]);

/* "seed=1 jitter=2" and "seed" -> "1", into out[size]; "" when the key is not there. Returns out. */
char *report_setting(const char *settings, const char *key, char *out, size_t size);

/* One metric a row: the cells with intervals, and the paper's value where it has one. */
int report_cells_csv(const report *rep, const char *path, pal_error *err);
/* Tokens per second, seconds, bytes. Measurements: the one file that differs from run to run. */
int report_cost_csv(const report *rep, const char *path, pal_error *err);
int report_markdown(const report *rep, const char *path, pal_error *err);
/* Run the gnuplot scripts plots/<task>_*.gp on the CSVs in `dir`. What is in the way goes to note[size], else "".
 */
void report_plots(const task_module *task, const char *dir, char *note, size_t size);

/* All of them, for what the journal of `r` holds, into `dir`. Lists the files on `out`. Nothing is written when no
 * cell is complete. */
int report_write(const results *r, const char *dir, int plots, FILE *out, pal_error *err);

#endif
