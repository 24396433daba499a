/* Softmax attention of a segment over its cache and itself, block by block, with running maxima.
 * Masked pairs are never computed. */
#include "models/engine/causal.h"

#include <string.h>

#include "models/engine/gemm.h"
#include "models/engine/kernels.h"

/* A leading dimension of whole cache lines, and an odd number of them, so that the rows of a block do not all fall
 * into the same few sets of the cache. */
static size_t padded(size_t length)
{
    return (length + 15) / 16 * 16 | 16;
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

/* The parts of scratch. Keys and the like are transposed once, [d_head, keys]: products with them as they lie are
 * much faster than with a transposed operand (see gemm.c). */
typedef struct workspace {
    const kernels *kernel;
    size_t first, ld; /* the transposes begin with key `first` */
    real *k, *v, *rel;
    real *p, *ds, *relative; /* [CAUSAL_BLOCK, keys] each */
} workspace;

size_t causal_scratch(size_t keys, size_t d_head)
{
    return (3 * CAUSAL_BLOCK + 3 * d_head) * padded(keys);
}

static workspace workspace_make(const causal_args *a, real *scratch, int with_v)
{
    const size_t keys = a->offset + a->queries, first = first_key(a, 0), ld = padded(keys);
    workspace w = {.kernel = kernels_get(), .first = first, .ld = ld};
    real **const part[] = {&w.k, &w.v, &w.rel, &w.p, &w.ds, &w.relative};
    for (size_t i = 0; i < 6; i++) {
        *part[i] = scratch;
        scratch += (i < 3 ? a->d_head : CAUSAL_BLOCK) * ld;
    }
    w.kernel->transpose(w.k, ld, a->k + first * a->ldk, a->ldk, keys - first, a->d_head);
    if (with_v) w.kernel->transpose(w.v, ld, a->v + first * a->ldv, a->ldv, keys - first, a->d_head);
    if (a->rel) w.kernel->transpose(w.rel, ld, a->rel, a->ldrel, keys - first, a->d_head);
    return w;
}

/* The unscaled scores of a block, with the relative term, in w->p. */
static void scores(const causal_args *a, const workspace *w, const block *b)
{
    gemm(0, 0, b->rows, b->width, a->d_head, 1, a->q + b->row * a->ldq, a->ldq, w->k + (b->key - w->first), w->ld,
         0, w->p, b->ld);
    if (!a->rel) return;
    gemm(0, 0, b->rows, b->width, a->d_head, 1, a->q_rel + b->row * a->ldq_rel, a->ldq_rel, w->rel, w->ld, 0,
         w->relative, b->ld);
    for (size_t i = 0; i < b->rows; i++) {
        size_t lo, hi;
        visible(a, b, i, &lo, &hi);
        w->kernel->add_reversed(w->p + i * b->ld + lo, w->relative + i * b->ld, hi - lo);
    }
}

void causal_forward(const causal_args *a, real *o, size_t ldo, real *lse, size_t lse_stride, real *scratch)
{
    const workspace w = workspace_make(a, scratch, 0);
    for (size_t row = 0; row < a->queries; row += CAUSAL_BLOCK) {
        const block b = block_at(a, row);
        scores(a, &w, &b);
        for (size_t i = 0; i < b.rows; i++) {
            size_t lo, hi;
            visible(a, &b, i, &lo, &hi);
            lse[(row + i) * lse_stride] = w.kernel->softmax(w.p + i * b.ld, lo, hi, b.width, a->scale);
        }
        gemm(0, 0, b.rows, a->d_head, b.width, 1, w.p, b.ld, a->v + b.key * a->ldv, a->ldv, 0, o + row * ldo, ldo);
    }
}

size_t causal_rows_scratch(size_t keys)
{
    return 2 * CAUSAL_ROWS * keys;
}

void causal_rows(const causal_args *a, size_t row, size_t count, real *o, size_t ldo, real *lse, size_t lse_stride,
                 real *scratch)
{
    const kernels *k = kernels_get();
    const size_t first = first_key(a, row), width = row + count + a->offset - first;
    real *relative = scratch + causal_rows_scratch(a->offset + a->queries) / 2;
    k->row_products(scratch, width, a->q, a->ldq, count, a->k + first * a->ldk, a->ldk, width, a->d_head);
    if (a->rel) k->row_products(relative, width, a->q_rel, a->ldq_rel, count, a->rel, a->ldrel, width, a->d_head);
    for (size_t i = 0; i < count; i++) {
        const size_t from = first_key(a, row + i), seen = row + i + a->offset + 1 - from;
        real *p = scratch + i * width + (from - first);
        if (a->rel) k->add_reversed(p, relative + i * width, seen);
        lse[i * lse_stride] = k->softmax(p, 0, seen, seen, a->scale);
        k->row_combine(o + i * ldo, p, a->v + from * a->ldv, a->ldv, seen, a->d_head);
    }
}

/* Gradient of the relative term: ds by distance instead of by key, then through q_rel . rel. */
static void relative_backward(const causal_args *a, const causal_grads *g, const workspace *w, const block *b)
{
    for (size_t i = 0; i < b->rows; i++) {
        size_t lo, hi;
        visible(a, b, i, &lo, &hi);
        real *row = w->relative + i * b->ld;
        memset(row, 0, b->width * sizeof *row);
        w->kernel->add_reversed(row, w->ds + i * b->ld + lo, hi - lo);
    }
    gemm(0, 0, b->rows, a->d_head, b->width, 1, w->relative, b->ld, a->rel, a->ldrel, 1,
         g->dq_rel + b->row * g->lddq_rel, g->lddq_rel);
    gemm(1, 0, b->width, a->d_head, b->rows, 1, w->relative, b->ld, a->q_rel + b->row * a->ldq_rel, a->ldq_rel, 1,
         g->drel, g->lddrel);
}

void causal_backward(const causal_args *a, const causal_grads *g, real *scratch)
{
    const workspace w = workspace_make(a, scratch, 1);
    for (size_t row = 0; row < a->queries; row += CAUSAL_BLOCK) {
        const block b = block_at(a, row);
        const real *d_o = g->d_o + row * g->ldd_o, *o = g->o + row * g->ldo;
        scores(a, &w, &b);
        gemm(0, 0, b.rows, b.width, a->d_head, 1, d_o, g->ldd_o, w.v + (b.key - w.first), w.ld, 0, w.ds, b.ld);
        for (size_t i = 0; i < b.rows; i++) {
            size_t lo, hi;
            visible(a, &b, i, &lo, &hi);
            real *p = w.p + i * b.ld;
            w.kernel->softmax_again(p, lo, hi, b.width, a->scale, g->lse[(row + i) * g->lse_stride]);
            /* dot(p, dp) = dot(o, d_o), because o = p V */
            const real dot = w.kernel->dot(d_o + i * g->ldd_o, o + i * g->ldo, a->d_head);
            w.kernel->softmax_backward(w.ds + i * b.ld, p, b.width, a->scale, dot);
        }
        gemm(1, 0, b.width, a->d_head, b.rows, 1, w.p, b.ld, d_o, g->ldd_o, 1, g->dv + b.key * g->lddv, g->lddv);
        gemm(1, 0, b.width, a->d_head, b.rows, 1, w.ds, b.ld, a->q + row * a->ldq, a->ldq, 1,
             g->dk + b.key * g->lddk, g->lddk);
        gemm(0, 0, b.rows, a->d_head, b.width, 1, w.ds, b.ld, a->k + b.key * a->ldk, a->ldk, 1,
             g->dq + row * g->lddq, g->lddq);
        if (a->rel) relative_backward(a, g, &w, &b);
    }
}
