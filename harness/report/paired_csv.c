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

static int is_baseline(const report_row *row)
{
    return strcmp(row->cell->facts.attention, baseline_attention) == 0 && !zeroed(row);
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

/* The seed of the baseline that a row is compared with: its own, or the lowest where no baseline of its size on
 * its texts has that. */
static int64_t baseline_seed(const report *rep, const report_row *row)
{
    int64_t lowest = INT64_MAX;
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *other = &rep->row[i];
        const int64_t seed = other->cell->facts.train_seed;
        if (!is_baseline(other) || !same_texts(row, other) || !result_same_size(row->cell, other->cell)) continue;
        if (seed == row->cell->facts.train_seed) return seed;
        if (seed < lowest) lowest = seed;
    }
    return lowest;
}

/* Models are compared with the baseline of their size and seed, and with themselves when their memory was zeroed.
 * Compressors are no models: a comparison with them would only weaken the correction of the others. */
static int related(const report *rep, const report_row *row, const report_row *baseline)
{
    if (row == baseline || !same_texts(row, baseline) || row->cell->kind == RESULT_REFERENCE) return 0;
    if (zeroed(row)) return same_weights(row, baseline) && !zeroed(baseline);
    return is_baseline(baseline) && result_same_size(row->cell, baseline->cell) &&
           baseline->cell->facts.train_seed == baseline_seed(rep, row);
}

static int compare_rows(const task_metric *m, report_comparison *c, pal_error *err)
{
    PAL_TRY(pair_compare(m, c->row->cell, c->baseline->cell, REPORT_LEVEL, &c->paired, err));
    c->detectable = pair_detectable(m, &c->paired, 1 - REPORT_LEVEL, REPORT_POWER);
    return PAL_OK;
}

/* Correct the p values of list[count], which are one family. */
static int correct(report_comparison *list, size_t count, pal_error *err)
{
    double *p = malloc((count + 1) * sizeof *p);
    if (!p) return pal_fail(err, PAL_INTERNAL, "out of memory for a comparison");
    for (size_t i = 0; i < count; i++) p[i] = list[i].paired.p;
    const int code = stats_holm(p, count, err);
    for (size_t i = 0; i < count; i++) list[i].p_holm = p[i];
    free(p);
    return code;
}

/* Rows against one baseline in one metric: the models, or the controls. */
static int compare_family(const report *rep, const report_row *baseline, size_t metric, int controls,
                          report_comparison *list, size_t *count, pal_error *err)
{
    const size_t first = *count;
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *row = &rep->row[i];
        if (!related(rep, row, baseline) || zeroed(row) != controls) continue;
        list[*count] = (report_comparison){.row = row, .baseline = baseline, .metric = metric};
        PAL_TRY(compare_rows(&rep->task->metric[metric], &list[(*count)++], err));
    }
    return correct(list + first, *count - first, err);
}

int report_compare(const report *rep, report_comparison **out, size_t *count, pal_error *err)
{
    *count = 0;
    *out = calloc(rep->count * rep->count * rep->task->metric_count + 1, sizeof **out);
    if (!*out) return pal_fail(err, PAL_INTERNAL, "out of memory for the comparisons");
    int code = PAL_OK;
    for (size_t i = 0; i < rep->count; i++)
        for (size_t m = 0; m < rep->task->metric_count; m++)
            for (int controls = 0; code == PAL_OK && controls <= 1 && !rep->task->metric[m].detail; controls++)
                code = compare_family(rep, &rep->row[i], m, controls, *out, count, err);
    if (code != PAL_OK) free(*out);
    return code;
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
    fputs("task,cell,model,baseline,metric,unit,n,clusters,difference,lo,hi,interval,p,p_holm,test,detectable\n",
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
        text_number(out, c->p_holm);
        fprintf(out, ",%s,", c->paired.test);
        text_number(out, c->detectable);
        fputc('\n', out);
    }
    free(list);
    return text_finish(out, &text, &size, path, err);
}
