/* Rows of documents against their baselines, and the CSV of all such comparisons. */
#include "harness/report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The attention that the Infini-attention paper measures itself against. */
static const char baseline_attention[] = "transformer-xl";

static int zeroed(const report_row *row)
{
    return row->cell->memory == RESULT_ZEROED;
}

/* Whether two rows are about the same documents cut into the same tokens. */
static int same_texts(const report_row *a, const report_row *b)
{
    return a->cell->extent == RESULT_DOCUMENTS && strcmp(a->cell->name, b->cell->name) == 0 &&
           strcmp(a->cell->data, b->cell->data) == 0 && strcmp(a->cell->tokenizer, b->cell->tokenizer) == 0;
}

static int same_weights(const report_row *a, const report_row *b)
{
    return strcmp(a->cell->weights, b->cell->weights) == 0 && strcmp(a->cell->blas_core, b->cell->blas_core) == 0;
}

/* Whether a row could stand for the baseline with another seed: its attention and size, trained alike. */
static int stands_in(const report_row *row, const report_row *baseline)
{
    const model_facts *a = &row->cell->facts, *b = &baseline->cell->facts;
    return !zeroed(row) && strcmp(a->attention, b->attention) == 0 && a->xl_len == b->xl_len &&
           a->fine_tuned == b->fine_tuned && result_same_size(row->cell, baseline->cell);
}

/* The seed of the baseline that a row is compared with: its own, or the lowest where no baseline of its size on
 * its texts has that. */
static int64_t baseline_seed(const report *rep, const report_row *row, const report_row *baseline)
{
    int64_t lowest = INT64_MAX;
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *other = &rep->row[i];
        const int64_t seed = other->cell->facts.train_seed;
        if (!stands_in(other, baseline) || !same_texts(row, other)) continue;
        if (seed == row->cell->facts.train_seed) return seed;
        if (seed < lowest) lowest = seed;
    }
    return lowest;
}

/* Models are compared with the baseline of their size and seed, fine-tuned or not as they are, and with themselves
 * when their memory was zeroed. Compressors are no models: they would only weaken the correction of the others. */
static int related(const report *rep, const report_row *row, const report_row *baseline)
{
    if (row == baseline || !same_texts(row, baseline) || row->cell->kind == RESULT_REFERENCE || zeroed(baseline))
        return 0;
    if (zeroed(row)) return same_weights(row, baseline);
    return result_same_size(row->cell, baseline->cell) &&
           row->cell->facts.fine_tuned == baseline->cell->facts.fine_tuned &&
           baseline->cell->facts.train_seed == baseline_seed(rep, row, baseline);
}

/* ---- Families ---- */

/* All that is compared with one model in one metric, over all texts: the models, or its own controls. */
int report_family(const report *rep, const report_row *baseline, int controls, report_family_row **out,
                  size_t *count, pal_error *err)
{
    *count = 0;
    *out = calloc(rep->count * rep->count + 1, sizeof **out);
    if (!*out) return pal_fail(err, PAL_INTERNAL, "out of memory for the comparisons");
    for (size_t b = 0; b < rep->count; b++) {
        const report_row *other = &rep->row[b];
        if (!same_weights(other, baseline) || other->cell->kind == RESULT_REFERENCE) continue;
        for (size_t i = 0; i < rep->count; i++)
            if (zeroed(&rep->row[i]) == controls && related(rep, &rep->row[i], other))
                (*out)[(*count)++] = (report_family_row){&rep->row[i], other, NAN};
    }
    return PAL_OK;
}

int report_correct(const report *rep, size_t metric, report_family_row *list, size_t count, double shift,
                   pal_error *err)
{
    pair_of *pairs = calloc(count + 1, sizeof *pairs);
    double *p = calloc(count + 1, sizeof *p);
    int code = pairs && p ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the comparisons");
    for (size_t i = 0; code == PAL_OK && i < count; i++)
        pairs[i] = (pair_of){&rep->task->metric[metric], list[i].row->cell, list[i].baseline->cell};
    if (code == PAL_OK) code = pair_family(pairs, count, shift, p, err);
    for (size_t i = 0; code == PAL_OK && i < count; i++) list[i].p = p[i];
    free(pairs);
    free(p);
    return code;
}

/* ---- All comparisons ---- */

/* Whether an earlier row has the same weights, so that its family was taken then. */
static int seen(const report *rep, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (rep->row[i].cell->kind == RESULT_MODEL && !zeroed(&rep->row[i]) &&
            same_weights(&rep->row[i], &rep->row[at]))
            return 1;
    return 0;
}

static int is_baseline(const report_row *row)
{
    return strcmp(row->cell->facts.attention, baseline_attention) == 0;
}

static int add_family(const report *rep, const report_row *baseline, size_t metric, int controls,
                      report_comparison **list, size_t *count, pal_error *err)
{
    report_family_row *family;
    size_t rows;
    const task_metric *m = &rep->task->metric[metric];
    PAL_TRY(report_family(rep, baseline, controls, &family, &rows, err));
    int code = rows ? report_correct(rep, metric, family, rows, 0, err) : PAL_OK;
    report_comparison *grown = realloc(*list, (*count + rows + 1) * sizeof *grown);
    if (grown)
        *list = grown;
    else if (code == PAL_OK)
        code = pal_fail(err, PAL_INTERNAL, "out of memory for the comparisons");
    for (size_t i = 0; code == PAL_OK && i < rows; i++) {
        report_comparison *c = &grown[(*count)++];
        *c = (report_comparison){.row = family[i].row,
                                 .baseline = family[i].baseline,
                                 .metric = metric,
                                 .p_family = family[i].p,
                                 .family = rows};
        code = pair_compare(m, c->row->cell, c->baseline->cell, REPORT_LEVEL, &c->paired, err);
        if (code == PAL_OK) c->detectable = pair_detectable(m, &c->paired, 1 - REPORT_LEVEL, REPORT_POWER);
    }
    free(family);
    return code;
}

/* By place of the baseline, metric, controls last, place of the row. */
static int by_place(const void *a, const void *b)
{
    const report_comparison *x = a, *y = b;
    if (x->baseline != y->baseline) return x->baseline < y->baseline ? -1 : 1;
    if (x->metric != y->metric) return x->metric < y->metric ? -1 : 1;
    if (zeroed(x->row) != zeroed(y->row)) return zeroed(x->row) ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

int report_compare(const report *rep, report_comparison **out, size_t *count, pal_error *err)
{
    *count = 0;
    *out = calloc(1, sizeof **out);
    int code = *out ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the comparisons");
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *row = &rep->row[i];
        if (row->cell->extent != RESULT_DOCUMENTS || row->cell->kind == RESULT_REFERENCE || zeroed(row) ||
            seen(rep, i))
            continue;
        for (size_t m = 0; m < rep->task->metric_count; m++)
            for (int controls = !is_baseline(row); code == PAL_OK && controls <= 1 && !rep->task->metric[m].detail;
                 controls++)
                code = add_family(rep, row, m, controls, out, count, err);
    }
    if (code != PAL_OK) {
        free(*out);
        return code;
    }
    qsort(*out, *count, sizeof **out, by_place);
    return PAL_OK;
}

int report_paired_csv(const report *rep, const char *path, pal_error *err)
{
    report_comparison *list;
    size_t count, size = 0;
    char *text = NULL;
    PAL_TRY(report_compare(rep, &list, &count, err));
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        free(list);
        return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    }
    fputs("task,cell,model,baseline,metric,unit,n,clusters,difference,lo,hi,interval,p,p_family,family,test,"
          "detectable\n",
          out);
    for (size_t i = 0; i < count; i++) {
        const report_comparison *c = &list[i];
        const task_metric *m = &rep->task->metric[c->metric];
        fprintf(out, "%s,", rep->task->name);
        text_csv(out, c->row->cell->name);
        fputc(',', out);
        text_csv(out, c->row->label);
        fputc(',', out);
        text_csv(out, c->baseline->label);
        static const char *const units[] = {[METRIC_SHARE] = "share",
                                            [METRIC_RATIO] = "ratio",
                                            [METRIC_PERPLEXITY] = "nats",
                                            [METRIC_BITS] = "bits",
                                            [METRIC_MISSING] = "samples"};
        fprintf(out, ",%s%s,%s,%lld,%zu,", m->kind == METRIC_PERPLEXITY ? "log_" : "", m->name, units[m->kind],
                (long long)c->paired.n, c->paired.clusters);
        const double numbers[] = {c->paired.difference, c->paired.ci.lo, c->paired.ci.hi};
        for (int k = 0; k < 3; k++) {
            text_number(out, numbers[k]);
            fputc(',', out);
        }
        fprintf(out, "%s,", c->paired.ci.kind);
        text_number(out, c->paired.p);
        fputc(',', out);
        text_number(out, c->p_family);
        fprintf(out, ",%zu,%s,", c->family, c->paired.test);
        text_number(out, c->detectable);
        fputc('\n', out);
    }
    free(list);
    return text_finish(out, &text, &size, path, err);
}
