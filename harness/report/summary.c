/* Rows of a report: labels, metrics with intervals, order; and the files of one task. */
#include "harness/report/report.h"

#include "harness/eval/facts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Rows ---- */

static int same_model(const result_cell *a, const result_cell *b)
{
    return strcmp(a->weights, b->weights) == 0 && strcmp(a->config, b->config) == 0 &&
           strcmp(a->tokenizer, b->tokenizer) == 0 && strcmp(a->blas_core, b->blas_core) == 0;
}

static int same_run(const result_cell *a, const result_cell *b)
{
    return same_model(a, b) && strcmp(a->settings, b->settings) == 0;
}

static size_t rows_of(const report *rep, const result_cell *run)
{
    size_t rows = 0;
    for (size_t i = 0; i < rep->count; i++) rows += (size_t)same_run(rep->row[i].cell, run);
    return rows;
}

/* Of the runs of one model the largest has the plain name: a task's variants, controls among them, stand beside
 * it. */
static int outranks(const report *rep, const result_cell *a, const result_cell *b)
{
    const size_t x = rows_of(rep, a), y = rows_of(rep, b);
    return x != y ? x > y : strcmp(a->settings, b->settings) < 0;
}

static void label_row(report_row *row, const report *rep)
{
    char name[REPORT_LABEL], other[REPORT_LABEL];
    const result_cell *c = row->cell;
    int several = 0;
    label_name(c, name);
    for (size_t i = 0; i < rep->count && !several; i++) {
        const result_cell *o = rep->row[i].cell;
        several = !same_run(o, c) && strcmp(label_name(o, other), name) == 0 &&
                  (!same_model(o, c) || outranks(rep, o, c));
    }
    char digest[HASH_HEX] = "";
    if (several) label_digest(c, digest);
    snprintf(row->label, sizeof row->label, several ? "%.300s@%.6s" : "%.300s%s", name, digest);
}

static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

static int by_place(const void *a, const void *b)
{
    const report_row *x = a, *y = b;
    int order = facts_order(&x->cell->facts, &y->cell->facts);
    if (!order) order = strcmp(x->cell->model, y->cell->model);
    if (!order) order = strcmp(x->label, y->label);
    if (!order) order = compare((double)x->cell->length, (double)y->cell->length);
    if (!order) order = strverscmp(x->cell->variant, y->cell->variant); /* pairs=8 before pairs=16 */
    if (!order) order = compare(x->cell->depth, y->cell->depth);
    return order ? order : strcmp(x->cell->name, y->cell->name);
}

static int add_row(report *rep, const result_cell *cell, int64_t n, pal_error *err)
{
    report_row *row = &rep->row[rep->count];
    *row = (report_row){.cell = cell,
                        .n = n,
                        .not_finite = result_not_finite(cell, n),
                        .metric = calloc(rep->task->metric_count + 1, sizeof *row->metric)};
    if (!row->metric) return pal_fail(err, PAL_INTERNAL, "out of memory for the report");
    rep->count++;
    for (size_t m = 0; m < rep->task->metric_count; m++) {
        /* A compressor has one size a document: no detail of its loss is known. */
        const task_metric *metric = &rep->task->metric[m];
        const int known = !metric->detail || cell->kind == RESULT_MODEL || metric->kind == METRIC_MISSING;
        row->metric[m] = known ? report_summary(rep->task, cell, m, n) : (summary){NAN, {NAN, NAN, "none"}, 0};
    }
    return PAL_OK;
}

int report_create(report *out, const results *r, pal_error *err)
{
    *out = (report){.task = r->task, .row = calloc(r->count + 1, sizeof *out->row)};
    int code = out->row ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the report");
    for (size_t i = 0; code == PAL_OK && i < r->count; i++) {
        const int64_t n = result_complete(&r->cell[i]);
        if (n > 0) code = add_row(out, &r->cell[i], n, err);
    }
    if (code != PAL_OK) {
        report_free(out);
        return code;
    }
    for (size_t i = 0; i < out->count; i++) label_row(&out->row[i], out);
    qsort(out->row, out->count, sizeof *out->row, by_place);
    return PAL_OK;
}

void report_free(report *rep)
{
    for (size_t i = 0; i < rep->count; i++) free(rep->row[i].metric);
    free(rep->row);
    *rep = (report){0};
}

/* ---- Values ---- */

static double shown(metric_kind kind, double ratio)
{
    return kind == METRIC_PERPLEXITY ? exp(ratio) : kind == METRIC_BITS ? ratio / log(2) : ratio;
}

/* Counts of each cluster in place of the columns; what was in them is lost. */
static interval counts_interval(const task_metric *m, double *num, double *den, size_t rows)
{
    const double unit = m->trials ? m->trials : 1;
    for (size_t i = 0; i < rows; i++) {
        num[i] = round(unit * num[i]);
        den[i] *= unit;
    }
    return stats_counts(num, den, rows, REPORT_LEVEL);
}

/* Of `rows` columns that n samples have; as many where none is a part of another. */
static interval find_interval(const task_metric *m, double *num, double *den, size_t rows, size_t n, double ratio)
{
    if (m->samples == METRIC_HITS && rows == n)
        return stats_binomial(round(ratio * (double)n), (double)n, REPORT_LEVEL);
    if (m->samples == METRIC_HITS || m->samples == METRIC_COUNTS) return counts_interval(m, num, den, rows);
    interval ci = stats_ratio(num, den, rows, REPORT_LEVEL);
    if (m->kind == METRIC_SHARE && isfinite(ci.lo)) {
        ci.lo = fmax(0, ci.lo);
        ci.hi = fmin(1, ci.hi);
    }
    return ci;
}

summary report_summary(const task_module *task, const result_cell *cell, size_t metric, int64_t n)
{
    const task_metric *m = &task->metric[metric];
    summary result = {NAN, {NAN, NAN, "none"}, result_not_finite(cell, n)};
    double *num = malloc(2 * (size_t)n * sizeof *num), *den = num + n;
    const size_t rows = num ? result_columns(m, cell, n, num, den) : 0;
    double sum = 0, over = 0;
    for (size_t i = 0; i < rows; i++) {
        sum += num[i];
        over += den[i];
    }
    if (m->kind == METRIC_MISSING)
        result.value = sum;
    else if (isfinite(sum) && over > 0) {
        const interval ci = find_interval(m, num, den, rows, (size_t)n, sum / over);
        result.value = shown(m->kind, sum / over);
        result.ci = (interval){shown(m->kind, ci.lo), shown(m->kind, ci.hi), ci.kind};
    }
    free(num);
    return result;
}

char *report_format(const task_metric *metric, const summary *s, char out[64])
{
    static const int digits_of[] = {
        [METRIC_SHARE] = 1, [METRIC_RATIO] = 3, [METRIC_PERPLEXITY] = 2, [METRIC_BITS] = 3, [METRIC_MISSING] = 0};
    const double unit = metric->kind == METRIC_SHARE ? 100 : 1;
    const double numbers[3] = {unit * s->value, unit * s->ci.lo, unit * s->ci.hi};
    char text[3][20];
    for (int i = 0; i < 3; i++) /* a word perplexity may have more digits than anybody reads */
        snprintf(text[i], sizeof text[i], fabs(numbers[i]) < 1e5 ? "%.*f" : "%.*e", digits_of[metric->kind],
                 numbers[i]);
    if (!isfinite(s->value) && s->not_finite)
        snprintf(out, 64, "%lld not finite", (long long)s->not_finite);
    else if (!isfinite(s->value))
        snprintf(out, 64, "-");
    else if (!isfinite(s->ci.lo))
        snprintf(out, 64, "%s", text[0]);
    else
        snprintf(out, 64, "%s [%s, %s]", text[0], text[1], text[2]);
    return out;
}

uint64_t report_memorizing_state(const report *rep, const result_cell *cell)
{
    uint64_t most = 0;
    for (size_t i = 0; i < rep->count; i++) {
        const result_cell *c = rep->row[i].cell;
        if (c->kind == RESULT_MODEL && strcmp(c->facts.attention, "memorizing") == 0 &&
            result_same_size(c, cell) && c->state_bytes > most)
            most = c->state_bytes;
    }
    return most;
}

cell_cost report_cost(const result_cell *cell, int64_t n)
{
    cell_cost sum = {0};
    for (int64_t i = 0; i < n; i++) {
        sum.seconds += cell->sample[i].seconds;
        sum.tokens += (double)cell->sample[i].tokens;
        sum.computed += cell->sample[i].read;
    }
    sum.speed = sum.computed == sum.tokens && sum.seconds > 0 ? sum.tokens / sum.seconds : NAN;
    return sum;
}

int report_shows(const report *rep, size_t metric)
{
    const task_metric *m = &rep->task->metric[metric];
    if (m->kind != METRIC_MISSING) return !m->detail;
    for (size_t i = 0; i < rep->count; i++)
        if (rep->row[i].metric[metric].value > 0) return 1;
    return 0;
}

size_t report_main_metric(const task_module *task)
{
    for (size_t m = 0; m < task->metric_count; m++)
        if (task->metric[m].kind == METRIC_BITS) return m;
    return 0;
}

char *report_setting(const char *settings, const char *key, char *out, size_t size)
{
    const size_t length = strlen(key);
    out[0] = '\0';
    for (const char *at = settings; *at; at += strcspn(at, " ")) {
        at += strspn(at, " ");
        if (strncmp(at, key, length) == 0 && at[length] == '=')
            snprintf(out, size, "%.*s", (int)strcspn(at + length + 1, " "), at + length + 1);
    }
    return out;
}

/* ---- All files ---- */

int report_write(const results *r, const char *dir, FILE *out, pal_error *err)
{
    report rep;
    PAL_TRY(report_create(&rep, r, err));
    static const struct {
        const char *suffix;
        int (*write)(const report *, const char *, pal_error *);
        int documents; /* only of tasks of whole documents */
    } files[] = {{"cells.csv", report_cells_csv, 0},
                 {"cost.csv", report_cost_csv, 0},
                 {"paired.csv", report_paired_csv, 1},
                 {"table.md", report_markdown, 0}};
    int documents = 0;
    for (size_t i = 0; i < rep.count; i++) documents |= rep.row[i].cell->extent == RESULT_DOCUMENTS;
    int code = PAL_OK;
    for (size_t i = 0; rep.count && code == PAL_OK && i < sizeof files / sizeof *files; i++) {
        char path[2 * KV_TEXT_MAX];
        if (files[i].documents && !documents) continue;
        snprintf(path, sizeof path, "%s/%s-%s", dir, r->task->name, files[i].suffix);
        code = files[i].write(&rep, path, err);
        if (code == PAL_OK) fprintf(out, "wrote %s\n", path);
    }
    if (code == PAL_OK && rep.count == 0) fprintf(out, "no cell is complete yet; nothing to report\n");
    report_free(&rep);
    return code;
}
