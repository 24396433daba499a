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

/* p[k] of the leader against row k, for those that compete with it; *rivals: how many. 1 where the leader is not
 * ahead. PAL_OK with *comparable 0: one of them has other samples. */
static int against_all(const task_metric *metric, const report_row *const *row, size_t count, size_t leader,
                       double *p, size_t *rivals, int *comparable, pal_error *err)
{
    *rivals = 0;
    *comparable = 1;
    for (size_t k = 0; k < count; k++) {
        const result_cell *a = row[leader]->cell, *b = row[k]->cell;
        pair got;
        if (k == leader || strcmp(a->weights, b->weights) == 0) continue;
        *comparable = *comparable && pair_same_samples(a, b);
        PAL_TRY(pair_compare(metric, a, b, REPORT_LEVEL, &got, err));
        const double gain = metric->higher_is_better ? got.difference : -got.difference;
        p[(*rivals)++] = gain > 0 && isfinite(got.p) ? got.p : 1;
    }
    return PAL_OK;
}

int evidence_best(const task_metric *metric, size_t index, const report_row *const *row, size_t count,
                  size_t *best, double *p, pal_error *err)
{
    size_t leader = count, rivals;
    int comparable;
    for (size_t k = 0; k < count; k++) {
        const double value = row[k]->metric[index].value;
        if (!isfinite(value)) continue;
        const double least = leader < count ? row[leader]->metric[index].value : value;
        if (leader == count || (metric->higher_is_better ? value > least : value < least)) leader = k;
    }
    *best = count;
    *p = NAN;
    if (leader == count) return PAL_OK;
    double *list = malloc((count + 1) * sizeof *list);
    if (!list) return pal_fail(err, PAL_INTERNAL, "out of memory for a comparison");
    int code = against_all(metric, row, count, leader, list, &rivals, &comparable, err);
    if (code == PAL_OK) code = stats_holm(list, rivals, err);
    double largest = 0;
    for (size_t k = 0; code == PAL_OK && k < rivals; k++) largest = fmax(largest, list[k]);
    free(list);
    if (code == PAL_OK && rivals && comparable && largest <= 1 - REPORT_LEVEL) {
        *best = leader;
        *p = largest;
    }
    return code;
}
