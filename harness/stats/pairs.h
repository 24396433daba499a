/* The paired comparison of two cells: the one behind every difference that a table, a gate or an audit shows. The
 * same pair gives the same numbers everywhere. */
#ifndef PAL_PAIRS_H
#define PAL_PAIRS_H

#include "harness/journal/cells.h"
#include "harness/stats/stats.h"

typedef struct pair {
    int64_t n;       /* samples that both sides hold */
    size_t clusters; /* of them; what is flipped */
    /* The ratio of sums of each side, before a metric's exp: nats for a perplexity, bits for METRIC_BITS. */
    double a, b;
    double difference; /* a - b */
    interval ci;       /* at the level asked for: of stats_paired_ratio; of shares that are all alike, binomial */
    double p;          /* two-sided, of no difference: McNemar's for hits, else that of stats_paired_ratio */
    const char *test;  /* behind p: "mcnemar", "sign-flip", or "none" with p = NaN */
    double deviation;  /* of stats_paired_ratio */
    int64_t only_a, only_b; /* McNemar: samples that one side alone hits; -1: another test */
} pair;

/* Whether sample i is the same text on both sides: the same cell, texts, tokenizer and settings, the control of
 * the memory aside. */
int pair_same_samples(const result_cell *a, const result_cell *b);

/* Compare over the samples that both cells hold completely. Everything is NaN where a sample has no number. */
int pair_compare(const task_metric *metric, const result_cell *a, const result_cell *b, double level, pair *out,
                 pal_error *err);

/* The comparison of a[seeds] with b[seeds], whose k-th runs share a seed and all of which hold the same samples:
 * the mean difference and its interval over seeds and documents (stats_crossed). p and deviation are NaN. */
int pair_over_seeds(const task_metric *metric, const result_cell *const *a, const result_cell *const *b,
                    size_t seeds, double level, pair *out, pal_error *err);

/* Two cells that meet in one metric. */
typedef struct pair_of {
    const task_metric *metric;
    const result_cell *a, *b;
} pair_of;

/* p[i] of list[i], corrected for all of them together (stats_family), against the null that a - b is `shift` (in
 * the unit of the difference), and never below the pair's own p of no shift where that is 0. Pairs in the same
 * cell share their flips. */
int pair_family(const pair_of *list, size_t count, double shift, double *p, pal_error *err);

/* How much worse than b side a must truly be for such samples to show it with probability `power` at level
 * `alpha`; in the unit of the difference, positive. NaN: so few samples can show nothing. */
double pair_detectable(const task_metric *metric, const pair *p, double alpha, double power);

#endif
