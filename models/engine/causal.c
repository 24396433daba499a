#include "models/engine/causal.h"

#include <string.h>

#include "models/engine/gemm.h"
#include "models/engine/kernels.h"

/* Rows of scores start on a cache line. */
static size_t padded(size_t keys)
{
    return (keys + 15) / 16 * 16;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The rectangle of scores that a block of query rows needs: rows x keys [key, key + width). As many distances
 * 0 .. width-1 occur in it above the diagonal. */
typedef struct block {
    size_t row, rows, key, width, ld;
} block;

static size_t first_key(const causal_args *a, size_t row)
{
    const size_t end = row + a->offset + 1;
    const size_t begin = a->span && end > a->span ? end - a->span : 0;
    return begin > a->key_begin ? begin : a->key_begin;
}

static block block_at(const causal_args *a, size_t row)
{
    const size_t count = min_size(CAUSAL_BLOCK, a->queries - row);
    const size_t key = first_key(a, row), width = row + count + a->offset - key;
    return (block){.row = row, .rows = count, .key = key, .width = width, .ld = padded(width)};
}

/* The columns [lo, hi) of row i of a block that are visible. */
static void visible(const causal_args *a, const block *b, size_t i, size_t *lo, size_t *hi)
{
    *lo = first_key(a, b->row + i) - b->key;
    *hi = b->row + i + a->offset + 1 - b->key;
}

size_t causal_scratch(size_t keys)
{
    return 3 * CAUSAL_BLOCK * padded(keys);
}

/* The unscaled scores of a block, with the relative term; `relative` is scratch of the same size. */
static void scores(const causal_args *a, const kernels *kernel, const block *b, real *s, real *relative)
{
    gemm(0, 1, b->rows, b->width, a->d_head, 1, a->q + b->row * a->ldq, a->ldq, a->k + b->key * a->ldk, a->ldk, 0,
         s, b->ld);
    if (!a->rel) return;
    gemm(0, 1, b->rows, b->width, a->d_head, 1, a->q_rel + b->row * a->ldq_rel, a->ldq_rel, a->rel, a->ldrel, 0,
         relative, b->ld);
    for (size_t i = 0; i < b->rows; i++) {
        size_t lo, hi;
        visible(a, b, i, &lo, &hi);
        kernel->add_reversed(s + i * b->ld + lo, relative + i * b->ld, hi - lo);
    }
}

void causal_forward(const causal_args *a, real *o, size_t ldo, real *lse, size_t lse_stride, real *scratch)
{
    const kernels *kernel = kernels_get();
    for (size_t row = 0; row < a->queries; row += CAUSAL_BLOCK) {
        const block b = block_at(a, row);
        real *s = scratch;
        scores(a, kernel, &b, s, scratch + CAUSAL_BLOCK * b.ld);
        for (size_t i = 0; i < b.rows; i++) {
            size_t lo, hi;
            visible(a, &b, i, &lo, &hi);
            lse[(row + i) * lse_stride] = kernel->softmax(s + i * b.ld, lo, hi, b.width, a->scale);
        }
        gemm(0, 0, b.rows, a->d_head, b.width, 1, s, b.ld, a->v + b.key * a->ldv, a->ldv, 0, o + row * ldo, ldo);
    }
}

/* Gradient of the relative term: ds by distance instead of by key, then through q_rel . rel. */
static void relative_backward(const causal_args *a, const causal_grads *g, const kernels *kernel, const block *b,
                              const real *ds, real *by_distance)
{
    for (size_t i = 0; i < b->rows; i++) {
        size_t lo, hi;
        visible(a, b, i, &lo, &hi);
        real *row = by_distance + i * b->ld;
        memset(row, 0, b->width * sizeof *row);
        kernel->add_reversed(row, ds + i * b->ld + lo, hi - lo);
    }
    gemm(0, 0, b->rows, a->d_head, b->width, 1, by_distance, b->ld, a->rel, a->ldrel, 1,
         g->dq_rel + b->row * g->lddq_rel, g->lddq_rel);
    gemm(1, 0, b->width, a->d_head, b->rows, 1, by_distance, b->ld, a->q_rel + b->row * a->ldq_rel, a->ldq_rel, 1,
         g->drel, g->lddrel);
}

void causal_backward(const causal_args *a, const causal_grads *g, real *scratch)
{
    const kernels *kernel = kernels_get();
    for (size_t row = 0; row < a->queries; row += CAUSAL_BLOCK) {
        const block b = block_at(a, row);
        real *p = scratch, *ds = p + CAUSAL_BLOCK * b.ld, *relative = ds + CAUSAL_BLOCK * b.ld;
        const real *d_o = g->d_o + row * g->ldd_o, *o = g->o + row * g->ldo;
        scores(a, kernel, &b, p, relative);
        gemm(0, 1, b.rows, b.width, a->d_head, 1, d_o, g->ldd_o, a->v + b.key * a->ldv, a->ldv, 0, ds, b.ld);
        for (size_t i = 0; i < b.rows; i++) {
            size_t lo, hi;
            visible(a, &b, i, &lo, &hi);
            kernel->softmax_again(p + i * b.ld, lo, hi, b.width, a->scale, g->lse[(row + i) * g->lse_stride]);
            /* dot(p, dp) = dot(o, d_o), because o = p V */
            const real dot = kernel->dot(d_o + i * g->ldd_o, o + i * g->ldo, a->d_head);
            kernel->softmax_backward(ds + i * b.ld, p + i * b.ld, b.width, a->scale, dot);
        }
        gemm(1, 0, b.width, a->d_head, b.rows, 1, p, b.ld, d_o, g->ldd_o, 1, g->dv + b.key * g->lddv, g->lddv);
        gemm(1, 0, b.width, a->d_head, b.rows, 1, ds, b.ld, a->q + row * a->ldq, a->ldq, 1,
             g->dk + b.key * g->lddk, g->lddk);
        gemm(0, 0, b.rows, a->d_head, b.width, 1, ds, b.ld, a->k + b.key * a->ldk, a->ldk, 1,
             g->dq + row * g->lddq, g->lddq);
        if (a->rel) relative_backward(a, g, kernel, &b, ds, relative);
    }
}
