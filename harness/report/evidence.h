/* What tables, audit and report rest on: the complete cells of a directory's journals, and paired comparisons of
 * them. */
#ifndef PAL_TABLES_EVIDENCE_H
#define PAL_TABLES_EVIDENCE_H

#include "harness/report/report.h"

enum { EVIDENCE_TASKS = 8 };

typedef struct evidence_task {
    char path[2 * KV_TEXT_MAX]; /* of the journal */
    results held;
    report rep;
} evidence_task;

/* Must not be moved while it is in use: reports point into it. */
typedef struct evidence {
    evidence_task task[EVIDENCE_TASKS];
    size_t count;
} evidence;

/* Read <dir>/<task>-journal.jsonl of every task of the NULL-terminated list; a task without a journal has no
 * cells.
 */
int evidence_read(evidence *out, const task_module *const *tasks, const char *dir, pal_error *err);
void evidence_free(evidence *e);
/* The report of a task, or NULL when the list does not hold it or no cell is complete. */
const report *evidence_report(const evidence *e, const char *task);

/* Whether sample i is the same text on both sides: the same cell, texts, tokenizer and settings, the control of
 * the memory aside. */
int evidence_same_samples(const result_cell *a, const result_cell *b);

typedef struct evidence_pair {
    int64_t n; /* samples that both sides hold */
    /* a - b of the ratios of sums, before a metric's exp: nats for a perplexity, bits for METRIC_BITS */
    double difference;
    interval ci;
    double p;         /* of no difference: McNemar's for hits, else that of stats_paired_ratio */
    const char *test; /* behind p */
} evidence_pair;

int evidence_compare(const task_metric *metric, const result_cell *a, const result_cell *b, evidence_pair *out,
                     pal_error *err);

/* Which of row[count] is best in a metric by more than chance: its paired difference from every other row of other
 * weights is in its favour with p <= 1 - REPORT_LEVEL after Holm's correction over them. *best = count and *p =
 * NaN: none is, there is no other, or one of them has other samples. *p: the largest of the corrected. */
int evidence_best(const task_metric *metric, size_t index, const report_row *const *row, size_t count,
                  size_t *best, double *p, pal_error *err);

#endif
