/* Rows of a segment one after the other, against the state before it: writing token by token without reading the
 * whole segment anew for each. The state is not touched; once full, a segment is read by pass_forward. */
#ifndef PAL_DECODER_STEP_H
#define PAL_DECODER_STEP_H

#include "models/decoder/decoder.h"

typedef struct stepper stepper;

/* Whether the model can: its attention has a step, and no recurrence stands above. */
int stepper_serves(const decoder *d);
size_t stepper_bytes(const decoder *d, size_t workers, size_t lanes);
int stepper_create(stepper **out, const decoder *d, pool *threads, size_t lanes, pal_error *err);
void stepper_destroy(stepper *s);
/* Bytes of weights that one step reads, in the form in which they are held: what bounds its speed. */
size_t stepper_weight_bytes(const decoder *d);

/* Read tokens[lane * stride + i], which are tokens `first` to `first + count` - 1 (count > 0) of each lane's
 * segment. Those before `first` have been read with the same states; state[lanes] is that of before the segment.
 * Returns the logits [lanes, vocab] after each lane's last token, valid until the next call. How tokens are cut
 * into calls, threads and lanes change no bit of them. */
const real *stepper_read(stepper *s, const int32_t *tokens, size_t stride, size_t first, size_t count,
                         void *const *state);

/* The same in parts, `count` (at most ATTN_STEP_ROWS) tokens of each lane at a time, for processes that each read
 * some of the layers. */
void stepper_begin(stepper *s, size_t count, void *const *state);
/* Embed tokens[lane * stride + i]: of the process that has the first layer. */
void stepper_embed(stepper *s, const int32_t *tokens, size_t stride);
void stepper_layers(stepper *s, size_t from, size_t to, size_t first, void *const *state);
/* [lanes, count, d_model] as the layers so far left it. */
real *stepper_rows(stepper *s);
/* [lanes, vocab] after each lane's last token: of the process that has the last layer. */
const real *stepper_logits(stepper *s);

#endif
