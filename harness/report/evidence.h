/* What tables, audit and report rest on: the complete cells of a directory's journals, and which row of
 * a column is the best. */
#ifndef PAL_TABLES_EVIDENCE_H
#define PAL_TABLES_EVIDENCE_H

#include "harness/report/report.h"
#include "harness/stats/pairs.h"

enum { EVIDENCE_TASKS = 16 };

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
/* results_note of every journal. */
void evidence_note(const evidence *e, FILE *out);
/* The report of a task, or NULL when the list does not hold it or no cell is complete. */
const report *evidence_report(const evidence *e, const char *task);

/* Which of row[count] is best in a metric by more than chance: its paired difference from every other row of other
 * weights is in its favour with p <= 1 - REPORT_LEVEL corrected for all of them together (pair_family). *best =
 * count and *p = NaN: none is, there is no other, or one of them has other samples. *p: the largest of the
 * corrected. */
int evidence_best(const task_metric *metric, size_t index, const report_row *const *row, size_t count,
                  size_t *best, double *p, pal_error *err);

#endif
