/* The sign-flip test of a ratio of sums over documents, and the interval that is its inversion. */
#include "harness/base/rng.h"
#include "harness/stats/flips.h"
#include "harness/stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const interval none = {NAN, NAN, "none"};

/* ---- Sets of documents ---- */

enum { WORD = 32 };

size_t flips_count(size_t documents)
{
    return documents <= STATS_EXACT_DOCUMENTS ? (size_t)1 << (documents ? documents - 1 : 0) : STATS_DRAWS;
}

void flips_set(size_t documents, size_t index, unsigned char *flipped)
{
    memset(flipped, 0, documents);
    if (index == 0) return;
    if (documents <= STATS_EXACT_DOCUMENTS) {
        for (size_t i = 0; i + 1 < documents; i++) flipped[i] = index >> i & 1;
        return;
    }
    rng draw = rng_make(0, "sign-flip", index, 0);
    for (size_t i = 0; i < documents; i += WORD) {
        const uint32_t bits = rng_u32(&draw);
        for (size_t k = 0; k < WORD && i + k < documents; k++) flipped[i + k] = bits >> k & 1;
    }
}

/* ---- One ratio ---- */

/* The documents whose parts can change: e[i] of the sum, over w[i]. */
typedef struct parts {
    double *e, *w;
    size_t count;
    double e_sum, w_sum;
    double slack; /* what rounding may add to a sum */
} parts;

/* den NULL stands for ones. */
static double weight(const double *den, size_t i)
{
    return den ? den[i] : 1;
}

/* A document without weight and value has no say, and would only double the number of sets. */
static int gather(const double *num, const double *den, size_t count, double scale, parts *out)
{
    *out = (parts){.e = malloc(2 * (count + 1) * sizeof *out->e)};
    if (!out->e) return 0;
    out->w = out->e + count + 1;
    for (size_t i = 0; i < count; i++) {
        const double w = weight(den, i);
        if (num[i] == 0 && w == 0) continue;
        out->e[out->count] = num[i];
        out->w[out->count++] = w;
        out->e_sum += num[i];
        out->w_sum += w;
    }
    out->slack = 1e-12 * scale;
    return 1;
}

/* Sums over a set and over the documents outside it. */
typedef struct halves {
    double e[2], w[2];
} halves;

static halves sum_halves(const parts *p, const unsigned char *flipped)
{
    halves h = {{0}, {0}};
    for (size_t i = 0; i < p->count; i++) {
        h.e[flipped[i]] += p->e[i];
        h.w[flipped[i]] += p->w[i];
    }
    return h;
}

/* The k-th smallest, k from 0, of value[count], whose order is lost. */
static double select_kth(double *value, size_t count, size_t k)
{
    size_t lo = 0, hi = count - 1;
    while (lo < hi) {
        const double pivot = value[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (value[i] < pivot) i++;
            while (value[j] > pivot) j--;
            if (i >= j) break;
            const double swap = value[i];
            value[i++] = value[j];
            value[j--] = swap;
        }
        if (value[j] > pivot) j--;
        if (k <= j)
            hi = j;
        else
            lo = j + 1;
    }
    return value[k];
}

/* What all flips say: p of no effect, and the interval of the ratio. */
typedef struct verdict {
    double p;
    interval ci;
} verdict;

/* A document whose departure from any ratio is one and the same has nothing to flip. */
static int all_alike(const parts *p)
{
    const double ratio = p->e_sum / p->w_sum;
    for (size_t i = 0; i < p->count; i++)
        if (fabs(p->e[i] - ratio * p->w[i]) > p->slack / (double)p->count) return 0;
    return 1;
}

/* With its sum turned positive, a flip reaches it in size where one of its halves is not positive. Of a shift of
 * the ratio the same holds where a half has a ratio at or below it: so at least floor(alpha sets) of the halves
 * lie there, and as many at or above, while it is not rejected (Hartigan 1969: typical values). */
static verdict try_flips(const parts *p, double level)
{
    const double sign = p->e_sum < 0 ? -1 : 1;
    const size_t sets = flips_count(p->count), rank = (size_t)((1 - level) * (double)sets + 1e-9);
    verdict v = {NAN, none};
    unsigned char *flipped = malloc(p->count + 1);
    double *ratio = malloc(2 * sets * sizeof *ratio);
    size_t count = 0, extreme = 0;
    for (size_t s = 0; flipped && ratio && s < sets; s++) {
        flips_set(p->count, s, flipped);
        const halves h = sum_halves(p, flipped);
        extreme += sign * h.e[1] <= p->slack || sign * h.e[0] <= p->slack;
        for (int half = 0; half < 2; half++)
            if (h.w[half] > 0) ratio[count++] = h.e[half] / h.w[half];
    }
    if (flipped && ratio) v.p = (double)extreme / (double)sets;
    if (flipped && ratio && p->count >= STATS_LEAST_DOCUMENTS && rank > 0 && rank <= count && !all_alike(p))
        v.ci = (interval){select_kth(ratio, count, rank - 1), select_kth(ratio, count, count - rank), "sign-flip"};
    free(ratio);
    free(flipped);
    return v;
}

/* The ratio of sums, or NaN where the columns do not have one. *scale: the size of what is summed. */
static double ratio_of(const double *num, const double *den, size_t count, double *scale)
{
    double sum = 0, over = 0;
    *scale = 0;
    for (size_t i = 0; i < count; i++) {
        const double w = weight(den, i);
        if (!isfinite(num[i]) || !isfinite(w) || w < 0) return NAN;
        sum += num[i];
        over += w;
        *scale += fabs(num[i]);
    }
    return over > 0 ? sum / over : NAN;
}

interval stats_ratio(const double *num, const double *den, size_t count, double level)
{
    double scale;
    parts p;
    if (!isfinite(ratio_of(num, den, count, &scale)) || !gather(num, den, count, scale, &p)) return none;
    const interval result = try_flips(&p, level).ci;
    free(p.e);
    return result;
}

double stats_sign_flip(const double *num, const double *den, size_t count)
{
    double scale;
    parts p;
    if (!isfinite(ratio_of(num, den, count, &scale)) || !gather(num, den, count, scale, &p)) return NAN;
    const double result = try_flips(&p, 0.95).p;
    free(p.e);
    return result;
}

/* ---- Two measurements of the same documents ---- */

int stats_differences(const double *num_a, const double *den_a, const double *num_b, const double *den_b,
                      size_t count, double *num, double *den)
{
    double scale[2];
    int equal = 1;
    const double a = ratio_of(num_a, den_a, count, &scale[0]), b = ratio_of(num_b, den_b, count, &scale[1]);
    if (!isfinite(a) || !isfinite(b)) return 0;
    for (size_t i = 0; i < count; i++) equal &= den_a[i] == den_b[i];
    const double mean_a = stats_mean(den_a, count), mean_b = stats_mean(den_b, count);
    for (size_t i = 0; i < count; i++) {
        if (equal) {
            num[i] = num_a[i] - num_b[i];
            den[i] = den_a[i];
            continue;
        }
        num[i] = (num_a[i] - a * den_a[i]) / mean_a - (num_b[i] - b * den_b[i]) / mean_b + a - b;
        den[i] = 1;
    }
    return 1;
}

/* A document's linearised part in the ratio of sums, times the number of documents. */
static double deviation(const double *num, const double *den, double ratio, size_t count)
{
    if (count < 2) return NAN;
    const double mean = stats_mean(den, count);
    double square = 0; /* the parts sum to zero */
    for (size_t i = 0; i < count; i++) {
        const double z = (num[i] - ratio * den[i]) / mean;
        square += z * z;
    }
    return sqrt(square / (double)(count - 1));
}

paired stats_paired_ratio(const double *num_a, const double *den_a, const double *num_b, const double *den_b,
                          size_t count, double level)
{
    double scale[2];
    parts p;
    const double a = ratio_of(num_a, den_a, count, &scale[0]), b = ratio_of(num_b, den_b, count, &scale[1]);
    paired result = {a - b, none, NAN, "none", NAN};
    double *num = isfinite(a - b) ? malloc(2 * (count + 1) * sizeof *num) : NULL, *den = num + count;
    if (num && stats_differences(num_a, den_a, num_b, den_b, count, num, den) &&
        gather(num, den, count, fmax(scale[0], scale[1]), &p)) {
        result.deviation = deviation(num, den, a - b, count);
        const verdict v =
            result.difference == 0 && result.deviation == 0 ? (verdict){1, none} : try_flips(&p, level);
        result.ci = v.ci;
        result.p = v.p;
        result.test = "sign-flip";
        free(p.e);
    }
    free(num);
    return result;
}
