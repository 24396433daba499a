/* Inference over token streams of any length: lanes in lockstep, tokens buffered into segments. How the tokens are
 * cut into feeds cannot change a bit. */
#ifndef PAL_STREAM_H
#define PAL_STREAM_H

#include "models/decoder/decoder.h"

typedef struct stream stream;

int stream_create(stream **out, const decoder *d, pool *threads, size_t lanes, pal_error *err);
void stream_destroy(stream *s);
size_t stream_bytes(const decoder *d, size_t workers, size_t lanes);
/* Make room for writing, stream_writing_bytes beside stream_bytes: before the first prediction. Once more is free.
 */
int stream_allow_writing(stream *s, pal_error *err);
size_t stream_writing_bytes(const decoder *d, size_t workers, size_t lanes);
/* All lanes back to the empty state. */
void stream_reset(stream *s);

/* What a feed hands back for each token it could score: the token's position in the stream, its loss given the
 * tokens before it, and the model's own choice in its place. */
typedef void stream_sink(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax);

/* Append count tokens to every lane: tokens[lane * stride + i]. Tokens at positions below `score_from` are read
 * without computing logits. sink may be NULL when nothing is scored. */
void stream_feed(stream *s, const int32_t *tokens, size_t stride, size_t count, uint64_t score_from,
                 stream_sink *sink, void *arg);
/* Deliver what is still buffered (the tail segment is padded and masked). */
void stream_flush(stream *s, uint64_t score_from, stream_sink *sink, void *arg);
/* Logits of each lane's next token, given what was fed: logits[lane * *stride + token], valid until the next call
 * on this stream, which they leave as it was. NULL when nothing was fed, or writing was not allowed. They are made
 * of the state at the last border and the tokens since then, one by one (decoder/step.h): the bits do not hang on
 * when they are asked for, and are near those that scoring the tokens makes. */
const real *stream_predict(stream *s, size_t *stride);
size_t stream_vocab(const stream *s);
/* The token of the largest logit; the first of equals. */
int32_t stream_argmax(const real *logits, size_t vocab);
/* The same for what the stream predicts: of tokens with equal output weights the lowest. */
int32_t stream_choice(const stream *s, const real *logits);
/* Greedy continuation: out[lane * count + i]. Call after feeding, instead of flush. The tokens generated become
 * part of the stream. */
void stream_generate(stream *s, size_t count, int32_t *out);

uint64_t stream_position(const stream *s); /* tokens fed to each lane */
uint64_t stream_buffered(const stream *s); /* of these, not yet read */
/* Of these, the tokens of a lane that were not computed: its state had come back to what it was before, and the
 * tokens too (cycle.h). The bits are the same. */
uint64_t stream_passed(const stream *s, size_t lane);
/* What was not computed of other tokens, in tokens: of segments that were read lately the layers below the first
 * memory need not be (reuse.h). The bits are the same. */
double stream_reused(const stream *s, size_t lane);
/* From now on compute everything. */
void stream_read_all(stream *s);
/* Save and restore one lane between feeds: the state at the last segment border, and the buffered tokens. */
size_t stream_snapshot_bytes(const stream *s);
void stream_save(stream *s, size_t lane, void *out);
/* PAL_DATA: a damaged snapshot, or one of another model; the stream is as it was. */
int stream_restore(stream *s, size_t lane, const void *in, pal_error *err);
/* A lane's state (decoder.h) at the last segment border, valid until the next call. */
const void *stream_state(stream *s, size_t lane);
/* Whether the lane's state holds finite numbers alone. */
int stream_finite(stream *s, size_t lane);
/* What went wrong between the processes that read the model's layers, where there are several (relay.h). After an
 * error no score, state or logit of the stream is valid. */
int stream_check(const stream *s, pal_error *err);
/* Control: forget all memory, as if the stream began at the next segment border (buffered tokens stay). */
void stream_zero_memory(stream *s);
void stream_zero_lane(stream *s, size_t lane);
/* Every lane like one that has read `tokens`, for measurements of speed (decoder_state_age); call at a segment
 * border. Layers of other processes do not age. Returns the tokens that the states then count. */
uint64_t stream_age(stream *s, uint64_t tokens);
/* All lanes as if `tokens` tokens (whole segments) had been read, and forgotten unless `seen`. Seen, they leave
 * what they would have left as soon as decoder_reach more tokens are read. */
void stream_skip(stream *s, uint64_t tokens, int seen);

#endif
