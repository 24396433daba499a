/* Exact nearest neighbours: a matrix product rules keys out, a fixed chain of operations scores the rest. The
 * header states what is guaranteed; the bound between the two is derived at `margin_of`. */
#include "models/attention/knn.h"

#include "models/engine/gemm.h"
#include "models/engine/kernels.h"

#include <float.h>
#include <math.h>

/* Keys that are scored at a time. */
enum { CANDIDATES = 8 };

size_t knn_scratch(void)
{
    return (size_t)KNN_QUERIES * KNN_KEYS;
}

static double epsilon(void)
{
    return sizeof(real) == sizeof(double) ? DBL_EPSILON : (double)FLT_EPSILON;
}

/* How far a product's element and a key's score may lie apart. Each is a sum of d products, whose rounding error
 * is at most d u / (1 - d u) |q||k| in any order, fused or not (Higham 2002, section 3.1), u = epsilon / 2. The
 * tenth covers 1 - d u and the computed lengths; FLT_MIN covers products that underflow. */
static double margin_of(const real *q, size_t d, double longest)
{
    const double length = sqrt((double)kernels_get()->dot(q, q, d));
    return 1.1 * (double)(d + 2) * epsilon() * length * longest + FLT_MIN;
}

/* What a query still has to pass over: the keys of one product, and its list. */
typedef struct row {
    const kernels *kernel;
    const real *q, *keys, *product; /* [d], [count, d], [count] */
    size_t count, d, k, found;
    uint32_t first;
    double margin;
    real *score;
    uint32_t *index;
} row;

/* Put a key behind those that score as high, and drop the last of a full list. */
static void insert(row *r, real s, uint32_t key)
{
    size_t at = r->found < r->k ? r->found++ : r->k - 1;
    for (; at > 0 && s > r->score[at - 1]; at--) {
        r->score[at] = r->score[at - 1];
        r->index[at] = r->index[at - 1];
    }
    r->score[at] = s;
    r->index[at] = key;
}

/* Up to CANDIDATES keys from *at on that may enter the list; *at moves behind the last one looked at. */
static size_t gather(const row *r, size_t *at, uint32_t *candidate)
{
    size_t count = 0;
    if (r->found < r->k) {
        const size_t most = r->k - r->found < CANDIDATES ? r->k - r->found : CANDIDATES;
        for (; count < most && *at < r->count; (*at)++) candidate[count++] = (uint32_t)*at;
        return count;
    }
    const double worst = (double)r->score[r->k - 1];
    const real bar =
        (real)(worst - r->margin - 2 * epsilon() * fabs(worst)); /* rounding the bar cannot raise it */
    while (count < CANDIDATES && *at < r->count) {
        *at += r->kernel->first_above(r->product + *at, bar, r->count - *at);
        if (*at < r->count) candidate[count++] = (uint32_t)(*at)++;
    }
    return count;
}

static void select_row(row *r)
{
    uint32_t candidate[CANDIDATES];
    const real *key[CANDIDATES];
    real score[CANDIDATES];
    for (size_t at = 0; at < r->count;) {
        const size_t count = gather(r, &at, candidate);
        for (size_t i = 0; i < count; i++) key[i] = r->keys + candidate[i] * r->d;
        r->kernel->chain_dots(score, r->q, key, count, r->d);
        for (size_t i = 0; i < count; i++)
            if (r->found < r->k || score[i] > r->score[r->k - 1]) insert(r, score[i], r->first + candidate[i]);
    }
}

static double longest_of(const real *keys, size_t count, size_t d)
{
    double longest = 0;
    for (size_t i = 0; i < count; i++) {
        const double square = (double)kernels_get()->dot(keys + i * d, keys + i * d, d);
        longest = square > longest ? square : longest;
    }
    return sqrt(longest);
}

void knn_search(knn_list *list, const real *q, size_t ldq, size_t d, const real *keys, size_t count,
                uint32_t first, real *scratch)
{
    const double longest = list->longest > 0 ? list->longest : longest_of(keys, count, d);
    double margin[KNN_QUERIES];
    for (size_t i = 0; i < list->queries; i++) margin[i] = margin_of(q + i * ldq, d, longest);
    for (size_t key = 0; key < count; key += KNN_KEYS) {
        const size_t here = count - key < KNN_KEYS ? count - key : KNN_KEYS;
        gemm(0, 1, list->queries, here, d, 1, q, ldq, keys + key * d, d, 0, scratch, KNN_KEYS);
        for (size_t i = 0; i < list->queries; i++) {
            row r = {.kernel = kernels_get(),
                     .q = q + i * ldq,
                     .keys = keys + key * d,
                     .product = scratch + i * KNN_KEYS,
                     .count = here,
                     .d = d,
                     .k = list->k,
                     .found = list->found,
                     .first = first + (uint32_t)key,
                     .margin = margin[i],
                     .score = list->score + i * list->k,
                     .index = list->index + i * list->k};
            select_row(&r);
        }
        list->found = list->found + here < list->k ? list->found + here : list->k;
    }
}
