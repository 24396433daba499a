/* The decoder's inside, shared by decoder.c (parameters, state) and pass.c (arithmetic) alone. */
#ifndef PAL_DECODER_LAYOUT_H
#define PAL_DECODER_LAYOUT_H

#include "models/decoder/decoder.h"

/* Indices of a layer's tensors; a norm's bias and a feed-forward's bias follow their weight. */
typedef struct layer_index {
    size_t attn[ATTN_MAX_PARAMS], attn_count;
    size_t norm1, norm2, ff1, ff2;
    size_t state_offset;  /* bytes into a lane's state block */
    size_t dstate_offset; /* reals into a lane's state gradient */
} layer_index;

struct decoder {
    model_config cfg;
    decoder_param *param;
    size_t param_count;
    layer_index *layer;
    size_t embedding, final_norm, output, output_bias;
    arena memory;
    real *weight;
    size_t weight_reals;
    real *table; /* the attention module's constants */
    size_t state_bytes, memory_bytes, dstate_reals;
    uint64_t shape_hash;
};

#endif
