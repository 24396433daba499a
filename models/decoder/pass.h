/* One segment through the stack and back. A pass holds the activations of `slots` segments of `lanes` lanes;
 * without slots it only reads, and one area serves all layers. */
#ifndef PAL_DECODER_PASS_H
#define PAL_DECODER_PASS_H

#include "models/decoder/decoder.h"

typedef struct pass pass;

/* Tokens, and what is asked about them: arrays of one shape, which the function that takes them states. */
typedef struct scored_tokens {
    const int32_t *tokens;
    const int32_t *targets; /* NULL: nothing is scored */
    const float *weight; /* of each loss in the gradient's sum; 0 where a position is not scored (backward only) */
    double *nll;         /* out: the loss of the target in nats; may be NULL */
    int32_t *argmax;     /* out: the model's own choice; may be NULL */
} scored_tokens;

/* slots: how many segments' activations are kept for backward (training); 0: inference only, one area for all. */
size_t pass_bytes(const decoder *d, size_t workers, size_t lanes, size_t slots);
int pass_create(pass **out, const decoder *d, pool *threads, size_t lanes, size_t slots, pal_error *err);
void pass_destroy(pass *p);
size_t pass_lanes(const pass *p);
/* From now on multiply by decoder_pack's panels of the weights, which stay as they are; not for backward. */
void pass_use_panels(pass *p, const real *panels);
/* From now on logits and losses are made by these workers. */
void pass_share_head(pass *p, pool *workers);

/* From now on a segment that is only read goes no further than the last state that carries a gradient: for a
 * caller that replaces the caches above it. */
void pass_leave_caches(pass *p);

/* Read one segment: tokens[lanes, N] (padding: any valid token), valid[lanes] in 0..N, state[lanes] updated in
 * place. need_output 0 skips what only the output needs: the reads and the feed-forward of the last layer that has
 * a state, and all layers above it. */
void pass_forward(pass *p, size_t slot, const int32_t *tokens, const size_t *valid, void *const *state,
                  int need_output);
/* The same in parts: the segment is laid out and counted, then read by layers `from` to `to` - 1. */
void pass_begin(pass *p, size_t slot, const int32_t *tokens, const size_t *valid, void *const *state);
void pass_layers(pass *p, size_t slot, void *const *state, size_t from, size_t to, int need_output);
/* In place of pass_begin where another process read the layers before `from`: x[lanes, N, d_model] is what they
 * left. No recurrence, no slots. */
void pass_enter(pass *p, const real *x, const size_t *valid, void *const *state, size_t from);
/* What layers read and leave, [lanes, N, d_model], between two calls of pass_layers; may be overwritten. Without
 * slots. */
real *pass_rows(pass *p);
/* Take over the segment as the layers so far left it in `before`. Both without slots, of equal lanes. */
void pass_follow(pass *p, const pass *before);
/* The residual stream [lanes, N, d_model] of the segment in `slot` as block `layer` read it; n_layers: as the last
 * one left it. Only where slots are kept and need_output was set. */
const real *pass_residual(const pass *p, size_t slot, size_t layer);
/* Logits [lanes, N, vocab] of the segment in `slot`; valid until the next call on this pass. */
real *pass_logits(pass *p, size_t slot);
/* nll and argmax for targets, [lanes, N] each, after the segment of a pass without slots. */
void pass_score(pass *p, const scored_tokens *t);
/* The training head: nll as pass_score, then the gradient of sum(weight * nll) for the segment in `slot`, of
 * arrays [lanes, N], down to the lowest tensor that learns; grad (decoder_grad_reals) is accumulated into. Of a
 * segment read without need_output no weight may differ from 0. nll is 0 where the weight is and the output
 * weights do not learn. dstate[lanes]: gradient blocks of
 * decoder_state_grad_reals each. penalty: the modules' regulariser, its weight per token of the segment. */
void pass_backward(pass *p, size_t slot, const scored_tokens *t, real *const *dstate, real *grad,
                   attn_penalty penalty);

#endif
