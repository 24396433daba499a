/* The paired comparison of two cells: their columns, the test for their kind of metric, and families of pairs. */
#include "harness/stats/pairs.h"

#include "harness/stats/family.h"
#include "harness/stats/flips.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The next word of settings that is not the memory's; its length, 0 at the end. */
static size_t next_word(const char **at)
{
    for (;;) {
        *at += strspn(*at, " ");
        const size_t size = strcspn(*at, " ");
        if (strncmp(*at, "memory=", 7) != 0) return size;
        *at += size;
    }
}

static int same_settings(const char *a, const char *b)
{
    for (;;) {
        const size_t size = next_word(&a);
        if (next_word(&b) != size || memcmp(a, b, size) != 0) return 0;
        if (size == 0) return 1;
        a += size;
        b += size;
    }
}

int pair_same_samples(const result_cell *a, const result_cell *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->data, b->data) == 0 &&
           strcmp(a->tokenizer, b->tokenizer) == 0 && same_settings(a->settings, b->settings);
}

static size_t fill(const task_metric *m, const result_cell *cell, int64_t n, double *num, double *den)
{
    const double unit = m->kind == METRIC_BITS ? log(2) : 1;
    const size_t rows = result_columns(m, cell, n, num, den);
    for (size_t i = 0; i < rows; i++) num[i] /= unit;
    return rows;
}

static void count_hits(pair *p, const double *a, const double *b)
{
    p->only_a = p->only_b = 0;
    for (size_t i = 0; i < p->clusters; i++) {
        p->only_a += a[i] > b[i];
        p->only_b += b[i] > a[i];
    }
    p->p = stats_mcnemar(p->only_a, p->only_b);
    p->test = "mcnemar";
}

/* The columns of both sides over the samples that both hold; *num_a is malloc'ed and holds all four. */
typedef struct sides {
    int64_t n;
    size_t rows;
    double *num_a, *den_a, *num_b, *den_b;
} sides;

static int read_sides(const task_metric *metric, const result_cell *a, const result_cell *b, sides *out,
                      pal_error *err)
{
    const int64_t held_a = result_complete(a), held_b = result_complete(b), n = held_a < held_b ? held_a : held_b;
    *out = (sides){.n = n, .num_a = malloc(4 * (size_t)(n + 1) * sizeof *out->num_a)};
    if (!out->num_a)
        return pal_fail(err, PAL_INTERNAL, "out of memory for a comparison of %lld samples", (long long)n);
    out->den_a = out->num_a + n;
    out->num_b = out->den_a + n;
    out->den_b = out->num_b + n;
    out->rows = fill(metric, a, n, out->num_a, out->den_a);
    fill(metric, b, n, out->num_b, out->den_b);
    return PAL_OK;
}

/* Shares whose samples all differ alike: as many of the pairs may still differ otherwise as the exact binomial
 * allows. */
static interval share_ends(const pair *p, double level)
{
    const double n = (double)p->clusters;
    if (p->difference == 0) {
        const double room = stats_binomial(0, n, level).hi;
        return (interval){-room, room, "clopper-pearson"};
    }
    if (fabs(p->difference) != 1) return p->ci;
    const double least = stats_binomial(n, n, level).lo;
    return p->difference > 0 ? (interval){least, 1, "clopper-pearson"} : (interval){-1, -least, "clopper-pearson"};
}

int pair_compare(const task_metric *metric, const result_cell *a, const result_cell *b, double level, pair *out,
                 pal_error *err)
{
    sides s;
    PAL_TRY(read_sides(metric, a, b, &s, err));
    const paired got = stats_paired_ratio(s.num_a, s.den_a, s.num_b, s.den_b, s.rows, level);
    *out = (pair){.n = s.n,
                  .clusters = s.rows,
                  .a = stats_mean(s.num_a, s.rows) / stats_mean(s.den_a, s.rows),
                  .b = stats_mean(s.num_b, s.rows) / stats_mean(s.den_b, s.rows),
                  .difference = got.difference,
                  .ci = got.ci,
                  .p = got.p,
                  .test = got.test,
                  .deviation = got.deviation,
                  .only_a = -1,
                  .only_b = -1};
    if (metric->samples == METRIC_HITS && s.rows == (size_t)s.n && isfinite(got.difference))
        count_hits(out, s.num_a, s.num_b);
    if (metric->kind == METRIC_SHARE && !isfinite(out->ci.lo) && got.deviation == 0)
        out->ci = share_ends(out, level);
    free(s.num_a);
    return PAL_OK;
}

/* ---- Seeds ---- */

/* The documents' linearised differences of one seed, whose mean is the difference of ratios, into value[rows]. */
static int linearise(const sides *s, double *value, pal_error *err)
{
    double *den = malloc((s->rows + 1) * sizeof *den);
    if (!den) return pal_fail(err, PAL_INTERNAL, "out of memory for a comparison");
    int there = stats_differences(s->num_a, s->den_a, s->num_b, s->den_b, s->rows, value, den);
    const double mean = there ? stats_mean(den, s->rows) : NAN,
                 ratio = there ? stats_mean(value, s->rows) / mean : NAN;
    for (size_t i = 0; i < s->rows; i++) value[i] = ratio + (value[i] - ratio * den[i]) / mean;
    free(den);
    return PAL_OK;
}

int pair_over_seeds(const task_metric *metric, const result_cell *const *a, const result_cell *const *b,
                    size_t seeds, double level, pair *out, pal_error *err)
{
    double *value = NULL;
    size_t rows = 0;
    int code = PAL_OK;
    *out = (pair){.test = "none", .p = NAN, .deviation = NAN, .only_a = -1, .only_b = -1};
    for (size_t k = 0; code == PAL_OK && k < seeds; k++) {
        sides s;
        code = read_sides(metric, a[k], b[k], &s, err);
        if (code != PAL_OK) break;
        if (k == 0) {
            rows = s.rows;
            out->n = s.n;
            value = malloc((seeds * rows + 1) * sizeof *value);
        }
        if (!value)
            code = pal_fail(err, PAL_INTERNAL, "out of memory for a comparison");
        else if (s.rows != rows)
            code = pal_fail(err, PAL_DATA, "%s: the seeds of %s hold other numbers of samples", a[k]->name,
                            a[k]->model);
        else
            code = linearise(&s, value + k * rows, err);
        out->a += stats_mean(s.num_a, s.rows) / stats_mean(s.den_a, s.rows) / (double)seeds;
        out->b += stats_mean(s.num_b, s.rows) / stats_mean(s.den_b, s.rows) / (double)seeds;
        free(s.num_a);
    }
    if (code == PAL_OK) {
        out->clusters = rows;
        out->difference = stats_mean(value, seeds * rows);
        out->ci = stats_crossed(value, seeds, rows, level);
    }
    free(value);
    return code;
}

/* ---- Families ---- */

/* The number of the first pair in the same cell: those share their documents. */
static size_t documents_of(const pair_of *list, size_t at)
{
    size_t first = 0;
    while (first < at && (strcmp(list[first].a->name, list[at].a->name) != 0 ||
                          strcmp(list[first].a->data, list[at].a->data) != 0))
        first++;
    return first;
}

/* The parts of one pair's difference; row->part is malloc'ed. */
static int fill_row(const pair_of *of, double shift, family_row *row, pal_error *err)
{
    sides s;
    PAL_TRY(read_sides(of->metric, of->a, of->b, &s, err));
    double *part = malloc(2 * (s.rows + 1) * sizeof *part), *den = part + s.rows;
    if (part && !stats_differences(s.num_a, s.den_a, s.num_b, s.den_b, s.rows, part, den))
        for (size_t i = 0; i < s.rows; i++) part[i] = NAN;
    else if (part && shift != 0)
        for (size_t i = 0; i < s.rows; i++) part[i] -= shift * den[i];
    free(s.num_a);
    if (!part) return pal_fail(err, PAL_INTERNAL, "out of memory for a family of comparisons");
    row->part = part;
    row->count = s.rows;
    return PAL_OK;
}

/* McNemar's p of hits, which is exact where the family's flips are drawn; 0 of other metrics. */
static double exact_p(const pair_of *of, const family_row *row)
{
    int64_t only_a = 0, only_b = 0;
    if (of->metric->samples != METRIC_HITS) return 0;
    for (size_t i = 0; i < row->count; i++) {
        only_a += row->part[i] > 0;
        only_b += row->part[i] < 0;
    }
    return stats_mcnemar(only_a, only_b);
}

int pair_family(const pair_of *list, size_t count, double shift, double *p, pal_error *err)
{
    family_row *row = calloc(count + 1, sizeof *row);
    int code = row ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for a family of comparisons");
    for (size_t i = 0; code == PAL_OK && i < count; i++) {
        row[i].documents = documents_of(list, i);
        code = fill_row(&list[i], shift, &row[i], err);
    }
    if (code == PAL_OK) code = stats_family(row, count, p, err);
    for (size_t i = 0; code == PAL_OK && shift == 0 && i < count; i++)
        p[i] = isnan(p[i]) ? NAN : fmax(p[i], exact_p(&list[i], &row[i]));
    for (size_t i = 0; row && i < count; i++) free((void *)row[i].part);
    free(row);
    return code;
}

/* ---- Effects that could be seen ---- */

/* The smallest p that the pair's test can give, however large the effect. McNemar's power has its own. */
static double least_p(const pair *p)
{
    return strcmp(p->test, "sign-flip") == 0 ? 1.0 / (double)flips_count(p->clusters) : 0;
}

double pair_detectable(const task_metric *metric, const pair *p, double alpha, double power)
{
    const int64_t gained = metric->higher_is_better ? p->only_a : p->only_b;
    if (gained >= 0) return stats_detectable_loss(p->n, (double)gained / (double)p->n, alpha, power);
    if (!(p->deviation > 0) || least_p(p) > alpha) return NAN;
    return stats_detectable_difference(p->deviation, (int64_t)p->clusters, alpha, power);
}
