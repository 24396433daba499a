/* Causal attention over a window and the stream's first tokens, its sinks (Xiao et al. 2023, StreamingLLM): what
 * window.c is made of, and the local attention of others that may have sinks.
 *
 * State of a lane: k and v of the window as in kvcache.h, then k [sinks, D_kv] and v [sinks, D_kv]. */
#ifndef PAL_ATTENTION_SINKS_H
#define PAL_ATTENTION_SINKS_H

#include "models/attention/kvcache.h"

/* What a token sees. */
typedef struct sinks_view {
    size_t window, sinks;
    size_t cached; /* tokens of the window that may lie before the segment */
    int by_token;  /* the window ends at the token, itself included; else right before its segment */
    int by_place;  /* sinks are seen right before the window; else where they are */
    double rope_base;
} sinks_view;

/* What forward leaves for backward; the caller fills local.qkv. */
typedef struct sinks_saved {
    kvcache_saved local; /* o and lse are those of window and sinks */
    real *q;             /* [R, D] rotated to where sinks are seen from; with absolute positions local.q */
    real *k, *v;         /* [lanes, sinks, D_kv]: rotated keys, values; 0 where no token is yet */
    real *angle;         /* [lanes, sinks, d_head] of the rotation, as rope_table_fill writes it */
} sinks_saved;

/* Backward's shared memory. */
typedef struct sinks_work {
    kvcache_work local; /* the caller fills d_o */
    real *dq;           /* [R, D] of sinks_saved.q */
    real *dk, *dv;      /* [lanes, sinks, D_kv] of the sinks that lie in the segment */
} sinks_work;

/* Carve from `base` (NULL: only measure); return the reals used. */
size_t sinks_saved_layout(const model_config *cfg, const sinks_view *r, size_t lanes, real *base,
                          sinks_saved *out);
size_t sinks_work_layout(const model_config *cfg, const sinks_view *r, size_t lanes, real *base, sinks_work *out);
size_t sinks_step_layout(const model_config *cfg, const sinks_view *r, size_t lanes, real *base, sinks_saved *out);
void sinks_kept_layout(const attn_call *c, const sinks_view *r, sinks_saved *s);
size_t sinks_state_reals(const model_config *cfg, const sinks_view *r);
/* Of a layer that has nothing else. */
void sinks_sizes(const model_config *cfg, const sinks_view *r, size_t lanes, attn_sizes *out);
void sinks_table_fill(const model_config *cfg, const sinks_view *r, real *table);

/* As those of kvcache.h: o and lse; the state; dqkv from d_o; and of a step's rows. */
void sinks_forward(const attn_call *c, const sinks_view *r, const sinks_saved *s);
void sinks_update(const attn_call *c, const sinks_view *r, const sinks_saved *s);
void sinks_backward(const attn_call *c, const sinks_view *r, const sinks_saved *s, const sinks_work *w);
void sinks_step(const attn_call *c, const sinks_view *r, const sinks_saved *s);

/* The whole layer with parameters 0 = qkv_net.weight and 1 = o_net.weight, scores scaled as the config says. */
void sinks_layer_forward(const attn_call *c, const sinks_view *r, const real *x, real *y);
void sinks_layer_step(const attn_call *c, const sinks_view *r, const real *x, real *y);
void sinks_layer_backward(const attn_call *c, const sinks_view *r, const real *x, const real *dy, real *dx);

#endif
