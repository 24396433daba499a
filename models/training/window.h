/* Back-propagation through time over a window of segments. */
#ifndef PAL_WINDOW_H
#define PAL_WINDOW_H

#include "models/decoder/pass.h"

typedef struct window window;

/* recompute != 0: keep one segment's activations and the states at segment borders, and run each segment's forward
 * again before its backward; memory then grows with the window only by the states. The bits are the same. */
int window_create(window **out, const decoder *d, pool *threads, size_t lanes, size_t max_segments, int recompute,
                  pal_error *err);
void window_destroy(window *w);
size_t window_bytes(const decoder *d, size_t workers, size_t lanes, size_t max_segments, int recompute);

/* From now on the caches of before[lane * segments + s] stand before segment s of a lane's next windows in place
 * of those that the segment before it left. Memories go from segment to segment as ever. */
void window_put_caches(window *w, void *const *before);

/* t: arrays of [lanes, segments * N]. state[lanes]: in: before the window; out: after it. A segment in which
 * nothing is scored is read no further than its states need, and its nll are 0. grad (decoder_grad_reals) is
 * accumulated into with d(loss)/d(weights), where loss = sum(weight * nll) / sum(weight). Returns the loss. */
double window_step(window *w, size_t segments, const scored_tokens *t, void *const *state, real *grad,
                   attn_penalty penalty);

#endif
