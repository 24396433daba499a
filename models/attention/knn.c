#include "models/attention/knn.h"

#include "models/engine/gemm.h"
#include "models/engine/kernels.h"

size_t knn_scratch(void)
{
    return (size_t)KNN_QUERIES * KNN_KEYS;
}

/* Put a key behind those that score as high, and drop the last of a full list. */
static void insert(real *score, uint32_t *index, size_t found, size_t k, real s, uint32_t key)
{
    size_t at = found < k ? found : k - 1;
    for (; at > 0 && s > score[at - 1]; at--) {
        score[at] = score[at - 1];
        index[at] = index[at - 1];
    }
    score[at] = s;
    index[at] = key;
}

/* Scores s[count] of keys first.. for a query whose list holds `found`. */
static void select_row(const real *s, size_t count, uint32_t first, real *score, uint32_t *index, size_t found,
                       size_t k)
{
    const kernels *kernel = kernels_get();
    size_t i = 0;
    for (; i < count && found < k; i++, found++) insert(score, index, found, k, s[i], first + (uint32_t)i);
    for (; (i += kernel->first_above(s + i, score[k - 1], count - i)) < count; i++)
        insert(score, index, k, k, s[i], first + (uint32_t)i);
}

void knn_search(knn_list *list, const real *q, size_t ldq, size_t d, const real *keys, size_t count,
                uint32_t first, real *scratch)
{
    for (size_t key = 0; key < count; key += KNN_KEYS) {
        const size_t here = count - key < KNN_KEYS ? count - key : KNN_KEYS;
        gemm(0, 1, list->queries, here, d, 1, q, ldq, keys + key * d, d, 0, scratch, KNN_KEYS);
        for (size_t i = 0; i < list->queries; i++)
            select_row(scratch + i * KNN_KEYS, here, first + (uint32_t)key, list->score + i * list->k,
                       list->index + i * list->k, list->found, list->k);
        list->found = list->found + here < list->k ? list->found + here : list->k;
    }
}
