/* Slopes over cells and their intervals: for claims that something rises, falls or stays flat. */
#include "harness/gate/audit.h"

#include <math.h>

/* The ratio of a point and the variance of that ratio over its n parts (delta method), with n - 1 degrees. */
static double ratio_of(const trend_point *p, double *variance)
{
    double num = 0, den = 0, square = 0;
    const double n = (double)p->n;
    for (int64_t i = 0; i < p->n; i++) {
        num += p->num[i];
        den += p->den[i];
    }
    for (int64_t i = 0; i < p->n; i++) {
        const double part = (p->num[i] - num / den * p->den[i]) / (den / n);
        square += part * part;
    }
    *variance = p->n > 1 ? square / (n - 1) / n : NAN;
    return num / den;
}

/* The slope is a weighted sum of independent ratios. */
void trend_slope(const trend_point *point, size_t count, double level, double *slope, interval *ci)
{
    double mean_x = 0, mean_y = 0, square = 0, variance = 0, degrees = 0;
    for (size_t i = 0; i < count; i++) {
        double own;
        mean_x += point[i].x / (double)count;
        mean_y += ratio_of(&point[i], &own) / (double)count;
    }
    for (size_t i = 0; i < count; i++) square += (point[i].x - mean_x) * (point[i].x - mean_x);
    *slope = 0;
    for (size_t i = 0; i < count; i++) {
        double own;
        const double weight = (point[i].x - mean_x) / square;
        *slope += weight * (ratio_of(&point[i], &own) - mean_y);
        if (weight == 0) continue;
        variance += weight * weight * own;
        degrees += pow(weight * weight * own, 2) / (double)(point[i].n - 1);
    }
    if (variance == 0) {
        *ci = (interval){*slope, *slope, "exact"};
        return;
    }
    const double half = stats_t_quantile((1 + level) / 2, fmax(1, variance * variance / degrees)) * sqrt(variance);
    *ci = (interval){*slope - half, *slope + half, "t"};
}
