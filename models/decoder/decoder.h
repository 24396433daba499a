/* The decoder around an attention module: token embedding, pre-norm blocks x += Attention(LN(x)), x += FF(LN(x)),
 * optional final norm, output weights tied to the embedding or not. Parameter names and shapes follow the original
 * Transformer-XL, so that its checkpoints map one to one. */
#ifndef PAL_DECODER_H
#define PAL_DECODER_H

#include "models/attention/attention.h"
#include "models/decoder/config.h"
#include "models/engine/arena.h"

typedef struct decoder_param {
    char name[96];
    size_t rows, cols; /* a vector has rows = 1 */
    size_t offset;     /* in the weight and gradient blocks, reals */
    attn_init init;
    double value;
    unsigned flags; /* PARAM_* */
} decoder_param;

typedef struct decoder decoder;

/* Lay out the parameters and allocate one zero-filled block for the weights. */
int decoder_create(decoder **out, const model_config *cfg, pal_error *err);
/* The same in two steps: names and sizes of the parameters first, so that a file can be compared with them before
 * memory in their proportion is taken. Between the two only decoder_config and decoder_param_* may be called. */
int decoder_describe(decoder **out, const model_config *cfg, pal_error *err);
int decoder_allocate(decoder *d, pal_error *err);
void decoder_destroy(decoder *d);
/* Draw the initial weights; each tensor has its own random stream, so adding one leaves the others as they were.
 */
void decoder_init(decoder *d, uint64_t seed);

const model_config *decoder_config(const decoder *d);
size_t decoder_param_count(const decoder *d); /* tensors */
const decoder_param *decoder_param_at(const decoder *d, size_t index);
size_t decoder_param_elements(const decoder_param *p);
size_t decoder_weight_reals(const decoder *d); /* length of the block, padding between tensors included */
real *decoder_weights(decoder *d);
/* panels[decoder_weight_reals]: every tensor in the order of products (gemm.h), at its place among the weights. */
void decoder_pack(const decoder *d, real *panels);
size_t decoder_parameters(const decoder *d); /* trainable numbers, padding not counted */

/* The token of the largest of logits[vocab], made from x[d_model]. Tokens whose output weights are equal have
 * equal logits but for rounding, which hangs on their places in the product: of these the lowest wins under every
 * BLAS. x NULL: all tokens are compared, at a read of the output weights. */
int32_t decoder_choice(const decoder *d, const real *logits, const real *x);

/* FLOPs of one token's forward pass at `context` tokens, causal half of attention only (plan, bench). scored 0:
 * the token is only read: no output weights, and of the last layer no more than what its state needs. */
double decoder_flops(const decoder *d, double context, int scored);
/* Of these, those of one layer that is read whole; n_layers: of the output weights. */
double decoder_layer_flops(const decoder *d, size_t layer, double context);

/* ---- Streaming state: one flat block per lane: header, then each layer's state. ---- */

typedef struct state_header {
    char magic[8];
    uint64_t bytes; /* of the whole block */
    uint64_t seen;  /* tokens read so far */
    uint64_t shape; /* hash of the config: a block is only read by the model it belongs to */
} state_header;

size_t decoder_state_bytes(const decoder *d);  /* whole block, header included */
size_t decoder_memory_bytes(const decoder *d); /* the layers' state alone: the paper's column */
/* Empty a block; fresh memory must be zero-filled. */
void decoder_state_reset(const decoder *d, void *state);
/* Tokens, whole segments, after which nothing that was read before them changes a bit of what the model makes of a
 * segment; UINT64_MAX: all that was ever read may. */
uint64_t decoder_reach(const decoder *d);
/* Tokens after which a stream goes by its state alone, whatever the header counts; UINT64_MAX: never. */
uint64_t decoder_settles(const decoder *d);
/* An empty state that counts `seen` tokens as read. After decoder_reach tokens it is that of a stream which did
 * read them. */
void decoder_state_skip(const decoder *d, void *state, uint64_t seen);
/* The state of one layer in a block. */
const real *decoder_layer_state(const decoder *d, const void *state, size_t layer);
/* Its parts; returns how many, at most ATTN_MAX_PARTS. */
size_t decoder_state_parts(const decoder *d, size_t layer, state_part *part);
/* attn_module.state_repeat of every layer. */
void decoder_state_repeat(const decoder *d, void *state, double times);
/* PAL_DATA when `state` is not a block of this model. */
int decoder_state_check(const decoder *d, const void *state, pal_error *err);

/* ---- Activations: a pass holds `slots` segments of `lanes` lanes. ---- */

typedef struct pass pass;

/* slots: how many segments' activations are kept for backward (training); 0: inference only, one area for all. */
size_t pass_bytes(const decoder *d, size_t workers, size_t lanes, size_t slots);
int pass_create(pass **out, const decoder *d, pool *threads, size_t lanes, size_t slots, pal_error *err);
void pass_destroy(pass *p);
size_t pass_lanes(const pass *p);
/* From now on multiply by decoder_pack's panels of the weights, which stay as they are; not for backward. */
void pass_use_panels(pass *p, const real *panels);
/* From now on logits and losses are made by these workers. */
void pass_share_head(pass *p, pool *workers);

/* Read one segment: tokens[lanes, N] (padding: any valid token), valid[lanes] in 0..N, state[lanes] updated in
 * place. need_output 0 skips what only the output needs (the last layer's reads and feed-forward). */
void pass_forward(pass *p, size_t slot, const int32_t *tokens, const size_t *valid, void *const *state,
                  int need_output);
/* The same in parts: the segment is laid out and counted, then read by layers `from` to `to` - 1. */
void pass_begin(pass *p, size_t slot, const int32_t *tokens, const size_t *valid, void *const *state);
void pass_layers(pass *p, size_t slot, void *const *state, size_t from, size_t to, int need_output);
/* Take over the segment as the layers so far left it in `before`. Both without slots, of equal lanes. */
void pass_follow(pass *p, const pass *before);
/* The residual stream [lanes, N, d_model] of the segment in `slot` as block `layer` read it; n_layers: as the last
 * one left it. Only where slots are kept and need_output was set. */
const real *pass_residual(const pass *p, size_t slot, size_t layer);
/* Logits [lanes, N, vocab] of the segment in `slot`; valid until the next call on this pass. */
real *pass_logits(pass *p, size_t slot);
/* nll[lanes, N] in nats for targets[lanes, N] after the segment of a pass without slots, and the largest logit's
 * token (either may be NULL). */
void pass_score(pass *p, const int32_t *targets, double *nll, int32_t *argmax);
/* The training head: nll as pass_score, then the gradient of sum(weight * nll) for the segment in `slot` down to
 * the embedding; grad is accumulated into. dstate[lanes]: gradient blocks of decoder_state_grad_reals each.
 * penalty: the modules' regulariser, its weight per token of the segment. */
void pass_backward(pass *p, size_t slot, const int32_t *tokens, const int32_t *targets, const float *weight,
                   double *nll, real *const *dstate, real *grad, attn_penalty penalty);
size_t decoder_state_grad_reals(const decoder *d);

#endif
