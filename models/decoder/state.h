/* A lane's streaming state: one flat block of a header, then each layer's state, then the recurrence's. Blocks can
 * be copied, compared and stored; the header refuses those of another model. */
#ifndef PAL_DECODER_STATE_H
#define PAL_DECODER_STATE_H

#include "models/decoder/decoder.h"

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
/* The same for layers `from` to `to` - 1 alone, of a block that no others are read from; it then counts `seen`
 * tokens. */
void decoder_state_reset_layers(const decoder *d, void *state, size_t from, size_t to, uint64_t seen);
/* Where their state lies in a block: bytes *begin to *end - 1. No model with a recurrence. */
void decoder_state_range(const decoder *d, size_t from, size_t to, size_t *begin, size_t *end);
/* Whether it holds finite numbers alone. */
int decoder_state_finite(const decoder *d, const void *state, size_t from, size_t to);
/* Tokens, whole segments, after which nothing that was read before them changes a bit of what the model makes of a
 * segment; UINT64_MAX: all that was ever read may. */
uint64_t decoder_reach(const decoder *d);
/* Tokens after which a stream goes by its state alone, whatever the header counts; UINT64_MAX: never. */
uint64_t decoder_settles(const decoder *d);
/* The layers below the first one that looks back further than the segment before: what they make of a segment
 * hangs on its tokens and on their own states alone, the first *bytes behind the header, once *settles tokens are
 * read. 0: there are none, or they are all. */
size_t decoder_shallow(const decoder *d, uint64_t *settles, size_t *bytes);
/* An empty state that counts `seen` tokens as read. After decoder_reach tokens it is that of a stream which did
 * read them. */
void decoder_state_skip(const decoder *d, void *state, uint64_t seen);
/* The state of one layer in a block. */
const real *decoder_layer_state(const decoder *d, const void *state, size_t layer);
/* Its parts; returns how many, at most ATTN_MAX_PARTS. */
size_t decoder_state_parts(const decoder *d, size_t layer, state_part *part);
/* attn_module.state_repeat of every layer. */
void decoder_state_repeat(const decoder *d, void *state, double times);
/* attn_module.state_age of every layer; returns the tokens that the state then counts. */
uint64_t decoder_state_age(const decoder *d, void *state, uint64_t age);
/* Of two blocks of this model, `to` becomes `from` in what carries a gradient, or in all else and in the tokens
 * read.
 */
void decoder_state_copy_memory(const decoder *d, void *to, const void *from);
void decoder_state_copy_caches(const decoder *d, void *to, const void *from);
/* PAL_DATA when `state` is not a block of this model. */
int decoder_state_check(const decoder *d, const void *state, pal_error *err);
/* Reals of a lane's state gradient: what pass_backward carries from segment to segment. */
size_t decoder_state_grad_reals(const decoder *d);

#endif
