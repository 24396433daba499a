/* Causal softmax attention of a segment over itself and the newest `cached` tokens before it, with rotary
 * positions: the whole of local (cached = 0) and full (cached = the context), and a part of the others.
 * Keys are cached as they were before rotation and rotated by their place in the cache, since only differences of
 * positions matter; full, whose cache is never moved on, goes by the place in the stream. The cache carries no
 * gradient.
 *
 * State of a lane: k [cached, D_kv], then v [cached, D_kv], the newest token last. Table: cached + N rotary
 * positions.
 */
#ifndef PAL_ATTENTION_KVCACHE_H
#define PAL_ATTENTION_KVCACHE_H

#include "models/attention/common.h"

/* What forward leaves for backward; the caller fills qkv. */
typedef struct kvcache_saved {
    size_t cached;
    size_t offset; /* of the cache in the lane's state, reals; 0 unless the caller sets it */
    size_t span;   /* as in causal.h; 0, no limit, unless the caller sets it */
    int absolute;  /* rows rotate by their place in the stream, not in the cache; 0 unless the caller sets it. The
                      stream may then be no longer than the cache, and bits do not hang on the cache's length */
    real *qkv;     /* [R, row of attn_shape] */
    real *q;       /* [R, D] rotated */
    real *k, *v;   /* [lanes * (cached + N), D_kv]: rotated keys, values */
    real *o;       /* [R, D] */
    real *lse;     /* [R, H] */
} kvcache_saved;

/* Backward's shared memory. */
typedef struct kvcache_work {
    real *d_o;          /* [R, D], filled by the caller */
    real *dqkv;         /* [R, row of attn_shape] */
    real *dq, *dk, *dv; /* as q, k and v of kvcache_saved */
} kvcache_work;

/* Carve from `base` (NULL: only measure); return the reals used. */
size_t kvcache_saved_layout(const model_config *cfg, size_t lanes, size_t cached, real *base, kvcache_saved *out);
size_t kvcache_work_layout(const model_config *cfg, size_t lanes, size_t cached, real *base, kvcache_work *out);
size_t kvcache_state_reals(const model_config *cfg, size_t cached);
/* Of a layer that has nothing else: all of them, with reach = cached. */
void kvcache_sizes(const model_config *cfg, size_t lanes, size_t cached, attn_sizes *out);

/* From qkv and the cache before the segment: o, lse. */
void kvcache_forward(const attn_call *c, const kvcache_saved *s, real scale);
/* The valid tokens' k and v enter the cache. Needs only k and v of qkv; after kvcache_forward. */
void kvcache_update(const attn_call *c, const kvcache_saved *s);
/* From d_o: dqkv, written. */
void kvcache_backward(const attn_call *c, const kvcache_saved *s, const kvcache_work *w, real scale);

/* Steps (attention.h): k and v lie in c->kept, where those of the state come once a segment; qkv, q, o and lse in
 * c->saved, of the step's rows alone. */
size_t kvcache_step_layout(const model_config *cfg, size_t lanes, size_t cached, real *base, kvcache_saved *out);
void kvcache_kept_layout(const attn_call *c, kvcache_saved *s);
/* From qkv: o, lse, of the step's rows. */
void kvcache_step(const attn_call *c, const kvcache_saved *s, real scale);

/* The whole layer with parameters 0 = qkv_net.weight and 1 = o_net.weight, scores scaled as the config says. */
void kvcache_layer_forward(const attn_call *c, size_t cached, int absolute, const real *x, real *y);
void kvcache_layer_backward(const attn_call *c, size_t cached, int absolute, const real *x, const real *dy,
                            real *dx);
void kvcache_layer_step(const attn_call *c, size_t cached, int absolute, const real *x, real *y);

#endif
