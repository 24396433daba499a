/* Exact nearest neighbours: every key is scored by a fixed chain of operations, a block of keys at a time.
 * The block is turned once for all queries, so that the chains of many keys run beside each other. */
#include "models/attention/knn.h"

#include "models/engine/kernels.h"

#include <string.h>

/* The scores of a block for all queries, then its keys turned: [d, KNN_KEYS]. */
size_t knn_scratch(size_t d)
{
    return (size_t)KNN_QUERIES * KNN_KEYS + d * KNN_KEYS;
}

/* One query's list. */
typedef struct best {
    size_t k, found;
    real *score;
    uint32_t *index;
} best;

/* Put a key behind those that score as high, and drop the last of a full list. */
static void insert(best *b, real s, uint32_t key)
{
    size_t at = b->found < b->k ? b->found++ : b->k - 1;
    for (; at > 0 && s > b->score[at - 1]; at--) {
        b->score[at] = b->score[at - 1];
        b->index[at] = b->index[at - 1];
    }
    b->score[at] = s;
    b->index[at] = key;
}

/* Take over from score[count], of keys numbered from `first`, what belongs to the best. */
static void select_best(best *b, const real *score, size_t count, uint32_t first)
{
    const kernels *kernel = kernels_get();
    size_t at = 0;
    for (; at < count && b->found < b->k; at++) insert(b, score[at], first + (uint32_t)at);
    while (at < count) {
        at += kernel->first_above(score + at, b->score[b->k - 1], count - at);
        if (at == count) return;
        insert(b, score[at], first + (uint32_t)at);
        at++;
    }
}

void knn_search(knn_list *list, const real *q, size_t ldq, size_t d, const real *keys, size_t count,
                uint32_t first, real *scratch)
{
    const kernels *kernel = kernels_get();
    real *turned = scratch + (size_t)KNN_QUERIES * KNN_KEYS;
    for (size_t key = 0; key < count; key += KNN_KEYS) {
        const size_t here = count - key < KNN_KEYS ? count - key : KNN_KEYS;
        const size_t width = (here + CHAIN_KEYS - 1) / CHAIN_KEYS * CHAIN_KEYS;
        if (width > here) memset(turned, 0, d * width * sizeof *turned);
        kernel->transpose(turned, width, keys + key * d, d, here, d);
        kernel->chain_products(scratch, KNN_KEYS, q, ldq, list->queries, turned, width, d);
        for (size_t i = 0; i < list->queries; i++) {
            best b = {list->k, list->found, list->score + i * list->k, list->index + i * list->k};
            select_best(&b, scratch + i * KNN_KEYS, here, first + (uint32_t)key);
        }
        list->found = list->found + here < list->k ? list->found + here : list->k;
    }
}
