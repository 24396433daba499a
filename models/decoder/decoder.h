/* The decoder around an attention module: token embedding, pre-norm blocks x += Attention(LN(x)), x += FF(LN(x)),
 * optional final norm, output weights tied to the embedding or not. Parameter names and shapes follow the original
 * Transformer-XL, so that its checkpoints map one to one. */
#ifndef PAL_DECODER_H
#define PAL_DECODER_H

#include "models/attention/attention.h"
#include "models/config/config.h"
#include "models/engine/arena.h"
#include "models/engine/weight_source.h"

typedef struct decoder_param {
    char name[96];
    size_t rows, cols; /* a vector has rows = 1 */
    size_t offset;     /* in the weights' block, reals; PARAM_ELSEWHERE: not there */
    size_t grad;       /* in a block of gradients or moments, reals; PARAM_FROZEN: it learns nothing */
    size_t panels;     /* in the block of decoder_pack */
    attn_init init;
    double value;
    unsigned flags; /* PARAM_* */
} decoder_param;

#define PARAM_ELSEWHERE SIZE_MAX
#define PARAM_FROZEN SIZE_MAX

typedef struct decoder decoder;

/* Lay out the parameters and allocate one zero-filled block for the weights. */
int decoder_create(decoder **out, const model_config *cfg, pal_error *err);
/* The same in two steps: names and sizes of the parameters first, so that a file can be compared with them before
 * memory in their proportion is taken. Between the two only decoder_config and decoder_param_* may be called. */
int decoder_describe(decoder **out, const model_config *cfg, pal_error *err);
int decoder_allocate(decoder *d, pal_error *err);
/* Between the two: leave the matrix `index` where `source` reads it. Such a decoder reads and never learns. */
int decoder_leave(decoder *d, size_t index, weight_source source, pal_error *err);
int decoder_is_left(const decoder *d);         /* whether any is */
size_t decoder_mapped_bytes(const decoder *d); /* of files that sources of its layers read */
/* Between the two: let the tensor `index` be that of its name and shape in an allocated `lender`, where it has
 * one. It is read and never changed; the lender lives as long as its borrowers. A decoder has one lender at most.
 */
int decoder_borrow(decoder *d, size_t index, decoder *lender, pal_error *err);
/* Layers `from` to `to` - 1 are all that this process reads of a model that several share (spread.c); else all.
 * Said before weights are read, those of other layers stay in their file unseen. */
void decoder_take_layers(decoder *d, size_t from, size_t to);
void decoder_taken_layers(const decoder *d, size_t *from, size_t *to);
/* Whether a tensor is of these layers: the embedding of the first, the output weights of the last one. */
int decoder_takes(const decoder *d, size_t index);
/* Layers in `count` groups of about equal time at `context` tokens: group g has border[g] to border[g + 1] - 1.
 * The output weights are the last group's, or, shared_head, everybody's. Returns FLOPs of the slowest group. */
double decoder_groups(const decoder *d, double context, size_t count, int shared_head, size_t *border);
/* What lets the other processes read their layers (models/stream/relay.h); NULL: all layers are read here. */
struct relay;
void decoder_set_relay(decoder *d, struct relay *relay);
struct relay *decoder_relay(const decoder *d);
/* A decoder of the first `layers` layers of `d`, whose weights it borrows; for measurements. */
int decoder_shorten(decoder **out, decoder *d, size_t layers, pal_error *err);
/* `owner` of sources lives as long as the decoder; `rounded` says that they are not the file's numbers. */
void decoder_keep(decoder *d, void *owner, void (*release)(void *owner), int rounded);
void decoder_destroy(decoder *d);
/* Draw the initial weights; each tensor has its own random stream, so adding one leaves the others as they were.
 */
void decoder_init(decoder *d, uint64_t seed);
/* The same for one tensor. */
void decoder_init_param(decoder *d, size_t index, uint64_t seed);

const model_config *decoder_config(const decoder *d);
size_t decoder_param_count(const decoder *d); /* tensors */
const decoder_param *decoder_param_at(const decoder *d, size_t index);
size_t decoder_param_elements(const decoder_param *p);
size_t decoder_weight_reals(const decoder *d); /* length of the block, padding between tensors included */
real *decoder_weights(decoder *d);
/* From now on those tensors alone learn for which trains(arg, p) holds: the others have no gradient and no
 * moments, and backward ends at the lowest layer that learns. Before any pass or optimiser is made. Without this
 * call all learn, and gradients lie as the weights do. Returns how many tensors learn. */
size_t decoder_train_only(decoder *d, int (*trains)(void *arg, const decoder_param *p), void *arg);
size_t decoder_grad_reals(const decoder *d); /* length of a block of gradients */
/* panels[decoder_panel_reals]: every tensor in the order of products (gemm.h), at decoder_param.panels. */
size_t decoder_panel_reals(const decoder *d);
void decoder_pack(const decoder *d, real *panels);
/* Whether any tensor's products use them; the others' places stay as they are. */
int decoder_uses_panels(const decoder *d);
/* The kernels that multiply by its weights, which choose the bits: gemm_core's, with "+AMX" or "+FMA" where some
 * are wide.
 */
void decoder_core(const decoder *d, char *text, size_t size);
size_t decoder_parameters(const decoder *d); /* numbers, padding not counted */
size_t decoder_trained(const decoder *d);    /* those of them that learn */

/* The token of the largest of logits[vocab], made from x[d_model]. Tokens whose output weights are equal have
 * equal logits but for rounding, which hangs on their places in the product: of these the lowest wins under every
 * BLAS. x NULL: all tokens are compared, at a read of the output weights. */
int32_t decoder_choice(const decoder *d, const real *logits, const real *x);

/* FLOPs of one token's forward pass at `context` tokens, causal half of attention only (plan, bench). scored 0:
 * the token is only read: no output weights, and of the last layer no more than what its state needs. */
double decoder_flops(const decoder *d, double context, int scored);
/* Of these, those of one layer that is read whole; n_layers: of the output weights. */
double decoder_layer_flops(const decoder *d, size_t layer, double context);

#endif
