#include "harness/gate/compare.h"

#include "harness/journal/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Which cells meet ---- */

static int same_place(const result_cell *a, const result_cell *b)
{
    return a->memory == b->memory && pair_same_samples(a, b);
}

/* Whether the cell is complete and one of the runs that the label names; "": any. */
static int wanted(const result_cell *cell, const char *label)
{
    return result_complete(cell) > 0 && (!label[0] || label_fits(label, cell));
}

/* Whether the labels pair a control with a model that keeps its memory. */
static int control_named(compare_models models)
{
    label_parts a, b;
    return models.a[0] && models.b[0] && label_read(models.a, &a) && label_read(models.b, &b) &&
           a.zeroed != b.zeroed;
}

static int meet(const result_cell *a, const result_cell *b, compare_models models)
{
    if (!wanted(a, models.a) || !wanted(b, models.b)) return 0;
    if (control_named(models)) return a->memory != b->memory && pair_same_samples(a, b);
    return same_place(a, b) && (models.b[0] || strcmp(a->model, b->model) == 0);
}

/* Another run of the same model in the same place, so that nobody knows which one is meant. */
static int check_single(const results *r, const result_cell *cell, const char *filter, const char *key,
                        pal_error *err)
{
    for (size_t i = 0; i < r->count; i++) {
        const result_cell *other = &r->cell[i];
        if (!wanted(other, filter) || !same_place(other, cell) || strcmp(other->model, cell->model) != 0) continue;
        if (strcmp(other->weights, cell->weights) != 0)
            return pal_fail(err, PAL_USAGE,
                            "%s: holds several weights of %s in cell %s; choose with %s=%s@%.8s or %s=%s@%.8s",
                            r->path, cell->model, cell->name, key, cell->model, cell->weights, key, other->model,
                            other->weights);
        if (strcmp(other->config, cell->config) != 0)
            return pal_fail(err, PAL_USAGE, "%s: holds the same weights of %s with several configs in cell %s",
                            r->path, cell->model, cell->name);
    }
    return PAL_OK;
}

/* The cell of `r` that meets `a`, or NULL. */
static const result_cell *partner(const results *r, const result_cell *a, compare_models models)
{
    const result_cell *found = NULL;
    for (size_t i = 0; i < r->count; i++) {
        const result_cell *b = &r->cell[i];
        if (!meet(a, b, models)) continue;
        if (strcmp(b->blas_core, a->blas_core) == 0) return b;
        if (!found) found = b;
    }
    return found;
}

/* Whether an earlier cell differs from this one by the BLAS core alone. */
static int repeated(const results *r, size_t at, const char *filter)
{
    for (size_t i = 0; i < at; i++)
        if (wanted(&r->cell[i], filter) && same_place(&r->cell[i], &r->cell[at]) &&
            strcmp(r->cell[i].model, r->cell[at].model) == 0)
            return 1;
    return 0;
}

/* ---- One row ---- */

static int room_for_row(comparison *c, pal_error *err)
{
    if (c->count < c->capacity) return PAL_OK;
    const size_t wanted_rows = 2 * c->capacity + 16;
    compare_row *grown = realloc(c->row, wanted_rows * sizeof *grown);
    if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for the comparison");
    c->row = grown;
    c->capacity = wanted_rows;
    return PAL_OK;
}

static int add_pair(comparison *c, const task_module *task, const result_cell *a, const result_cell *b,
                    pal_error *err)
{
    for (size_t m = 0; m < task->metric_count; m++) {
        if (task->metric[m].detail) continue;
        PAL_TRY(room_for_row(c, err));
        compare_row *row = &c->row[c->count];
        *row = (compare_row){.metric = &task->metric[m]};
        strcpy(row->cell, a->name);
        strcpy(row->model_a, a->model);
        strcpy(row->model_b, b->model);
        PAL_TRY(pair_compare(row->metric, b, a, 1 - c->alpha, &row->pair, err));
        row->a = row->pair.b;
        row->b = row->pair.a;
        c->count += isfinite(row->a) || isfinite(row->b); /* else the cell does not have this metric */
    }
    return PAL_OK;
}

int compare_add(comparison *c, const results *a, const results *b, compare_models models, pal_error *err)
{
    for (size_t i = 0; i < a->count; i++) {
        const result_cell *cell = &a->cell[i];
        if (!wanted(cell, models.a)) continue;
        const result_cell *other = partner(b, cell, models);
        c->only_a += !other;
        if (!other) continue;
        PAL_TRY(check_single(a, cell, models.a, "model_a", err));
        PAL_TRY(check_single(b, other, models.b, "model_b", err));
        if (!repeated(a, i, models.a)) PAL_TRY(add_pair(c, a->task, cell, other, err));
    }
    for (size_t i = 0; i < b->count; i++) {
        int met = 0;
        for (size_t k = 0; k < a->count && !met; k++) met = meet(&a->cell[k], &b->cell[i], models);
        c->only_b += !met && wanted(&b->cell[i], models.b);
    }
    return PAL_OK;
}

/* ---- All rows ---- */

int compare_judge(comparison *c, pal_error *err)
{
    double *p = malloc((c->count + 1) * sizeof *p);
    if (!p) return pal_fail(err, PAL_INTERNAL, "out of memory for the comparison");
    size_t tests = 0;
    for (size_t i = 0; i < c->count; i++) {
        p[i] = c->row[i].pair.p;
        tests += !isnan(p[i]);
    }
    const int code = stats_holm(p, c->count, err);
    c->worse = c->better = 0;
    for (size_t i = 0; code == PAL_OK && i < c->count; i++) {
        compare_row *row = &c->row[i];
        const double alpha = c->alpha / (double)(tests ? tests : 1);
        const double gained = row->metric->higher_is_better ? row->pair.difference : -row->pair.difference;
        row->corrected = p[i];
        row->verdict = 0;
        row->detectable = pair_detectable(row->metric, &row->pair, alpha, COMPARE_POWER);
        if (isfinite(row->a) && !isfinite(row->b)) row->verdict = -1;
        if (p[i] <= c->alpha) row->verdict = (gained > 0) - (gained < 0);
        c->worse += row->verdict < 0;
        c->better += row->verdict > 0;
    }
    free(p);
    return code;
}

void compare_free(comparison *c)
{
    free(c->row);
    *c = (comparison){0};
}
