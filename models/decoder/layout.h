/* The decoder's inside, shared by the files of this folder alone: where its tensors and a lane's state lie. */
#ifndef PAL_DECODER_LAYOUT_H
#define PAL_DECODER_LAYOUT_H

#include "models/attention/recurrence.h"
#include "models/decoder/decoder.h"

/* A tensor that the config has not. */
#define NO_TENSOR SIZE_MAX

/* A tensor's numbers in a block of weights or gradients, up to the next cache line. */
static inline size_t decoder_padded(size_t reals)
{
    const size_t step = ARENA_ALIGN / sizeof(real);
    return (reals + step - 1) / step * step;
}

/* Indices of a norm's tensors. */
typedef struct norm_index {
    size_t gain, bias;
} norm_index;

/* Indices of a matrix and its bias. */
typedef struct linear_index {
    size_t weight, bias;
} linear_index;

/* Indices of a layer's tensors. */
typedef struct layer_index {
    size_t attn[ATTN_MAX_PARAMS], attn_count;
    norm_index norm1, norm2;
    size_t qkv_bias, o_bias, q_gain, k_gain;
    linear_index up, gate, down; /* of the feed-forward */
    size_t state_offset;         /* bytes into a lane's state block */
    size_t dstate_offset;        /* reals into a lane's state gradient */
} layer_index;

struct decoder {
    model_config cfg;
    model_config inner; /* as layers see it: rows of the recurrence lengthen the segment */
    decoder_param *param;
    size_t param_count;
    layer_index *layer;
    size_t embedding, output, output_bias;
    norm_index final_norm;
    size_t recurrence[RECURRENCE_MAX_PARAMS], recurrence_count; /* tensors of the recurrence */
    size_t recurrence_state, recurrence_dstate;                 /* offsets, as a layer's */
    weight_source *source; /* [param_count], NULL: none; without `read` where the weights are in the block */
    const real **lent;     /* [param_count], NULL: none; tensors that lie with another decoder, */
    decoder *lender;       /* this one */
    size_t borrowers;      /* decoders that this one is the lender of; */
    int orphaned;          /* it is destroyed with the last of them */
    size_t first, end;     /* layers that are read here; end 0: all */
    struct relay *relay;   /* to those who read the others */
    void *owner;           /* of sources */
    void (*release)(void *owner);
    int rounded;
    arena memory;
    real *weight;
    size_t weight_reals, panel_reals, grad_reals;
    size_t lowest;   /* the first layer whose backward pass is needed; 0 when all tensors learn */
    size_t stateful; /* layers up to the last one that has a state: what a segment that is only read needs */
    size_t graded;   /* layers up to the last one whose state carries a gradient */
    real *table;     /* the attention module's constants */
    size_t state_bytes, memory_bytes, dstate_reals;
    uint64_t shape_hash;
};

/* A tensor as reals; NULL where it lies in a source. */
static inline const real *decoder_tensor(const decoder *d, size_t index)
{
    if (d->lent && d->lent[index]) return d->lent[index];
    return d->param[index].offset == PARAM_ELSEWHERE ? NULL : d->weight + d->param[index].offset;
}

#endif
