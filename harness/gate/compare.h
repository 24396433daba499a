/* Paired comparison of two journals: is B worse than A? Cells are compared where both journals hold them,
 * complete, with the same name, texts, tokenizer and settings, so that sample i is the same text on both sides. */
#ifndef PAL_COMPARE_H
#define PAL_COMPARE_H

#include "harness/cli/command.h"
#include "harness/cli/listing.h"
#include "harness/journal/cells.h"
#include "harness/stats/pairs.h"

#include <stdio.h>

#define COMPARE_POWER 0.8

/* One metric of one cell. */
typedef struct compare_row {
    const char *task;
    char cell[64], model_a[KV_TEXT_MAX], model_b[KV_TEXT_MAX];
    const task_metric *metric;
    double a, b; /* each side's ratio of sums */
    pair pair;   /* of B against A, so that its difference is B - A */
    double corrected;
    /* How much worse B must be for this comparison to notice with COMPARE_POWER at level alpha / rows, the level
     * that a correction leaves to the smallest p. NaN: this few samples can show nothing, or no two of them differ
     * in a way that would tell. */
    double detectable;
    int verdict; /* -1: B is significantly worse, or has no value where A has; 1: better; 0: neither */
} compare_row;

typedef struct comparison {
    double alpha;
    compare_row *row;
    size_t count, capacity;
    size_t only_a, only_b; /* complete cells without a partner */
    size_t worse, better;
    /* Rows that could show a loss; and rows whose sides differ while no number of like samples would be
     * significant. */
    size_t sharp, open;
} comparison;

/* Which runs to compare, by a label that tables print (journal/labels.h); "": all. With
 * model_b "" a cell of A meets the same model's in B, else model_b's. */
typedef struct compare_models {
    const char *a, *b;
} compare_models;

/* Add the rows of all pairs of cells, of all metrics that are no detail. PAL_USAGE: a journal holds several runs
 * of a model in one cell. Where such runs differ by the BLAS core alone, the core of A's run is preferred. */
int compare_add(comparison *c, const results *a, const results *b, compare_models models, pal_error *err);
/* Correct the p-values over all rows (Holm) and fill verdicts and detectable effects. */
int compare_judge(comparison *c, pal_error *err);
void compare_print(const comparison *c, listing_format format, FILE *out);
void compare_free(comparison *c);

typedef struct compare_options {
    char a[KV_TEXT_MAX], b[KV_TEXT_MAX]; /* a journal, or a directory of results */
    char task[KV_TEXT_MAX];              /* "": every task that both hold */
    char model_a[KV_TEXT_MAX], model_b[KV_TEXT_MAX];
    double alpha;
    int64_t format; /* listing_format */
} compare_options;

/* All of the above. PAL_GATE: B is significantly worse somewhere. PAL_UNSURE: there is nothing to compare, or the
 * sides differ but by samples that could show nothing. */
int compare_run(const compare_options *o, FILE *out, pal_error *err);

extern const pal_command compare_command;

#endif
