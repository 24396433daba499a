/* An interval over seeds and documents, both of which are draws of their own. */
#include "harness/stats/stats.h"

#include <math.h>

static const interval none = {NAN, NAN, "none"};

/* Mean squares of the two-way layout without repetition. */
typedef struct squares {
    double rows, columns, rest;
} squares;

static squares split(const double *value, size_t rows, size_t columns, double mean)
{
    squares s = {0, 0, 0};
    const double r = (double)rows, c = (double)columns;
    for (size_t i = 0; i < rows; i++) {
        const double row = stats_mean(value + i * columns, columns) - mean;
        s.rows += c * row * row / (r - 1);
        for (size_t k = 0; k < columns; k++) {
            double column = -mean;
            for (size_t j = 0; j < rows; j++) column += value[j * columns + k] / r;
            const double rest = value[i * columns + k] - mean - row - column;
            s.columns += column * column / (c - 1);
            s.rest += rest * rest / ((r - 1) * (c - 1));
        }
    }
    return s;
}

interval stats_crossed(const double *value, size_t seeds, size_t documents, double level)
{
    if (seeds < 2 || documents < 2) return none;
    const double r = (double)seeds, c = (double)documents, mean = stats_mean(value, seeds * documents);
    const squares s = split(value, seeds, documents, mean);
    /* Seeds and documents each count once in the mean; what they share is taken off, but never below one of them.
     */
    const double sum = fmax(s.rows + s.columns - s.rest, fmax(s.rows, s.columns));
    if (!(sum > 0) || !isfinite(mean)) return none;
    const double t[2] = {stats_t_quantile((1 + level) / 2, r - 1), stats_t_quantile((1 + level) / 2, c - 1)};
    const double half = (t[0] * s.rows + t[1] * s.columns) / (s.rows + s.columns) * sqrt(sum / (r * c));
    return (interval){mean - half, mean + half, "seeds and documents"};
}
