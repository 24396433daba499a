/* The compressive memory of one key head over one segment: read, update and their gradients, on top of two matrix
 * products and row kernels. */
#include "models/attention/infini_memory.h"

#include "models/engine/gemm.h"
#include "models/engine/kernels.h"

#include <string.h>

size_t memory_head_reals(const memory_rule *rule, size_t d)
{
    return d * (d + 1 + (rule->previous != 0));
}

size_t memory_scratch_reals(size_t n, size_t d)
{
    return 6 * n * d;
}

void memory_read(const memory_head *h, const real *f, size_t ld, const real *memory, real *out, real *den)
{
    const kernels *k = kernels_get();
    const size_t d = h->d;
    gemm(0, 0, h->n, d, d, 1, f, ld, memory, d, 0, out, h->ld_read);
    for (size_t i = 0; i < h->n; i++) {
        den[i * h->ld_scalar] = k->dot(f + i * ld, memory + d * d, d) + h->rule.eps;
        k->scale(out + i * h->ld_read, 1 / den[i * h->ld_scalar], d);
    }
}

void memory_read_row(const memory_head *h, const real *f, const real *memory, real *out)
{
    const kernels *k = kernels_get();
    const size_t d = h->d;
    k->row_combine(out, f, memory, d, d, d);
    k->scale(out, 1 / (k->dot(f, memory + d * d, d) + h->rule.eps), d);
}

void memory_read_backward(const memory_head *h, const real *f, size_t ld, const real *memory, const real *out,
                          const real *den, real *dout, real *df, real *dmemory)
{
    const kernels *k = kernels_get();
    const size_t d = h->d;
    const real *z = memory + d * d;
    real *dz = dmemory + d * d;
    for (size_t i = 0; i < h->n; i++) {
        real *row = dout + i * d;
        const real dden = -k->dot(row, out + i * h->ld_read, d) / den[i * h->ld_scalar];
        k->scale(row, 1 / den[i * h->ld_scalar], d);
        k->axpy(df + i * ld, dden, z, d);
        k->axpy(dz, dden, f + i * ld, d);
    }
    gemm(0, 1, h->n, d, d, 1, dout, d, memory, d, 1, df, ld);
    gemm(1, 0, d, d, h->n, 1, f, ld, dout, d, 1, dmemory, d);
}

static real write_weight(const memory_head *h, size_t i)
{
    return h->write ? h->write[i * h->ld_scalar] : 1;
}

/* The keys that the values of this segment are bound to: key [n, d]. */
static void gather_keys(const memory_head *h, const real *memory, real *key)
{
    const size_t d = h->d, shift = h->rule.previous != 0;
    if (shift) memcpy(key, memory + d * (d + 1), d * sizeof *key);
    for (size_t i = shift; i < h->n; i++)
        memcpy(key + i * d, h->feature + (i - shift) * h->ld_feature, d * sizeof *key);
}

/* The reverse of gather_keys, and of keeping the last key: dkey [n, d] and dlast -> df, dlast in place. */
static void scatter_keys(const memory_head *h, const real *dkey, real *df, real *dlast)
{
    const kernels *k = kernels_get();
    const size_t d = h->d, shift = h->rule.previous != 0;
    if (shift && h->valid > 0) {
        k->axpy(df + (h->valid - 1) * h->ld_feature, 1, dlast, d);
        memcpy(dlast, dkey, d * sizeof *dlast);
    }
    for (size_t i = shift; i < h->valid; i++) k->axpy(df + (i - shift) * h->ld_feature, 1, dkey + i * d, d);
}

/* Clipped to [0, 1]; no gradient runs through it. */
static real new_share(const real *key, const real *z, size_t d)
{
    const kernels *k = kernels_get();
    const real norm = k->dot(key, key, d), known = k->dot(key, z, d);
    const real share = norm > 0 ? 1 - known / norm : 0;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

void memory_update(const memory_head *h, real *memory, real *scratch)
{
    const kernels *k = kernels_get();
    const size_t d = h->d;
    real *weighted = scratch, *target = scratch + h->n * d, *key = scratch + 2 * h->n * d;
    real *z = memory + d * d, *last = z + d;
    gather_keys(h, memory, key);
    for (size_t i = 0; i < h->valid; i++) { /* against z_{s-1}: z itself moves only below */
        const real w = write_weight(h, i);
        h->gamma[i * h->ld_scalar] = h->rule.gamma && h->filled ? new_share(key + i * d, z, d) : 1;
        for (size_t j = 0; j < d; j++) weighted[i * d + j] = w * key[i * d + j];
        memcpy(target + i * d, h->value + i * h->ld_value, d * sizeof *target);
    }
    if (h->rule.delta && h->filled) {
        memory_read(h, key, d, memory, h->old, h->old_den);
        for (size_t i = 0; i < h->valid; i++) k->axpy(target + i * d, -1, h->old + i * h->ld_read, d);
    }
    if (h->valid > 0) gemm(1, 0, d, d, h->valid, 1, weighted, d, target, d, 1, memory, d);
    for (size_t i = 0; i < h->valid; i++) k->axpy(z, h->gamma[i * h->ld_scalar], weighted + i * d, d);
    if (h->rule.previous && h->valid > 0)
        memcpy(last, h->feature + (h->valid - 1) * h->ld_feature, d * sizeof *last);
}

void memory_update_backward(const memory_head *h, const real *memory, real *dmemory, real *df, real *dv,
                            real *dwrite, real *scratch)
{
    const kernels *k = kernels_get();
    const size_t d = h->d, part = h->n * d;
    real *weighted = scratch, *target = scratch + part, *dtarget = scratch + 2 * part,
         *dweighted = scratch + 3 * part, *key = scratch + 4 * part, *dkey = scratch + 5 * part;
    const int delta = h->rule.delta && h->filled;
    gather_keys(h, memory, key);
    for (size_t i = 0; i < h->n; i++) {
        const real weight = i < h->valid ? write_weight(h, i) : 0;
        for (size_t j = 0; j < d; j++) weighted[i * d + j] = weight * key[i * d + j];
        memcpy(target + i * d, h->value + i * h->ld_value, d * sizeof *target);
        if (delta) k->axpy(target + i * d, -1, h->old + i * h->ld_read, d);
    }
    gemm(0, 0, h->n, d, d, 1, weighted, d, dmemory, d, 0, dtarget, d);
    gemm(0, 1, h->n, d, d, 1, target, d, dmemory, d, 0, dweighted, d);
    memset(dkey, 0, part * sizeof *dkey);
    for (size_t i = 0; i < h->valid; i++) {
        real *row = dweighted + i * d;
        k->axpy(row, h->gamma[i * h->ld_scalar], dmemory + d * d, d);
        k->axpy(dv + i * h->ld_read, 1, dtarget + i * d, d);
        k->axpy(dkey + i * d, write_weight(h, i), row, d);
        if (dwrite) dwrite[i * h->ld_scalar] = k->dot(row, key + i * d, d);
    }
    if (delta) {
        k->scale(dtarget, -1, part);
        memory_read_backward(h, key, d, memory, h->old, h->old_den, dtarget, dkey, dmemory);
    }
    scatter_keys(h, dkey, df, dmemory + d * (d + 1));
}
