/* The paired comparison of two cells: their columns, the bootstrap of the difference, and the test for their kind
 * of metric. */
#include "harness/stats/pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Any fixed number: it only makes the bootstrap repeatable. */
enum { PAIR_SEED = 2 };

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

int pair_compare(const task_metric *metric, const result_cell *a, const result_cell *b, double level, pair *out,
                 pal_error *err)
{
    const int64_t held_a = result_complete(a), held_b = result_complete(b), n = held_a < held_b ? held_a : held_b;
    double *num_a = malloc(4 * (size_t)(n + 1) * sizeof *num_a);
    if (!num_a) return pal_fail(err, PAL_INTERNAL, "out of memory for a comparison of %lld samples", (long long)n);
    double *den_a = num_a + n, *num_b = den_a + n, *den_b = num_b + n;
    const size_t rows = fill(metric, a, n, num_a, den_a);
    fill(metric, b, n, num_b, den_b);
    const paired got = stats_paired_ratio(num_a, den_a, num_b, den_b, rows, level, PAIR_SEED);
    *out = (pair){.n = n,
                  .clusters = rows,
                  .a = stats_mean(num_a, rows) / stats_mean(den_a, rows),
                  .b = stats_mean(num_b, rows) / stats_mean(den_b, rows),
                  .difference = got.difference,
                  .ci = got.ci,
                  .p = got.p,
                  .test = got.test,
                  .deviation = got.deviation,
                  .only_a = -1,
                  .only_b = -1};
    if (metric->samples == METRIC_HITS && rows == (size_t)n && isfinite(got.difference))
        count_hits(out, num_a, num_b);
    free(num_a);
    return PAL_OK;
}

/* The smallest p that the pair's test can give, however large the effect. McNemar's power has its own. */
static double least_p(const pair *p)
{
    if (strcmp(p->test, "sign-flip") == 0) return ldexp(1, 1 - (int)p->clusters);
    return strcmp(p->test, "bootstrap") == 0 ? 1.0 / (1 + STATS_RESAMPLES) : 0;
}

double pair_detectable(const task_metric *metric, const pair *p, double alpha, double power)
{
    const int64_t gained = metric->higher_is_better ? p->only_a : p->only_b;
    if (gained >= 0) return stats_detectable_loss(p->n, (double)gained / (double)p->n, alpha, power);
    if (!(p->deviation > 0) || least_p(p) > alpha) return NAN;
    return stats_detectable_difference(p->deviation, (int64_t)p->clusters, alpha, power);
}
