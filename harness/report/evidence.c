#include "harness/report/evidence.h"

#include "harness/base/os.h"
#include "harness/eval/facts.h"
#include "harness/eval/model_files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Any fixed number: it only makes the bootstrap repeatable. */
enum { EVIDENCE_SEED = 3 };

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

const report *evidence_report(const evidence *e, const char *task)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->task[i].rep.count && strcmp(e->task[i].rep.task->name, task) == 0) return &e->task[i].rep;
    return NULL;
}

/* ---- Paired comparisons ---- */

/* Settings without the word that zeroes the memory. */
static void put_shaping(const char *settings, char out[RESULT_TEXT])
{
    size_t used = 0;
    out[0] = '\0';
    for (const char *at = settings; *at;) {
        const size_t size = strcspn(at, " ");
        if (size && strncmp(at, "memory=", 7) != 0)
            used += (size_t)snprintf(out + used, RESULT_TEXT - used, " %.*s", (int)size, at);
        at += size;
        at += strspn(at, " ");
    }
}

int evidence_same_samples(const result_cell *a, const result_cell *b)
{
    char text_a[RESULT_TEXT], text_b[RESULT_TEXT];
    put_shaping(a->settings, text_a);
    put_shaping(b->settings, text_b);
    return strcmp(a->name, b->name) == 0 && strcmp(a->data, b->data) == 0 &&
           strcmp(a->tokenizer, b->tokenizer) == 0 && strcmp(text_a, text_b) == 0;
}

static size_t fill(const task_metric *m, const result_cell *cell, int64_t n, double *num, double *den)
{
    const double unit = m->kind == METRIC_BITS ? log(2) : 1;
    const size_t rows = result_columns(m, cell, n, num, den);
    for (size_t i = 0; i < rows; i++) num[i] /= unit;
    return rows;
}

int evidence_compare(const task_metric *metric, const result_cell *a, const result_cell *b, evidence_pair *out,
                     pal_error *err)
{
    const int64_t held_a = result_complete(a), held_b = result_complete(b), n = held_a < held_b ? held_a : held_b;
    double *num_a = malloc(4 * (size_t)(n + 1) * sizeof *num_a);
    if (!num_a) return pal_fail(err, PAL_INTERNAL, "out of memory for a comparison");
    double *den_a = num_a + n, *num_b = den_a + n, *den_b = num_b + n;
    const size_t rows = fill(metric, a, n, num_a, den_a);
    fill(metric, b, n, num_b, den_b);
    const paired got = stats_paired_ratio(num_a, den_a, num_b, den_b, rows, REPORT_LEVEL, EVIDENCE_SEED);
    *out = (evidence_pair){.n = n, .difference = got.difference, .ci = got.ci, .p = got.p, .test = got.test};
    if (metric->binomial && rows == (size_t)n && isfinite(got.difference)) {
        int64_t only_a = 0, only_b = 0;
        for (int64_t i = 0; i < n; i++) {
            only_a += num_a[i] > num_b[i];
            only_b += num_b[i] > num_a[i];
        }
        out->p = stats_mcnemar(only_a, only_b);
        out->test = "mcnemar";
    }
    free(num_a);
    return PAL_OK;
}

/* p[k] of the leader against row k, for those that compete with it; *rivals: how many. 1 where the leader is not
 * ahead. PAL_OK with *comparable 0: one of them has other samples. */
static int against_all(const task_metric *metric, const report_row *const *row, size_t count, size_t leader,
                       double *p, size_t *rivals, int *comparable, pal_error *err)
{
    *rivals = 0;
    *comparable = 1;
    for (size_t k = 0; k < count; k++) {
        const result_cell *a = row[leader]->cell, *b = row[k]->cell;
        evidence_pair pair;
        if (k == leader || strcmp(a->weights, b->weights) == 0) continue;
        *comparable = *comparable && evidence_same_samples(a, b);
        PAL_TRY(evidence_compare(metric, a, b, &pair, err));
        const double gain = metric->higher_is_better ? pair.difference : -pair.difference;
        p[(*rivals)++] = gain > 0 && isfinite(pair.p) ? pair.p : 1;
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
