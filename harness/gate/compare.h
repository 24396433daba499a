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

typedef enum compare_verdict {
    COMPARE_UNSURE,    /* neither of the others can be shown with these samples */
    COMPARE_SAME,      /* every value of every sample is the same */
    COMPARE_NOT_WORSE, /* the interval excludes that B is worse by more than the margin */
    COMPARE_BETTER,    /* significantly */
    COMPARE_WORSE      /* significantly, and perhaps by more than the margin; or B has no value where A has */
} compare_verdict;
extern const char *const compare_verdict_name[];

/* One metric of one cell. */
typedef struct compare_row {
    const task_module *task;
    char cell[64], model_a[KV_TEXT_MAX], model_b[KV_TEXT_MAX];
    const task_metric *metric;
    const result_cell *of_a, *of_b;
    double a, b; /* each side's ratio of sums */
    pair pair;   /* of B against A, so that its difference is B - A */
    int primary; /* whether it is the task's main metric, which decides the exit code */
    int same;
    double margin;    /* how much worse B may be, in the unit of the difference; positive */
    double corrected; /* p, corrected for all rows of its task and metric together */
    /* How much worse B must be for this comparison to notice with COMPARE_POWER at level alpha, were it alone.
     * NaN: this few samples can show nothing, or no two of them differ in a way that would tell. */
    double detectable;
    int64_t needed; /* samples that would settle an unsure row, were they like these; 0: nobody knows */
    compare_verdict verdict;
} compare_row;

typedef struct comparison {
    double alpha;
    double margin, points; /* of losses and ratios, as a share of A's value; of shares, in points */
    compare_row *row;
    size_t count, capacity;
    size_t only_a, only_b; /* complete cells without a partner */
    /* Rows of main metrics by verdict; a B without a value counts in any metric. */
    size_t worse, better, unsure;
    int64_t needed; /* the most that an unsure one of them asks for */
} comparison;

/* Which runs to compare, by a label that tables print (journal/labels.h); "": all. With
 * model_b "" a cell of A meets the same model's in B, else model_b's. */
typedef struct compare_models {
    const char *a, *b;
} compare_models;

/* Add the rows of all pairs of cells, of all metrics that are no detail. PAL_USAGE: a journal holds several runs
 * of a model in one cell. Where such runs differ by the BLAS core alone, the core of A's run is preferred. */
int compare_add(comparison *c, const results *a, const results *b, compare_models models, pal_error *err);
/* Correct the p-values over the rows of each task and metric (pair_family), and fill verdicts. The results must
 * still be there. */
int compare_judge(comparison *c, pal_error *err);
void compare_print(const comparison *c, listing_format format, FILE *out);
void compare_free(comparison *c);

typedef struct compare_options {
    char a[KV_TEXT_MAX], b[KV_TEXT_MAX]; /* a journal, or a directory of results */
    char task[KV_TEXT_MAX];              /* "": every task that both hold */
    char model_a[KV_TEXT_MAX], model_b[KV_TEXT_MAX];
    double alpha, margin, points;
    int64_t format; /* listing_format */
} compare_options;

/* All of the above. PAL_GATE: B is worse somewhere. PAL_UNSURE: there is nothing to compare, or it cannot be
 * excluded that B is worse by more than the margin. */
int compare_run(const compare_options *o, FILE *out, pal_error *err);

extern const pal_command compare_command;

#endif
