/* Slopes over cells, with bootstrap intervals: for claims that something rises, falls or stays flat. */
#include "harness/base/rng.h"
#include "harness/gate/audit.h"

#include <math.h>
#include <stdlib.h>

enum { TREND_RESAMPLES = 2000 };

static double fit(const trend_point *point, const double *y, size_t count)
{
    double mean_x = 0, mean_y = 0, cross = 0, square = 0;
    for (size_t i = 0; i < count; i++) {
        mean_x += point[i].x / (double)count;
        mean_y += y[i] / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        cross += (point[i].x - mean_x) * (y[i] - mean_y);
        square += (point[i].x - mean_x) * (point[i].x - mean_x);
    }
    return square > 0 ? cross / square : NAN;
}

static double observed(const trend_point *p)
{
    double num = 0, den = 0;
    for (int64_t i = 0; i < p->n; i++) {
        num += p->num[i];
        den += p->den[i];
    }
    return num / den;
}

static double drawn(const trend_point *p, rng *draw)
{
    double num = 0, den = 0;
    for (int64_t i = 0; i < p->n; i++) {
        const uint32_t k = rng_below(draw, (uint64_t)p->n);
        num += p->num[k];
        den += p->den[k];
    }
    return num / den;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int trend_slope(const trend_point *point, size_t count, uint64_t seed, double *slope, interval *ci, pal_error *err)
{
    double *y = malloc((count + TREND_RESAMPLES) * sizeof *y);
    if (!y) return pal_fail(err, PAL_INTERNAL, "out of memory for a trend");
    double *slopes = y + count;
    for (size_t i = 0; i < count; i++) y[i] = observed(&point[i]);
    *slope = fit(point, y, count);
    for (uint64_t r = 0; r < TREND_RESAMPLES; r++) {
        for (size_t i = 0; i < count; i++) {
            rng draw = rng_make(seed, "trend", r, (uint32_t)i);
            y[i] = drawn(&point[i], &draw);
        }
        slopes[r] = fit(point, y, count);
    }
    qsort(slopes, TREND_RESAMPLES, sizeof *slopes, by_value);
    const double tail = (1 - REPORT_LEVEL) / 2 * (TREND_RESAMPLES - 1);
    *ci = (interval){slopes[(size_t)floor(tail)], slopes[TREND_RESAMPLES - 1 - (size_t)floor(tail)], "bootstrap"};
    free(y);
    return PAL_OK;
}
