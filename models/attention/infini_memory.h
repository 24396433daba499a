/* The compressive memory of one head in one lane, over one segment: read, update, and their gradients. What is
 * read, which tokens write and how a read is mixed with the local attention is infini.c's business.
 *
 * A head's state is M [d, d], z [d] and, under the rule `previous`, the last key's feature [d]. */
#ifndef PAL_ATTENTION_INFINI_MEMORY_H
#define PAL_ATTENTION_INFINI_MEMORY_H

#include "models/attention/attention.h"

typedef struct memory_rule {
    int delta;    /* write v - read(k) instead of v (2404.07143, equation 9) */
    int gamma;    /* z grows by what is new in phi(k) alone (ARMT, 2407.04841) */
    int previous; /* v_t is bound to k_{t-1} */
    real eps;     /* added to the denominator phi z */
} memory_rule;

/* The rows of one head in its segment; the row of the next token is `ld_...` reals further on. */
typedef struct memory_head {
    memory_rule rule;
    size_t n, d;         /* tokens of a segment, d_head */
    size_t valid;        /* tokens of this segment that write */
    int filled;          /* the memory can be read: not the first segment of an empty one */
    const real *feature; /* phi(k) [n, d], ld_feature */
    const real *value;   /* v [n, d], ld_value */
    const real *write;   /* w [n], ld_scalar, the weight of phi(k) in M and z; NULL: 1 */
    real *gamma;         /* [n], ld_scalar: share of phi(k) that enters z, left by memory_update */
    real *old;           /* delta: [n, d], ld_read: what the memory held for k, left by memory_update */
    real *old_den;       /* delta: [n], ld_scalar: its denominators */
    size_t ld_feature, ld_value, ld_read, ld_scalar;
} memory_head;

/* Reals of a head's state. */
size_t memory_head_reals(const memory_rule *rule, size_t d);
/* Reals of scratch that the update and its gradient need. */
size_t memory_scratch_reals(size_t n, size_t d);

/* out = f M / (f z + eps) (equation 7) for n rows of features f, `ld` apart; out has ld_read, den ld_scalar. */
void memory_read(const memory_head *h, const real *f, size_t ld, const real *memory, real *out, real *den);
/* The same of one row f[d] -> out[d], whose bits do not hang on BLAS. */
void memory_read_row(const memory_head *h, const real *f, const real *memory, real *out);
/* From dout [n, d] (contiguous, overwritten): df (`ld` apart) and dmemory, both accumulated. */
void memory_read_backward(const memory_head *h, const real *f, size_t ld, const real *memory, const real *out,
                          const real *den, real *dout, real *df, real *dmemory);

/* The segment enters the memory (equations 8 and 9). */
void memory_update(const memory_head *h, real *memory, real *scratch);
/* dmemory in place: from the state after the segment to that before it, which is `memory`. df (ld_feature) and dv
 * (ld_read) are accumulated; dwrite [n] (ld_scalar; NULL without write weights) is set for the valid tokens. */
void memory_update_backward(const memory_head *h, const real *memory, real *dmemory, real *df, real *dv,
                            real *dwrite, real *scratch);

#endif
