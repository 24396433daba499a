/* What tables and audit rest on: the reports of all journals of a directory, and which row is best. */
#include "harness/report/evidence.h"

#include "harness/base/os.h"
#include "harness/eval/facts.h"
#include "harness/eval/model_files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int evidence_read(evidence *out, const task_module *const *tasks, const char *dir, pal_error *err)
{
    int code = PAL_OK;
    *out = (evidence){.count = 0};
    for (size_t i = 0; code == PAL_OK && tasks[i]; i++) {
        if (i == EVIDENCE_TASKS) code = pal_fail(err, PAL_INTERNAL, "more than %d tasks", EVIDENCE_TASKS);
        evidence_task *t = &out->task[out->count];
        if (code == PAL_OK) {
            out->count++;
            snprintf(t->path, sizeof t->path, "%s/%s-journal.jsonl", dir, tasks[i]->name);
            results_init(&t->held, tasks[i], t->path);
            code = facts_read_journal(&t->held, WEIGHTS_DIR, err);
        }
        if (code == PAL_OK) code = report_create(&t->rep, &t->held, err);
    }
    if (code != PAL_OK) evidence_free(out);
    return code;
}

void evidence_free(evidence *e)
{
    for (size_t i = 0; i < e->count; i++) {
        report_free(&e->task[i].rep);
        results_free(&e->task[i].held);
    }
    e->count = 0;
}

void evidence_note(const evidence *e, FILE *out)
{
    for (size_t i = 0; i < e->count; i++) results_note(&e->task[i].held, out);
}

const report *evidence_report(const evidence *e, const char *task)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->task[i].rep.count && strcmp(e->task[i].rep.task->name, task) == 0) return &e->task[i].rep;
    return NULL;
}

/* ---- The best of several ---- */

/* The largest p of the leader against all rows that compete with it, corrected for them together; 1 where there is
 * none, NaN where no row competes. A tie has p = 1. *comparable 0: one of them has other samples. */
static int against_all(const task_metric *metric, const report_row *const *row, size_t count, size_t leader,
                       double *largest, int *comparable, pal_error *err)
{
    pair_of *list = calloc(count + 1, sizeof *list);
    double *p = calloc(count + 1, sizeof *p);
    size_t rivals = 0;
    int code = list && p ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for a comparison");
    *largest = NAN;
    *comparable = 1;
    for (size_t k = 0; code == PAL_OK && k < count; k++) {
        const result_cell *a = row[leader]->cell, *b = row[k]->cell;
        if (k == leader || strcmp(a->weights, b->weights) == 0) continue;
        *comparable = *comparable && pair_same_samples(a, b);
        list[rivals++] = (pair_of){metric, a, b};
    }
    if (code == PAL_OK) code = pair_family(list, rivals, 0, p, err);
    for (size_t k = 0; code == PAL_OK && k < rivals; k++) *largest = fmax(*largest, isfinite(p[k]) ? p[k] : 1);
    free(list);
    free(p);
    return code;
}

int evidence_best(const task_metric *metric, size_t index, const report_row *const *row, size_t count,
                  size_t *best, double *p, pal_error *err)
{
    size_t leader = count;
    int comparable;
    double largest;
    for (size_t k = 0; k < count; k++) {
        const double value = row[k]->metric[index].value;
        if (!isfinite(value)) continue;
        const double least = leader < count ? row[leader]->metric[index].value : value;
        if (leader == count || (metric->higher_is_better ? value > least : value < least)) leader = k;
    }
    *best = count;
    *p = NAN;
    if (leader == count) return PAL_OK;
    PAL_TRY(against_all(metric, row, count, leader, &largest, &comparable, err));
    if (comparable && largest <= 1 - REPORT_LEVEL) {
        *best = leader;
        *p = largest;
    }
    return PAL_OK;
}
