/* The rule "better": models against rivals on the same samples, corrected for the family, over seeds where there
 * are several. */
#include "harness/gate/judgement.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One comparison of a claim. Where a side is written "NAME+NAME", its runs differ in their seed alone, and the
 * k-th of one side meets the k-th of the other. */
typedef struct duel {
    char a[KV_TEXT_MAX], b[KV_TEXT_MAX], cell[KV_TEXT_MAX];
    const report_row *row_a[JUDGEMENT_SEEDS], *row_b[JUDGEMENT_SEEDS];
    size_t seeds;
    pair pair; /* of several seeds: the mean difference, and its interval over seeds and documents */
    double p;  /* corrected; NaN: over seeds the interval decides alone */
    size_t family;
} duel;

/* ---- Which runs meet ---- */

/* Whether the journal has a model of this whole name: "MODEL+ATTENTION" is one run. */
static int is_one_model(const judgement *j, const char *name)
{
    for (size_t i = 0; i < j->rep->count; i++)
        if (label_fits(name, j->rep->row[i].cell)) return 1;
    return 0;
}

/* The rows of "NAME+NAME..."; 0 with a note when one is not there. */
static size_t rows_of(judgement *j, const char *names, const char *cell, const report_row *out[JUDGEMENT_SEEDS])
{
    char name[KV_TEXT_MAX];
    size_t count = 0;
    if (is_one_model(j, names)) {
        out[0] = judgement_row(j, names, cell);
        return out[0] != NULL;
    }
    for (const char *at = names; judgement_item(&at, '+', name); count++) {
        if (count == JUDGEMENT_SEEDS) {
            judgement_note(j, MISSING, "%s: more than %d seeds", names, JUDGEMENT_SEEDS);
            return 0;
        }
        out[count] = judgement_row(j, name, cell);
        if (!out[count]) return 0;
    }
    return count;
}

/* Whether the two sides of a duel read the same samples, seed by seed. */
static int check_duel(judgement *j, const duel *d, size_t seeds_b)
{
    if (d->seeds != seeds_b) {
        judgement_note(j, MISSING, "%s and %s name other numbers of seeds", d->a, d->b);
        return 0;
    }
    for (size_t s = 0; s < d->seeds; s++)
        if (!pair_same_samples(d->row_a[s]->cell, d->row_b[s]->cell) ||
            !pair_same_samples(d->row_a[0]->cell, d->row_a[s]->cell)) {
            judgement_note(j, OPEN, "%s and %s read other samples in %s", d->a, d->b, d->cell);
            return 0;
        }
    return 1;
}

static int measure(const task_metric *metric, duel *d, pal_error *err)
{
    const result_cell *a[JUDGEMENT_SEEDS], *b[JUDGEMENT_SEEDS];
    for (size_t s = 0; s < d->seeds; s++) {
        a[s] = d->row_a[s]->cell;
        b[s] = d->row_b[s]->cell;
    }
    d->p = NAN;
    if (d->seeds == 1) return pair_compare(metric, a[0], b[0], REPORT_LEVEL, &d->pair, err);
    return pair_over_seeds(metric, a, b, d->seeds, REPORT_LEVEL, &d->pair, err);
}

static int add_duel(judgement *j, const task_metric *metric, const char *a, const char *b, const char *cell,
                    duel **list, size_t *count, pal_error *err)
{
    duel *grown = realloc(*list, (*count + 1) * sizeof *grown), *d = grown ? &grown[*count] : NULL;
    if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
    *list = grown;
    memset(d, 0, sizeof *d);
    snprintf(d->a, sizeof d->a, "%s", a);
    snprintf(d->b, sizeof d->b, "%s", b);
    snprintf(d->cell, sizeof d->cell, "%s", cell);
    d->seeds = rows_of(j, a, cell, d->row_a);
    const size_t seeds_b = d->seeds ? rows_of(j, b, cell, d->row_b) : 0;
    if (!d->seeds || !seeds_b || !check_duel(j, d, seeds_b)) return PAL_OK;
    PAL_TRY(measure(metric, d, err));
    if (judgement_enough(j, a, cell, d->pair.n)) ++*count;
    return PAL_OK;
}

/* All pairs that the journals allow; *out is malloc'ed. */
static int list_duels(judgement *j, const task_metric *metric, const place *places, size_t count, duel **out,
                      size_t *duels, pal_error *err)
{
    char a[KV_TEXT_MAX], b[KV_TEXT_MAX];
    *duels = 0;
    *out = NULL;
    for (const char *at_a = j->claim->model; judgement_item(&at_a, ',', a);)
        for (const char *at_b = j->claim->against; judgement_item(&at_b, ',', b);)
            for (size_t i = 0; i < count; i++) PAL_TRY(add_duel(j, metric, a, b, places[i].name, out, duels, err));
    return PAL_OK;
}

/* ---- Correction ---- */

/* p of the duel in the family of its rival, which tables and CSV have too; p stays NaN where it is in none. */
static int correct_in_report(judgement *j, size_t metric, double shift, duel *d, pal_error *err)
{
    report_family_row *family;
    size_t count;
    PAL_TRY(report_family(j->rep, d->row_b[0], 0, &family, &count, err));
    size_t at = 0;
    while (at < count && (family[at].row != d->row_a[0] || family[at].baseline != d->row_b[0])) at++;
    int code = PAL_OK;
    if (at < count) {
        code = report_correct(j->rep, metric, family, count, shift, err);
        d->p = family[at].p;
        d->family = count;
    }
    free(family);
    return code;
}

/* Those in no family of the report are one of their own. */
static int correct(judgement *j, size_t metric, double shift, duel *list, size_t count, pal_error *err)
{
    pair_of *pairs = calloc(count + 1, sizeof *pairs);
    double *p = calloc(count + 1, sizeof *p);
    size_t left = 0;
    int code = pairs && p ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for a claim");
    for (size_t i = 0; code == PAL_OK && i < count; i++) {
        if (list[i].seeds > 1) continue;
        code = correct_in_report(j, metric, shift, &list[i], err);
        if (!list[i].family)
            pairs[left++] =
                (pair_of){&j->rep->task->metric[metric], list[i].row_a[0]->cell, list[i].row_b[0]->cell};
    }
    if (code == PAL_OK) code = pair_family(pairs, left, shift, p, err);
    for (size_t i = 0, k = 0; code == PAL_OK && i < count; i++) {
        if (list[i].seeds > 1 || list[i].family) continue;
        list[i].p = p[k++];
        list[i].family = left;
    }
    free(pairs);
    free(p);
    return code;
}

/* ---- Verdict ---- */

/* Whether the rival is worth beating: at least as good in this cell as the claim's floor. */
static int beats_floor(judgement *j, size_t metric, const duel *d)
{
    if (!j->claim->floor[0]) return 1;
    const report_row *floor = judgement_row(j, j->claim->floor, d->cell);
    if (!floor) return 1;
    const double gain = d->row_b[0]->metric[metric].value - floor->metric[metric].value;
    return (j->rep->task->metric[metric].higher_is_better ? gain : -gain) > 0;
}

/* By the same rule on both sides: the interval lies on one side of what the claim needs, and where it is not one
 * over seeds, the family's p is at most the level. */
static void judge_duel(judgement *j, size_t metric, double least, const duel *d)
{
    const int up = j->rep->task->metric[metric].higher_is_better;
    const pair *got = &d->pair;
    /* Losses that are equal in every document are so by how the models are made, and have no spread. */
    const int equal = d->seeds == 1 && got->difference == 0 && got->deviation == 0 && !isfinite(got->ci.lo);
    const interval ci = equal ? (interval){0, 0, "equal"} : got->ci;
    const double worst = up ? ci.lo : -ci.hi, best = up ? ci.hi : -ci.lo;
    const int shown = d->seeds > 1 || d->p <= 1 - REPORT_LEVEL;
    outcome what = OPEN;
    if (shown && worst > least) what = HOLDS;
    if (shown && best < least) what = FAILS;
    const char *note = "";
    if (what == HOLDS && !beats_floor(j, metric, d)) {
        what = OPEN;
        note = "; the rival is no better than the floor";
    }
    char ends[64] = "no interval", p[64] = "";
    if (isfinite(ci.lo)) snprintf(ends, sizeof ends, "[%+.4f, %+.4f]%s", ci.lo, ci.hi, equal ? " equal" : "");
    if (d->seeds == 1) snprintf(p, sizeof p, ", p = %.3g (%s, family of %zu)", d->p, got->test, d->family);
    judgement_seeds(j, d->seeds, got->n, d->family);
    judgement_note(j, what, "%s - %s, %s: %+.4f %s, n = %lld, %s%s%s", d->a, d->b, d->cell, got->difference, ends,
                   (long long)got->n, d->seeds == 1 ? "one seed" : "interval over seeds", p, note);
}

int judgement_better(judgement *j, int which, const place *places, size_t count, pal_error *err)
{
    duel *list;
    size_t duels;
    const size_t metric = (size_t)which;
    const task_metric *m = &j->rep->task->metric[metric];
    const double least = j->claim->value - j->claim->tolerance;
    int code = list_duels(j, m, places, count, &list, &duels, err);
    if (code == PAL_OK) code = correct(j, metric, m->higher_is_better ? least : -least, list, duels, err);
    for (size_t i = 0; code == PAL_OK && i < duels; i++) judge_duel(j, metric, least, &list[i]);
    free(list);
    return code;
}
