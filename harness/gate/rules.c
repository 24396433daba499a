/* The rules of an audit: how each kind of claim is judged by the journals. */
#include "harness/gate/judgement.h"
#include "harness/report/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Rules ---- */

static void judge_level(judgement *j, int which, const char *model, const char *cell)
{
    const report_row *row = judgement_row(j, model, cell);
    if (!row || !judgement_enough(j, model, cell, row->n)) return;
    const int at_least = j->claim->rule == AUDIT_AT_LEAST;
    const double bound = j->claim->value + (at_least ? -1 : 1) * j->claim->tolerance;
    const summary *s = &row->metric[which];
    judgement_seeds(j, 1, row->n, 0);
    const int inside = at_least ? s->ci.lo >= bound : s->ci.hi <= bound;
    const int outside = at_least ? s->ci.hi < bound : s->ci.lo > bound;
    judgement_note(j,
                   inside    ? HOLDS
                   : outside ? FAILS
                             : OPEN,
                   "%s, %s: %.4g [%.4g, %.4g], n = %lld, one seed, against %s %.4g", model, cell, s->value,
                   s->ci.lo, s->ci.hi, (long long)row->n, at_least ? "at least" : "at most", bound);
}

static void free_points(trend_point *point, size_t count)
{
    for (size_t i = 0; i < count; i++) free(point[i].num);
    free(point);
}

/* The points of a model whose cells are all there; *complete 0: a note says what is not. */
static int list_points(judgement *j, int which, const char *model, const place *places, size_t count,
                       trend_point *point, int *complete, pal_error *err)
{
    *complete = 1;
    for (size_t i = 0; i < count; i++) {
        const report_row *row = judgement_row(j, model, places[i].name);
        if (!row || !judgement_enough(j, model, places[i].name, row->n)) {
            *complete = 0;
            continue;
        }
        point[i] = (trend_point){.x = places[i].x, .num = malloc(2 * (size_t)row->n * sizeof *point[i].num)};
        if (!point[i].num) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
        point[i].den = point[i].num + row->n;
        point[i].n = judgement_columns(j, which, row, point[i].num, point[i].den);
        judgement_seeds(j, 1, point[i].n, 0);
    }
    return PAL_OK;
}

/* The mean of the cells' values, which bytes and seconds are relative to. */
static double level_of(const trend_point *point, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double num = 0, den = 0;
        for (int64_t k = 0; k < point[i].n; k++) {
            num += point[i].num[k];
            den += point[i].den[k];
        }
        sum += num / den / (double)count;
    }
    return sum;
}

static void judge_points(judgement *j, int which, const char *model, const trend_point *point, size_t count)
{
    double slope;
    interval ci;
    trend_slope(point, count, REPORT_LEVEL, &slope, &ci);
    /* Equal values have a slope of rounding errors. */
    const double unit = which < 0 ? level_of(point, count) : 1, room = j->claim->tolerance + 1e-9;
    const double middle = slope / unit, lo = ci.lo / unit, hi = ci.hi / unit;
    outcome what = OPEN;
    if (j->claim->rule == AUDIT_RISES) what = lo > room ? HOLDS : hi <= room ? FAILS : OPEN;
    if (j->claim->rule == AUDIT_FALLS) what = hi < -room ? HOLDS : lo >= -room ? FAILS : OPEN;
    if (j->claim->rule == AUDIT_FLAT)
        what = lo >= -room && hi <= room ? HOLDS : lo > room || hi < -room ? FAILS : OPEN;
    char ends[64] = "without an interval";
    if (isfinite(lo)) snprintf(ends, sizeof ends, "[%+.4g, %+.4g]", lo, hi);
    judgement_note(j, what, "%s, %s over %zu cells: slope %+.4g %s %s%s", model, j->claim->metric, count, middle,
                   ends, j->claim->lengths.value[0] > 0 ? "per doubling of the length" : "per cell",
                   which < 0 ? ", of the mean" : "");
}

static int judge_trend(judgement *j, int which, const char *model, const place *places, size_t count,
                       pal_error *err)
{
    int complete, code;
    if (count < 2 || places[0].x == places[count - 1].x) {
        judgement_note(j, MISSING, "a trend needs two different lengths or cells");
        return PAL_OK;
    }
    trend_point *point = calloc(count, sizeof *point);
    if (!point) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
    code = list_points(j, which, model, places, count, point, &complete, err);
    if (code == PAL_OK && complete) judge_points(j, which, model, point, count);
    free_points(point, count);
    return code;
}

/* Of costs; exact, for bytes are not measured with noise. */
static void judge_ratio(judgement *j, int which, const char *model, const char *cell)
{
    char against[KV_TEXT_MAX];
    for (const char *at = j->claim->against; judgement_item(&at, ',', against);) {
        const report_row *row[] = {judgement_row(j, model, cell), judgement_row(j, against, cell)};
        if (!row[0] || !row[1]) continue;
        double value[2] = {0, 0};
        for (int side = 0; side < 2; side++)
            for (int64_t i = 0; i < row[side]->n; i++) {
                double num, den;
                judgement_cost(which, row[side], i, &num, &den);
                value[side] = fmax(value[side], num / den);
            }
        const double ratio = value[1] / value[0], bound = j->claim->value * (1 - j->claim->tolerance);
        judgement_note(j, ratio >= bound ? HOLDS : FAILS, "%s / %s, %s: %.6g / %.6g = %.4g, against at least %.4g",
                       against, model, cell, value[1], value[0], ratio, bound);
    }
}

static void judge_formula(judgement *j)
{
    static const struct {
        const char *name;
        memory_kind kind;
    } kinds[] = {{"transformer-xl", MEMORY_TRANSFORMER_XL},
                 {"memorizing", MEMORY_MEMORIZING},
                 {"rmt", MEMORY_RMT},
                 {"infini", MEMORY_INFINI}};
    const memory_shape shape = memory_paper_shape();
    double entries[2] = {NAN, NAN};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (strcmp(j->claim->model, kinds[k].name) == 0) entries[0] = memory_entries(kinds[k].kind, &shape);
        if (strcmp(j->claim->against, kinds[k].name) == 0) entries[1] = memory_entries(kinds[k].kind, &shape);
    }
    if (!isfinite(entries[0]) || !isfinite(entries[1])) {
        judgement_note(j, MISSING, "no formula for %s or %s", j->claim->model, j->claim->against);
        return;
    }
    const double ratio = memory_rounded(entries[1]) / memory_rounded(entries[0]);
    const int holds = fabs(ratio / j->claim->value - 1) <= j->claim->tolerance;
    judgement_note(j, holds ? HOLDS : FAILS,
                   "%s / %s: %.0f / %.0f entries = %.4g, of the rounded %.4g, against %.4g", j->claim->against,
                   j->claim->model, entries[1], entries[0], entries[1] / entries[0], ratio, j->claim->value);
}

static int judge_gates(judgement *j, const char *model, pal_error *err)
{
    char *text = NULL;
    size_t size = 0;
    int known, holds;
    FILE *out = open_memstream(&text, &size);
    if (!out) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
    const int code = audit_gates(j->claim, model, j->weights, out, &known, &holds, err);
    fclose(out);
    if (code == PAL_OK) {
        text[strcspn(text, "\n")] = '\0';
        judgement_note(j, !known ? MISSING : holds ? HOLDS : FAILS, "%s", text);
    }
    free(text);
    return code;
}

/* ---- One claim ---- */

static int apply_to_cells(judgement *j, pal_error *err)
{
    const int64_t rule = j->claim->rule;
    char model[KV_TEXT_MAX];
    place *places;
    size_t count;
    const int which = judgement_quantity(j);
    const int metric_only = rule == AUDIT_BETTER || rule == AUDIT_AT_LEAST || rule == AUDIT_AT_MOST;
    if (!j->rep) {
        judgement_note(j, MISSING, "no complete cell of task %s", j->claim->task);
        return PAL_OK;
    }
    if (which == NO_QUANTITY || (metric_only && which < 0) || (rule == AUDIT_RATIO && which >= 0))
        return pal_fail(err, PAL_DATA, "%s: task %s has no metric \"%s\" for the rule %s", j->claim->where,
                        j->claim->task, j->claim->metric, audit_rule_name(j->claim));
    PAL_TRY(judgement_places(j->claim, &places, &count, err));
    int code = rule == AUDIT_BETTER ? judgement_better(j, which, places, count, err) : PAL_OK;
    for (const char *at = j->claim->model;
         code == PAL_OK && rule != AUDIT_BETTER && judgement_item(&at, ',', model);) {
        if (rule == AUDIT_RISES || rule == AUDIT_FALLS || rule == AUDIT_FLAT) {
            code = judge_trend(j, which, model, places, count, err);
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            if (rule == AUDIT_RATIO)
                judge_ratio(j, which, model, places[i].name);
            else
                judge_level(j, which, model, places[i].name);
        }
    }
    free(places);
    return code;
}

int audit_apply(const audit_claim *claim, const evidence *e, const char *weights, audit_finding *out,
                pal_error *err)
{
    size_t size = 0;
    char model[KV_TEXT_MAX];
    *out = (audit_finding){.verdict = AUDIT_NOT_COMPARABLE};
    judgement j = {.claim = claim, .rep = evidence_report(e, claim->task), .weights = weights};
    j.out = open_memstream(&out->evidence, &size);
    if (!j.out) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
    int code = PAL_OK;
    if (claim->rule == AUDIT_NOTHING)
        fputs("not run\n", j.out);
    else if (claim->rule == AUDIT_FORMULA)
        judge_formula(&j);
    else if (claim->rule == AUDIT_GATES)
        for (const char *at = claim->model; code == PAL_OK && judgement_item(&at, ',', model);)
            code = judge_gates(&j, model, err);
    else
        code = apply_to_cells(&j, err);
    if (fclose(j.out) != 0 && code == PAL_OK) code = pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
    if (code != PAL_OK) {
        free(out->evidence);
        out->evidence = NULL;
        return code;
    }
    const size_t *n = j.count;
    /* A claim is about all of its cells: one that contradicts it decides. */
    if (claim->rule == AUDIT_NOTHING)
        out->verdict = AUDIT_NOT_RUN;
    else if (n[FAILS])
        out->verdict = AUDIT_NOT_REPRODUCED;
    else if (n[HOLDS] && !n[OPEN] && !n[MISSING])
        out->verdict = AUDIT_REPRODUCED;
    out->n = j.n;
    out->seeds = j.seeds;
    out->family = j.family;
    if (claim->rule == AUDIT_NOTHING)
        snprintf(out->summary, sizeof out->summary, "not run");
    else
        snprintf(out->summary, sizeof out->summary, "%zu hold, %zu fail, %zu are open, %zu are missing", n[HOLDS],
                 n[FAILS], n[OPEN], n[MISSING]);
    return PAL_OK;
}
