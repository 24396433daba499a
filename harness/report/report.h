/* From a journal's results to files: long-format CSVs, a Markdown table, plots. Everything is a function of the
 * journal alone and sorted, so the same journal gives the same bytes. */
#ifndef PAL_REPORT_H
#define PAL_REPORT_H

#include "harness/base/text.h"
#include "harness/journal/labels.h"
#include "harness/stats/pairs.h"

#include <stdio.h>

#define REPORT_LEVEL 0.95 /* of all intervals */
#define REPORT_POWER 0.8  /* of what could have been seen */

enum { REPORT_LABEL = LABEL_TEXT };

typedef struct summary {
    double value;
    interval ci;
    int64_t not_finite; /* samples that have no number; where there is one, there is no value */
} summary;

/* One complete cell. The label is the model's name, and ", memory zeroed" for the control; where the journal holds
 * several runs of that name (other weights, settings, texts' tokens or BLAS core) it goes on with '@' and the
 * start of a hash that tells them apart. */
typedef struct report_row {
    const result_cell *cell;
    int64_t n;          /* samples 0 .. n-1 are reported */
    int64_t not_finite; /* of them; where there is one, no metric has a value */
    char label[REPORT_LABEL];
    summary *metric; /* in the task's order */
} report_row;

typedef struct report {
    const task_module *task;
    report_row *row; /* by model, label, length, depth, name */
    size_t count;
} report;

/* Points into `r`, which must stay as it is while the report lives. */
int report_create(report *out, const results *r, pal_error *err);
void report_free(report *rep);

/* A metric over samples 0 .. n-1 and its interval: exact binomial where samples are hit or miss, beta-binomial
 * where they are counts, else the inverted sign-flip test over whole clusters of samples (result_columns,
 * stats.h), which needs STATS_LEAST_DOCUMENTS. NaN where a value is missing. */
summary report_summary(const task_module *task, const result_cell *cell, size_t metric, int64_t n);
/* "98.0 [93.1, 99.8]" in percent for shares, plain otherwise, "2 not finite" where samples have no number, "-"
 * without a value. Returns out. */
char *report_format(const task_metric *metric, const summary *s, char out[64]);

/* The state of the Memorizing Transformer of the cell's size, which the paper's memory ratios are of: the largest
 * that was evaluated; 0: none was. */
uint64_t report_memorizing_state(const report *rep, const result_cell *cell);

/* What a cell's samples 0 .. n-1 cost. */
typedef struct cell_cost {
    double seconds;  /* of wall time */
    double tokens;   /* of the samples */
    double computed; /* tokens that the model really read for them; NaN: unknown */
    double speed;    /* tokens of input per second; NaN where samples shared work or passed over tokens */
} cell_cost;
cell_cost report_cost(const result_cell *cell, int64_t n);

/* The metric that models are compared in first: one of bits, else the task's first. */
/* Whether tables have a column for the metric: it is no detail, or it counts samples and some row has any. */
int report_shows(const report *rep, size_t metric);
size_t report_main_metric(const task_module *task);

/* "seed=1 jitter=2" and "seed" -> "1", into out[size]; "" when the key is not there. Returns out. */
char *report_setting(const char *settings, const char *key, char *out, size_t size);

/* One metric a row: the cells with intervals, and the paper's value where it has one. */
int report_cells_csv(const report *rep, const char *path, pal_error *err);
/* Tokens per second, seconds, bytes. Measurements: the one file that differs from run to run. */
int report_cost_csv(const report *rep, const char *path, pal_error *err);
int report_markdown(const report *rep, const char *path, pal_error *err);
/* Models against each other on the same documents (report_compare); not written when there is nothing to compare.
 */
int report_paired_csv(const report *rep, const char *path, pal_error *err);
/* A row against a baseline on the same documents, in one metric: a share or ratio, bits, or nats for a perplexity
 * (its logarithm). */
typedef struct report_comparison {
    const report_row *row, *baseline;
    size_t metric;
    pair paired;
    double p_family; /* corrected for all that is compared with this baseline in this metric, over all texts */
    size_t family;   /* how many those are */
    /* The size of a true difference that so many clusters show with REPORT_POWER at 1 - REPORT_LEVEL, before any
     * correction; NaN where they can show none. */
    double detectable;
} report_comparison;

/* All comparisons that the rows of whole documents allow, for each metric that is not a detail: of models with
 * each Transformer-XL of their size and training seed on the same texts and tokens, and of a model whose memory
 * was zeroed with itself. *out is malloc'ed.
 */
int report_compare(const report *rep, report_comparison **out, size_t *count, pal_error *err);

/* One member of a family of comparisons. */
typedef struct report_family_row {
    const report_row *row, *baseline;
    double p;
} report_family_row;

/* The family of a model: all rows of whole documents that are compared with its rows, over all texts: models of
 * its size and seed, or (controls) itself with its memory zeroed. The same for tables, CSV and audit, so that a
 * pair has one p. *out is malloc'ed, p not yet filled. */
int report_family(const report *rep, const report_row *baseline, int controls, report_family_row **out,
                  size_t *count, pal_error *err);
/* Fill p (pair_family) in a metric, against a difference of `shift`. */
int report_correct(const report *rep, size_t metric, report_family_row *list, size_t count, double shift,
                   pal_error *err);

/* All of them, for what the journal of `r` holds, into `dir`. Lists the files on `out`. Nothing is written when no
 * cell is complete. */
int report_write(const results *r, const char *dir, FILE *out, pal_error *err);

#endif
