/* Exact k-nearest-neighbour search by inner product.
 * A score is a chain of kernels.chain_products, a fixed sequence of operations. So equal keys
 * have equal scores, and the same queries and keys give the same neighbours, in the same order and with the same
 * scores, under every BLAS and wherever a key lies. */
#ifndef PAL_ATTENTION_KNN_H
#define PAL_ATTENTION_KNN_H

#include "models/engine/real.h"

/* Queries of one list (at most) and keys that are scored at a time. */
enum { KNN_QUERIES = 256, KNN_KEYS = 512 };

/* The best keys of each query so far, best first; of equal scores the key searched earlier comes first. */
typedef struct knn_list {
    size_t queries, k, found; /* found = min(k, keys searched) */
    real *score;              /* [queries, k] */
    uint32_t *index;          /* [queries, k] */
} knn_list;

/* Scratch reals of knn_search for keys of d numbers. */
size_t knn_scratch(size_t d);
/* Search `count` more keys [count, d] (contiguous), numbered from `first`, for q[list->queries, d] (ld ldq). */
void knn_search(knn_list *list, const real *q, size_t ldq, size_t d, const real *keys, size_t count,
                uint32_t first, real *scratch);

#endif
