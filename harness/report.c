#include "harness/report.h"

#include "harness/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Any fixed number: it only makes the bootstrap repeatable. */
enum { BOOTSTRAP_SEED = 1 };

/* ---- Rows ---- */

static int same_run(const result_cell *a, const result_cell *b)
{
    return strcmp(a->weights, b->weights) == 0 && strcmp(a->config, b->config) == 0 &&
           strcmp(a->settings, b->settings) == 0 && strcmp(a->blas_core, b->blas_core) == 0;
}

static void label_row(report_row *row, const report *rep)
{
    int several = 0;
    for (size_t i = 0; i < rep->count && !several; i++) {
        const result_cell *other = rep->row[i].cell;
        several = strcmp(other->model, row->cell->model) == 0 && !same_run(other, row->cell);
    }
    char text[2 * HASH_HEX + RESULT_TEXT + 80], digest[HASH_HEX] = "";
    const result_cell *c = row->cell;
    const int size =
        snprintf(text, sizeof text, "%s\n%s\n%s\n%s", c->weights, c->config, c->settings, c->blas_core);
    if (several) hash_hex(text, (size_t)size, digest);
    snprintf(row->label, sizeof row->label, several ? "%s@%.6s" : "%s%s", c->model, digest);
}

static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

static int by_place(const void *a, const void *b)
{
    const report_row *x = a, *y = b;
    int order = weights_order(x->cell->model, y->cell->model);
    if (!order) order = strcmp(x->label, y->label);
    if (!order) order = compare((double)x->cell->length, (double)y->cell->length);
    if (!order) order = compare(x->cell->depth, y->cell->depth);
    return order ? order : strcmp(x->cell->name, y->cell->name);
}

int report_create(report *out, const results *r, pal_error *err)
{
    *out = (report){.task = r->task, .row = calloc(r->count + 1, sizeof *out->row)};
    if (!out->row) return pal_fail(err, PAL_INTERNAL, "out of memory for the report");
    for (size_t i = 0; i < r->count; i++) {
        const int64_t n = result_complete(&r->cell[i]);
        if (n > 0) out->row[out->count++] = (report_row){.cell = &r->cell[i], .n = n};
    }
    for (size_t i = 0; i < out->count; i++) label_row(&out->row[i], out);
    qsort(out->row, out->count, sizeof *out->row, by_place);
    return PAL_OK;
}

void report_free(report *rep)
{
    free(rep->row);
    *rep = (report){0};
}

/* ---- Values ---- */

summary report_summary(const task_module *task, const result_cell *cell, size_t metric, int64_t n)
{
    summary result = {NAN, {NAN, NAN, "none"}};
    double *values = malloc((size_t)n * sizeof *values);
    int finite = values != NULL;
    for (int64_t i = 0; values && i < n; i++) {
        values[i] = cell->sample[i].metric[metric];
        finite &= isfinite(values[i]) != 0;
    }
    if (finite) {
        const task_metric *m = &task->metric[metric];
        result.mean = stats_mean(values, (size_t)n);
        result.ci = m->binomial ? stats_binomial(round(result.mean * (double)n), (double)n, REPORT_LEVEL)
                                : stats_bootstrap_mean(values, (size_t)n, m->higher_is_better, REPORT_LEVEL,
                                                       BOOTSTRAP_SEED);
    }
    free(values);
    return result;
}

char *report_format(const task_metric *metric, const summary *s, char out[64])
{
    const double unit = metric->higher_is_better ? 100 : 1;
    const int digits = metric->higher_is_better ? 1 : 3;
    if (!isfinite(s->mean))
        snprintf(out, 64, "-");
    else if (!isfinite(s->ci.lo))
        snprintf(out, 64, "%.*f", digits, unit * s->mean);
    else
        snprintf(out, 64, "%.*f [%.*f, %.*f]", digits, unit * s->mean, digits, unit * s->ci.lo, digits,
                 unit * s->ci.hi);
    return out;
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

int report_write(const results *r, const char *dir, int plots, FILE *out, pal_error *err)
{
    report rep;
    PAL_TRY(report_create(&rep, r, err));
    static const struct {
        const char *suffix;
        int (*write)(const report *, const char *, pal_error *);
    } files[] = {{"cells.csv", report_cells_csv}, {"cost.csv", report_cost_csv}, {"table.md", report_markdown}};
    int code = PAL_OK;
    for (size_t i = 0; rep.count && code == PAL_OK && i < sizeof files / sizeof *files; i++) {
        char path[2 * KV_TEXT_MAX];
        snprintf(path, sizeof path, "%s/%s-%s", dir, r->task->name, files[i].suffix);
        code = files[i].write(&rep, path, err);
        if (code == PAL_OK) fprintf(out, "wrote %s\n", path);
    }
    if (code == PAL_OK && rep.count && plots) {
        char note[300];
        report_plots(r->task, dir, note, sizeof note);
        if (note[0])
            fprintf(out, "no plots: %s\n", note);
        else
            fprintf(out, "drew the plots %s/%s-*.png and .svg\n", dir, r->task->name);
    }
    if (code == PAL_OK && rep.count == 0) fprintf(out, "no cell is complete yet; nothing to report\n");
    report_free(&rep);
    return code;
}
