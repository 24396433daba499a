/* The rules of an audit: how each kind of claim is judged by the journals. */
#include "harness/gate/audit.h"
#include "harness/report/memory.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Any fixed number: it only makes the bootstrap repeatable. */
enum { TREND_SEED = 4 };

typedef enum outcome { HOLDS, FAILS, OPEN, MISSING } outcome;

typedef struct judgement {
    const audit_claim *claim;
    const report *rep; /* NULL: no complete cell of the task */
    const char *weights;
    FILE *out;
    size_t count[MISSING + 1];
} judgement;

/* A line of evidence and what it says. */
__attribute__((format(printf, 3, 4))) static void note(judgement *j, outcome what, const char *format, ...)
{
    static const char *const word[] = {"holds", "fails", "open", "missing"};
    va_list arguments;
    va_start(arguments, format);
    fprintf(j->out, "%s: ", word[what]);
    vfprintf(j->out, format, arguments);
    fputc('\n', j->out);
    va_end(arguments);
    j->count[what]++;
}

/* ---- Lists ---- */

/* The next item of a list, without the blanks around it; 0 at the end. */
static int next_item(const char **at, char separator, char out[KV_TEXT_MAX])
{
    const char ends[] = {separator, '\0'};
    while (**at == ' ' || **at == separator) ++*at;
    size_t size = strcspn(*at, ends);
    const char *from = *at;
    *at += size;
    while (size && from[size - 1] == ' ') size--;
    snprintf(out, KV_TEXT_MAX, "%.*s", (int)size, from);
    return size > 0;
}

typedef struct place {
    char name[KV_TEXT_MAX];
    double x; /* for trends: log2 of the length, or the place in the list */
} place;

/* The cells of a claim; *out is malloc'ed. */
static int list_places(const audit_claim *c, place **out, size_t *count, pal_error *err)
{
    *count = 0;
    *out = calloc(KV_LIST_MAX * KV_LIST_MAX, sizeof **out);
    if (!*out) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
    if (c->lengths.value[0] > 0) {
        for (int64_t l = 0; l < c->lengths.count; l++)
            for (int64_t d = 0; d < c->depths.count; d++) {
                place *p = &(*out)[(*count)++];
                snprintf(p->name, sizeof p->name, "len=%.0f,depth=%g", c->lengths.value[l], c->depths.value[d]);
                p->x = log2(c->lengths.value[l]);
            }
        return PAL_OK;
    }
    for (const char *at = c->cells; next_item(&at, ';', (*out)[*count].name); ++*count)
        (*out)[*count].x = (double)*count;
    return PAL_OK;
}

/* ---- Cells ---- */

/* The model's row of a cell, with its memory; NULL with a note when there is none, or more than one that differ in
 * more than the BLAS core. */
static const report_row *find_row(judgement *j, const char *model, const char *cell)
{
    const report_row *found = NULL;
    for (size_t i = 0; j->rep && i < j->rep->count; i++) {
        const report_row *row = &j->rep->row[i];
        const result_cell *c = row->cell;
        if (!label_fits(model, c) || strcmp(c->name, cell) != 0 || c->memory == RESULT_ZEROED) continue;
        if (j->claim->settings[0] && strcmp(c->settings, j->claim->settings) != 0) continue;
        if (found && (strcmp(found->cell->weights, c->weights) != 0 ||
                      strcmp(found->cell->config, c->config) != 0 || !pair_same_samples(found->cell, c))) {
            note(j, MISSING, "%s has several runs of %s; name one as NAME@SHA or by settings", cell, model);
            return NULL;
        }
        if (!found || row->n > found->n) found = row;
    }
    if (!found) note(j, MISSING, "no complete cell %s of %s", cell, model);
    return found;
}

static int enough(judgement *j, const char *model, const char *cell, int64_t n)
{
    if (n >= j->claim->least) return 1;
    note(j, OPEN, "%s, %s: n = %lld, fewer than %lld", model, cell, (long long)n, (long long)j->claim->least);
    return 0;
}

/* ---- Quantities ---- */

enum { STATE_BYTES = -1, HELD_BYTES = -2, SECONDS_PER_TOKEN = -3, NO_QUANTITY = -4 };

static int quantity(const judgement *j)
{
    static const char *const own[] = {"state_bytes", "held_bytes", "seconds_per_token"};
    for (int i = 0; i < 3; i++)
        if (strcmp(j->claim->metric, own[i]) == 0) return -1 - i;
    for (size_t m = 0; j->rep && m < j->rep->task->metric_count; m++)
        if (strcmp(j->claim->metric, j->rep->task->metric[m].name) == 0) return (int)m;
    return NO_QUANTITY;
}

/* A cost of one sample: num over den. */
static void sample_cost(int which, const report_row *row, int64_t i, double *num, double *den)
{
    const result_sample *s = &row->cell->sample[i];
    *den = 1;
    if (which == STATE_BYTES) {
        *num = (double)row->cell->state_bytes;
    } else if (which == HELD_BYTES) {
        *num = (double)s->held;
    } else {
        *num = s->seconds;
        *den = isfinite(s->read) ? s->read : (double)s->tokens;
    }
}

/* A quantity of a cell, for each cluster of samples, or sample where it is a cost. Returns how many. */
static int64_t quantities(const judgement *j, int which, const report_row *row, double *num, double *den)
{
    if (which < 0) {
        for (int64_t i = 0; i < row->n; i++) sample_cost(which, row, i, &num[i], &den[i]);
        return row->n;
    }
    const task_metric *m = &j->rep->task->metric[which];
    const size_t rows = result_columns(m, row->cell, row->n, num, den);
    for (size_t i = 0; i < rows; i++) num[i] /= m->kind == METRIC_BITS ? log(2) : 1;
    return (int64_t)rows;
}

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
    for (const char *at_a = j->claim->model; next_item(&at_a, ',', a);)
        for (const char *at_b = j->claim->against; next_item(&at_b, ',', b);)
            for (size_t i = 0; i < count; i++) {
                const report_row *row_a = find_row(j, a, places[i].name), *row_b = find_row(j, b, places[i].name);
                if (!row_a || !row_b) continue;
                if (!pair_same_samples(row_a->cell, row_b->cell)) {
                    note(j, OPEN, "%s and %s read other samples in %s", a, b, places[i].name);
                    continue;
                }
                duel *grown = realloc(*out, (*duels + 1) * sizeof *grown), *d = grown ? &grown[*duels] : NULL;
                if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
                *out = grown;
                PAL_TRY(pair_compare(metric, row_a->cell, row_b->cell, REPORT_LEVEL, &d->pair, err));
                if (!enough(j, a, places[i].name, d->pair.n)) continue;
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
    note(j, what, "%s - %s, %s: %+.4f [%+.4f, %+.4f], n = %lld, p = %.3g (%s, Holm)", d->a, d->b, d->cell,
         got->difference, lo, hi, (long long)got->n, d->p, got->test);
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
    const report_row *row = find_row(j, model, cell);
    if (!row || !enough(j, model, cell, row->n)) return;
    const int at_least = j->claim->rule == AUDIT_AT_LEAST;
    const double bound = j->claim->value + (at_least ? -1 : 1) * j->claim->tolerance;
    const summary *s = &row->metric[which];
    const int inside = at_least ? s->ci.lo >= bound : s->ci.hi <= bound;
    const int outside = at_least ? s->ci.hi < bound : s->ci.lo > bound;
    note(j,
         inside    ? HOLDS
         : outside ? FAILS
                   : OPEN,
         "%s, %s: %.4g [%.4g, %.4g], n = %lld, against %s %.4g", model, cell, s->value, s->ci.lo, s->ci.hi,
         (long long)row->n, at_least ? "at least" : "at most", bound);
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
        const report_row *row = find_row(j, model, places[i].name);
        if (!row || !enough(j, model, places[i].name, row->n)) {
            *complete = 0;
            continue;
        }
        point[i] = (trend_point){.x = places[i].x, .num = malloc(2 * (size_t)row->n * sizeof *point[i].num)};
        if (!point[i].num) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
        point[i].den = point[i].num + row->n;
        point[i].n = quantities(j, which, row, point[i].num, point[i].den);
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
    note(j, what, "%s, %s over %zu cells: slope %+.4g [%+.4g, %+.4g] %s%s", model, j->claim->metric, count, middle,
         lo, hi, j->claim->lengths.value[0] > 0 ? "per doubling of the length" : "per cell",
         which < 0 ? ", of the mean" : "");
    return PAL_OK;
}

static int judge_trend(judgement *j, int which, const char *model, const place *places, size_t count,
                       pal_error *err)
{
    int complete, code;
    if (count < 2 || places[0].x == places[count - 1].x) {
        note(j, MISSING, "a trend needs two different lengths or cells");
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
    for (const char *at = j->claim->against; next_item(&at, ',', against);) {
        const report_row *row[] = {find_row(j, model, cell), find_row(j, against, cell)};
        if (!row[0] || !row[1]) continue;
        double value[2] = {0, 0};
        for (int side = 0; side < 2; side++)
            for (int64_t i = 0; i < row[side]->n; i++) {
                double num, den;
                sample_cost(which, row[side], i, &num, &den);
                value[side] = fmax(value[side], num / den);
            }
        const double ratio = value[1] / value[0], bound = j->claim->value * (1 - j->claim->tolerance);
        note(j, ratio >= bound ? HOLDS : FAILS, "%s / %s, %s: %.6g / %.6g = %.4g, against at least %.4g", against,
             model, cell, value[1], value[0], ratio, bound);
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
        note(j, MISSING, "no formula for %s or %s", j->claim->model, j->claim->against);
        return;
    }
    const double ratio = memory_rounded(entries[1]) / memory_rounded(entries[0]);
    const int holds = fabs(ratio / j->claim->value - 1) <= j->claim->tolerance;
    note(j, holds ? HOLDS : FAILS, "%s / %s: %.0f / %.0f entries = %.4g, of the rounded %.4g, against %.4g",
         j->claim->against, j->claim->model, entries[1], entries[0], entries[1] / entries[0], ratio,
         j->claim->value);
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
        note(j, !known ? MISSING : holds ? HOLDS : FAILS, "%s", text);
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
    const int which = quantity(j);
    const int metric_only = rule == AUDIT_BETTER || rule == AUDIT_AT_LEAST || rule == AUDIT_AT_MOST;
    if (!j->rep) {
        note(j, MISSING, "no complete cell of task %s", j->claim->task);
        return PAL_OK;
    }
    if (which == NO_QUANTITY || (metric_only && which < 0) || (rule == AUDIT_RATIO && which >= 0))
        return pal_fail(err, PAL_DATA, "%s: task %s has no metric \"%s\" for the rule %s", j->claim->where,
                        j->claim->task, j->claim->metric, audit_rule_name(j->claim));
    PAL_TRY(list_places(j->claim, &places, &count, err));
    int code = rule == AUDIT_BETTER ? judge_better(j, which, places, count, err) : PAL_OK;
    for (const char *at = j->claim->model; code == PAL_OK && rule != AUDIT_BETTER && next_item(&at, ',', model);) {
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
        for (const char *at = claim->model; code == PAL_OK && next_item(&at, ',', model);)
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
