/* The rules of an audit: how each kind of claim is judged by the journals. */
#include "harness/gate/judgement.h"
#include "harness/report/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Any fixed number: it only makes the bootstrap repeatable. */
enum { TREND_SEED = 4 };

/* ---- Rules ---- */

typedef struct duel {
    char a[KV_TEXT_MAX], b[KV_TEXT_MAX], cell[KV_TEXT_MAX];
    pair pair;
    double p; /* corrected */
} duel;

/* All pairs that the journals allow; *out is malloc'ed. */
static int list_duels(judgement *j, const task_metric *metric, const place *places, size_t count, duel **out,
                      size_t *duels, pal_error *err)
{
    char a[KV_TEXT_MAX], b[KV_TEXT_MAX];
    *duels = 0;
    *out = NULL;
    for (const char *at_a = j->claim->model; judgement_item(&at_a, ',', a);)
        for (const char *at_b = j->claim->against; judgement_item(&at_b, ',', b);)
            for (size_t i = 0; i < count; i++) {
                const report_row *row_a = judgement_row(j, a, places[i].name),
                                 *row_b = judgement_row(j, b, places[i].name);
                if (!row_a || !row_b) continue;
                if (!pair_same_samples(row_a->cell, row_b->cell)) {
                    judgement_note(j, OPEN, "%s and %s read other samples in %s", a, b, places[i].name);
                    continue;
                }
                duel *grown = realloc(*out, (*duels + 1) * sizeof *grown), *d = grown ? &grown[*duels] : NULL;
                if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
                *out = grown;
                PAL_TRY(pair_compare(metric, row_a->cell, row_b->cell, REPORT_LEVEL, &d->pair, err));
                if (!judgement_enough(j, a, places[i].name, d->pair.n)) continue;
                snprintf(d->a, sizeof d->a, "%s", a);
                snprintf(d->b, sizeof d->b, "%s", b);
                snprintf(d->cell, sizeof d->cell, "%s", places[i].name);
                d->p = d->pair.p;
                ++*duels;
            }
    return PAL_OK;
}

static int correct(duel *list, size_t count, pal_error *err)
{
    double *p = malloc((count + 1) * sizeof *p);
    if (!p) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
    for (size_t i = 0; i < count; i++) p[i] = list[i].p;
    const int code = stats_holm(p, count, err);
    for (size_t i = 0; i < count; i++) list[i].p = p[i];
    free(p);
    return code;
}

static void judge_duel(judgement *j, const task_metric *metric, const duel *d)
{
    const double least = j->claim->value - j->claim->tolerance, sign = metric->higher_is_better ? 1 : -1;
    const pair *got = &d->pair;
    double lo = got->ci.lo, hi = got->ci.hi;
    if (!isfinite(lo) && metric->kind == METRIC_SHARE && got->difference == 0) {
        /* All samples agree: of the pairs that could still differ, as many as the exact binomial allows. */
        hi = stats_binomial(0, (double)got->n, REPORT_LEVEL).hi;
        lo = -hi;
    } else if (!isfinite(lo)) {
        lo = hi = got->difference;
    }
    const double worst = sign > 0 ? lo : -hi, best = sign > 0 ? hi : -lo;
    const int shown = least != 0 || d->p <= 1 - REPORT_LEVEL;
    const outcome what = worst > least && shown ? HOLDS : best < least ? FAILS : OPEN;
    judgement_note(j, what, "%s - %s, %s: %+.4f [%+.4f, %+.4f], n = %lld, p = %.3g (%s, Holm)", d->a, d->b,
                   d->cell, got->difference, lo, hi, (long long)got->n, d->p, got->test);
}

static int judge_better(judgement *j, int which, const place *places, size_t count, pal_error *err)
{
    duel *list;
    size_t duels;
    const task_metric *metric = j->rep ? &j->rep->task->metric[which] : NULL;
    int code = list_duels(j, metric, places, count, &list, &duels, err);
    if (code == PAL_OK) code = correct(list, duels, err);
    for (size_t i = 0; code == PAL_OK && i < duels; i++) judge_duel(j, metric, &list[i]);
    free(list);
    return code;
}

static void judge_level(judgement *j, int which, const char *model, const char *cell)
{
    const report_row *row = judgement_row(j, model, cell);
    if (!row || !judgement_enough(j, model, cell, row->n)) return;
    const int at_least = j->claim->rule == AUDIT_AT_LEAST;
    const double bound = j->claim->value + (at_least ? -1 : 1) * j->claim->tolerance;
    const summary *s = &row->metric[which];
    const int inside = at_least ? s->ci.lo >= bound : s->ci.hi <= bound;
    const int outside = at_least ? s->ci.hi < bound : s->ci.lo > bound;
    judgement_note(j,
                   inside    ? HOLDS
                   : outside ? FAILS
                             : OPEN,
                   "%s, %s: %.4g [%.4g, %.4g], n = %lld, against %s %.4g", model, cell, s->value, s->ci.lo,
                   s->ci.hi, (long long)row->n, at_least ? "at least" : "at most", bound);
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

static int judge_points(judgement *j, int which, const char *model, const trend_point *point, size_t count,
                        pal_error *err)
{
    double slope;
    interval ci;
    PAL_TRY(trend_slope(point, count, TREND_SEED, &slope, &ci, err));
    /* Equal values have a slope of rounding errors. */
    const double unit = which < 0 ? level_of(point, count) : 1, room = j->claim->tolerance + 1e-9;
    const double middle = slope / unit, lo = ci.lo / unit, hi = ci.hi / unit;
    outcome what = OPEN;
    if (j->claim->rule == AUDIT_RISES) what = lo > room ? HOLDS : hi <= room ? FAILS : OPEN;
    if (j->claim->rule == AUDIT_FALLS) what = hi < -room ? HOLDS : lo >= -room ? FAILS : OPEN;
    if (j->claim->rule == AUDIT_FLAT)
        what = lo >= -room && hi <= room ? HOLDS : lo > room || hi < -room ? FAILS : OPEN;
    judgement_note(j, what, "%s, %s over %zu cells: slope %+.4g [%+.4g, %+.4g] %s%s", model, j->claim->metric,
                   count, middle, lo, hi,
                   j->claim->lengths.value[0] > 0 ? "per doubling of the length" : "per cell",
                   which < 0 ? ", of the mean" : "");
    return PAL_OK;
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
    if (code == PAL_OK && complete) code = judge_points(j, which, model, point, count, err);
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
    int code = rule == AUDIT_BETTER ? judge_better(j, which, places, count, err) : PAL_OK;
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
    if (claim->rule == AUDIT_FORMULA)
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
    if (n[FAILS])
        out->verdict = AUDIT_NOT_REPRODUCED;
    else if (n[HOLDS] && !n[OPEN] && !n[MISSING])
        out->verdict = AUDIT_REPRODUCED;
    snprintf(out->summary, sizeof out->summary, "%zu hold, %zu fail, %zu are open, %zu are missing", n[HOLDS],
             n[FAILS], n[OPEN], n[MISSING]);
    return PAL_OK;
}
