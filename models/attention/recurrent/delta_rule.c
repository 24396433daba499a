/* The gated delta rule in chunks: seven matrix products and one triangular system of a chunk, and the way back
 * through them. */
#include "models/attention/recurrent/delta_rule.h"

#include "models/engine/gemm.h"
#include "models/engine/kernels.h"

#include <math.h>
#include <string.h>

size_t delta_chunks(size_t n)
{
    return (n + DELTA_CHUNK - 1) / DELTA_CHUNK;
}

/* A chunk at work; C = its tokens. */
typedef struct chunk {
    size_t first, count, real_count; /* real_count: those that are no padding */
    real *k, *kt;                    /* [C, d_k] with zeros for padding; its transpose */
    real *decay;                     /* [C, C] D */
    real *lower;                     /* [C, C] L */
    real *b, *e, *c;                 /* [C] write strengths, e^c, c */
    real *ks;                        /* [C, d_v] K S */
    real *pair[4];                   /* [C, C] room */
    real *wide[3];                   /* [C, max(d_k, d_v)] room */
} chunk;

static size_t carve(size_t n, size_t d_k, size_t d_v, real *base, chunk *out)
{
    const size_t c = n < DELTA_CHUNK ? n : DELTA_CHUNK, wide = c * (d_k > d_v ? d_k : d_v);
    const size_t part[] = {c * d_k, c * d_k, c * c, c * c, c,    c,    c,   c * d_v,
                           c * c,   c * c,   c * c, c * c, wide, wide, wide};
    enum { PARTS = sizeof part / sizeof part[0] };
    real *at[PARTS];
    size_t used = 0;
    for (size_t i = 0; i < PARTS; i++) {
        at[i] = base ? base + used : NULL;
        used += (part[i] + 15) / 16 * 16;
    }
    if (out)
        *out = (chunk){.k = at[0],
                       .kt = at[1],
                       .decay = at[2],
                       .lower = at[3],
                       .b = at[4],
                       .e = at[5],
                       .c = at[6],
                       .ks = at[7],
                       .pair = {at[8], at[9], at[10], at[11]},
                       .wide = {at[12], at[13], at[14]}};
    return used;
}

size_t delta_scratch(size_t n, size_t d_k, size_t d_v)
{
    return carve(n, d_k, d_v, NULL, NULL);
}

/* D, c and e^c. Sums of logarithms are never positive, so that nothing overflows. */
static void fill_decay(const delta_head *h, chunk *c)
{
    const kernels *kernel = kernels_get();
    const size_t count = c->count;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (h->g && i < c->real_count) sum += (double)h->g[(c->first + i) * h->ld_scalar];
        c->c[i] = (real)sum;
        c->e[i] = h->g ? (real)exp(sum) : 1;
    }
    for (size_t i = 0; i < count; i++) {
        real *row = c->decay + i * count;
        if (h->g) {
            for (size_t j = 0; j <= i; j++) row[j] = -c->c[j];
            kernel->softmax_again(row, 0, i + 1, count, 1, -c->c[i]);
        } else {
            for (size_t j = 0; j < count; j++) row[j] = j <= i;
        }
    }
}

/* What forward and backward both need: K, D, L, K S. Padding has no key and no strength. */
static void open_chunk(const delta_head *h, size_t first, const real *state, real *scratch, chunk *c)
{
    const kernels *kernel = kernels_get();
    carve(h->n, h->d_k, h->d_v, scratch, c);
    c->first = first;
    c->count = h->n - first < DELTA_CHUNK ? h->n - first : DELTA_CHUNK;
    c->real_count = h->valid <= first ? 0 : h->valid - first < c->count ? h->valid - first : c->count;
    for (size_t i = 0; i < c->count; i++) {
        const int is_real = i < c->real_count;
        c->b[i] = is_real ? h->b[(first + i) * h->ld_scalar] : 0;
        if (is_real)
            memcpy(c->k + i * h->d_k, h->k + (first + i) * h->ld_qk, h->d_k * sizeof *c->k);
        else
            memset(c->k + i * h->d_k, 0, h->d_k * sizeof *c->k);
    }
    kernel->transpose(c->kt, c->count, c->k, h->d_k, c->count, h->d_k);
    fill_decay(h, c);
    gemm(0, 0, c->count, c->count, h->d_k, 1, c->k, h->d_k, c->kt, c->count, 0, c->lower, c->count);
    for (size_t i = 0; i < c->count; i++) {
        real *row = c->lower + i * c->count;
        kernel->multiply(row, row, c->decay + i * c->count, c->count);
        kernel->scale(row, c->b[i], i);
        memset(row + i, 0, (c->count - i) * sizeof *row);
    }
    gemm(0, 0, c->count, h->d_v, h->d_k, 1, c->k, h->d_k, state, h->d_v, 0, c->ks, h->d_v);
}

/* x[count, cols] = (I + L)^-1 x, a block of rows after the other. */
static void solve(const real *lower, size_t count, real *x, size_t cols)
{
    const kernels *kernel = kernels_get();
    for (size_t at = 0; at < count; at += DELTA_BLOCK) {
        const size_t block = count - at < DELTA_BLOCK ? count - at : DELTA_BLOCK;
        if (at > 0) gemm(0, 0, block, cols, at, -1, lower + at * count, count, x, cols, 1, x + at * cols, cols);
        for (size_t i = at + 1; i < at + block; i++)
            for (size_t j = at; j < i; j++) kernel->axpy(x + i * cols, -lower[i * count + j], x + j * cols, cols);
    }
}

/* x = (I + L)^-T x */
static void solve_transposed(const real *lower, size_t count, real *x, size_t cols)
{
    const kernels *kernel = kernels_get();
    for (size_t end = count; end > 0;) {
        const size_t block = end % DELTA_BLOCK ? end % DELTA_BLOCK : DELTA_BLOCK, at = end - block;
        if (end < count)
            gemm(1, 0, block, cols, count - end, -1, lower + end * count + at, count, x + end * cols, cols, 1,
                 x + at * cols, cols);
        for (size_t i = end; i-- > at;)
            for (size_t j = i + 1; j < end; j++)
                kernel->axpy(x + i * cols, -lower[j * count + i], x + j * cols, cols);
        end = at;
    }
}

/* pair[0] = scale Q K^T * D of one query head. */
static void fill_scores(const delta_head *h, const chunk *c, size_t head)
{
    const real *q = h->q + c->first * h->ld_qk + head * h->d_k;
    gemm(0, 0, c->count, c->count, h->d_k, h->scale, q, h->ld_qk, c->kt, c->count, 0, c->pair[0], c->count);
    for (size_t i = 0; i < c->count; i++)
        kernels_get()->multiply(c->pair[0] + i * c->count, c->pair[0] + i * c->count, c->decay + i * c->count,
                                c->count);
}

static void read_head(const delta_head *h, const chunk *c, const real *state, size_t head, real *o)
{
    const real *q = h->q + c->first * h->ld_qk + head * h->d_k;
    fill_scores(h, c, head);
    gemm(0, 0, c->count, h->d_v, h->d_k, h->scale, q, h->ld_qk, state, h->d_v, 0, o, h->ld_o);
    for (size_t i = 0; h->g && i < c->count; i++) kernels_get()->scale(o + i * h->ld_o, c->e[i], h->d_v);
    gemm(0, 0, c->count, h->d_v, c->count, 1, c->pair[0], c->count, h->u + c->first * h->d_v, h->d_v, 1, o,
         h->ld_o);
}

void delta_forward(const delta_head *h, real *state, real *o, real *scratch)
{
    const kernels *kernel = kernels_get();
    for (size_t first = 0; first < h->n; first += DELTA_CHUNK) {
        chunk c;
        open_chunk(h, first, state, scratch, &c);
        real *u = h->u + first * h->d_v;
        memcpy(h->start + first / DELTA_CHUNK * h->d_k * h->d_v, state, h->d_k * h->d_v * sizeof *state);
        for (size_t i = 0; i < c.count; i++) {
            real *row = u + i * h->d_v;
            if (i < c.real_count)
                kernel->blend(row, c.b[i], h->v + (first + i) * h->ld_qk, -c.b[i] * c.e[i], c.ks + i * h->d_v,
                              h->d_v);
            else
                memset(row, 0, h->d_v * sizeof *row);
        }
        solve(c.lower, c.count, u, h->d_v);
        for (size_t head = 0; o && head < h->group; head++)
            read_head(h, &c, state, head, o + first * h->ld_o + head * h->d_v);
        if (c.real_count == 0) continue;
        for (size_t i = 0; i < c.count; i++)
            kernel->scale(c.k + i * h->d_k, c.decay[(c.count - 1) * c.count + i], h->d_k);
        if (h->g) kernel->scale(state, c.e[c.count - 1], h->d_k * h->d_v);
        gemm(1, 0, h->d_k, h->d_v, c.count, 1, c.k, h->d_k, u, h->d_v, 1, state, h->d_v);
    }
}

/* Through S <- e^(c_last) S + (F K)^T U with F = D's last row: du is written, dk and dc are added to; dS becomes
 * what reaches the S of before this way. */
static void update_backward(const delta_head *h, const chunk *c, const real *state, const real *u, real *dstate,
                            real *du, real *dk, double *dc)
{
    const kernels *kernel = kernels_get();
    const size_t last = c->count - 1;
    const real *f = c->decay + last * c->count;
    gemm(0, 0, c->count, h->d_v, h->d_k, 1, c->k, h->d_k, dstate, h->d_v, 0, du, h->d_v);
    gemm(0, 1, c->count, h->d_k, h->d_v, 1, u, h->d_v, dstate, h->d_v, 0, c->wide[1], h->d_k);
    for (size_t i = 0; i < c->count; i++) {
        kernel->scale(du + i * h->d_v, f[i], h->d_v);
        kernel->axpy(dk + i * h->ld_qk, f[i], c->wide[1] + i * h->d_k, h->d_k);
        const double moved = (double)kernel->dot(du + i * h->d_v, u + i * h->d_v, h->d_v);
        dc[last] += moved;
        dc[i] -= moved;
    }
    dc[last] += (double)c->e[last] * (double)kernel->dot(state, dstate, h->d_k * h->d_v);
    if (h->g) kernel->scale(dstate, c->e[last], h->d_k * h->d_v);
}

/* Through one query head's read: du, dq, dk, dc and dS are added to. */
static void read_backward(const delta_head *h, const delta_grads *d, const chunk *c, const real *state,
                          size_t head, real *dstate, real *du, double *dc)
{
    const kernels *kernel = kernels_get();
    const size_t count = c->count, at = c->first * h->ld_qk + head * h->d_k;
    const real *q = h->q + at, *d_o = d->d_o + c->first * h->ld_o + head * h->d_v;
    const real *u = h->u + c->first * h->d_v;
    real *dscore = c->pair[1];
    fill_scores(h, c, head);
    gemm(1, 0, count, h->d_v, count, 1, c->pair[0], count, d_o, h->ld_o, 1, du, h->d_v);
    gemm(0, 1, count, count, h->d_v, 1, d_o, h->ld_o, u, h->d_v, 0, dscore, count);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j <= i; j++) {
            const double moved = (double)dscore[i * count + j] * (double)c->pair[0][i * count + j];
            dc[i] += moved;
            dc[j] -= moved;
        }
    for (size_t i = 0; i < count; i++)
        kernel->multiply(dscore + i * count, dscore + i * count, c->decay + i * count, count);
    gemm(0, 0, count, h->d_k, count, h->scale, dscore, count, c->k, h->d_k, 1, d->dq + at, h->ld_qk);
    gemm(1, 0, count, h->d_k, count, h->scale, dscore, count, q, h->ld_qk, 1, d->dk + c->first * h->ld_qk,
         h->ld_qk);
    /* e^c scale Q S */
    real *qs = c->wide[1], *scaled = c->wide[2];
    gemm(0, 0, count, h->d_v, h->d_k, h->scale, q, h->ld_qk, state, h->d_v, 0, qs, h->d_v);
    for (size_t i = 0; i < count; i++) {
        memcpy(scaled + i * h->d_v, d_o + i * h->ld_o, h->d_v * sizeof *scaled);
        kernel->scale(scaled + i * h->d_v, c->e[i], h->d_v);
        dc[i] += (double)kernel->dot(scaled + i * h->d_v, qs + i * h->d_v, h->d_v);
    }
    gemm(0, 1, count, h->d_k, h->d_v, h->scale, scaled, h->d_v, state, h->d_v, 1, d->dq + at, h->ld_qk);
    gemm(1, 0, h->d_k, h->d_v, count, h->scale, q, h->ld_qk, scaled, h->d_v, 1, dstate, h->d_v);
}

/* Through the system: from du to dv, dk, db, dc and dS. */
static void write_backward(const delta_head *h, const delta_grads *d, const chunk *c, const real *state,
                           real *dstate, real *du, double *dc)
{
    const kernels *kernel = kernels_get();
    const size_t count = c->count;
    const real *u = h->u + c->first * h->d_v;
    real *dk = d->dk + c->first * h->ld_qk, *dlower = c->pair[1], *both = c->pair[2], *known = c->wide[1];
    solve_transposed(c->lower, count, du, h->d_v); /* now the gradient of b (V - e^c K S) */
    gemm(0, 1, count, count, h->d_v, -1, du, h->d_v, u, h->d_v, 0, dlower, count);
    gemm(0, 0, count, count, h->d_k, 1, c->k, h->d_k, c->kt, count, 0, c->pair[0], count);
    memset(both, 0, count * count * sizeof *both);
    for (size_t i = 0; i < count; i++) {
        const real *row = dlower + i * count;
        double strength = 0;
        for (size_t j = 0; j < i; j++) {
            const real decay = c->decay[i * count + j];
            const double moved = (double)row[j] * (double)c->lower[i * count + j];
            strength += (double)row[j] * (double)(c->pair[0][i * count + j] * decay);
            dc[i] += moved;
            dc[j] -= moved;
            both[i * count + j] = both[j * count + i] = row[j] * c->b[i] * decay;
        }
        real *dwant = du + i * h->d_v, *old = known + i * h->d_v;
        if (i < c->real_count) {
            memset(old, 0, h->d_v * sizeof *old);
            kernel->axpy(old, c->e[i], c->ks + i * h->d_v, h->d_v);
            strength += (double)kernel->dot(dwant, h->v + (c->first + i) * h->ld_qk, h->d_v) -
                        (double)kernel->dot(dwant, old, h->d_v);
            kernel->scale(dwant, c->b[i], h->d_v);
            kernel->axpy(d->dv + (c->first + i) * h->ld_qk, 1, dwant, h->d_v);
            dc[i] -= (double)kernel->dot(dwant, old, h->d_v);
        }
        d->db[(c->first + i) * h->ld_scalar] = i < c->real_count ? (real)strength : 0;
        kernel->scale(dwant, i < c->real_count ? -c->e[i] : 0, h->d_v);
    }
    gemm(0, 0, count, h->d_k, count, 1, both, count, c->k, h->d_k, 1, dk, h->ld_qk);
    gemm(0, 1, count, h->d_k, h->d_v, 1, du, h->d_v, state, h->d_v, 1, dk, h->ld_qk);
    gemm(1, 0, h->d_k, h->d_v, count, 1, c->k, h->d_k, du, h->d_v, 1, dstate, h->d_v);
}

void delta_backward(const delta_head *h, const delta_grads *d, real *dstate, real *scratch)
{
    for (size_t at = delta_chunks(h->n); at-- > 0;) {
        const real *state = h->start + at * h->d_k * h->d_v;
        double dc[DELTA_CHUNK] = {0}, sum = 0;
        chunk c;
        open_chunk(h, at * DELTA_CHUNK, state, scratch, &c);
        real *du = c.wide[0];
        update_backward(h, &c, state, h->u + c.first * h->d_v, dstate, du, d->dk + c.first * h->ld_qk, dc);
        for (size_t head = 0; head < h->group; head++) read_backward(h, d, &c, state, head, dstate, du, dc);
        write_backward(h, d, &c, state, dstate, du, dc);
        for (size_t i = c.count; h->g && i-- > 0;) {
            sum += dc[i];
            d->dg[(c.first + i) * h->ld_scalar] = i < c.real_count ? (real)sum : 0;
        }
    }
}
