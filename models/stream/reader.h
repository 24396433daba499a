/* Reads segments for a stream on all workers, without a worker waiting for another at every operator: lanes apart,
 * each whole lane on one worker; or one lane's layers in a pipeline, each group of layers on a worker, a segment
 * behind the one before. Only where neither fits do workers share every operator. The bits are the same: a lane's
 * do not depend on the lanes beside it, nor on who computes them. */
#ifndef PAL_READER_H
#define PAL_READER_H

#include "models/stream/relay.h"

typedef struct reader reader;

size_t reader_bytes(const decoder *d, size_t workers, size_t lanes);
int reader_create(reader **out, const decoder *d, pool *workers, size_t lanes, pal_error *err);
void reader_destroy(reader *r);

/* How many segments it likes to score in one call. */
size_t reader_depth(const decoder *d, size_t workers, size_t lanes);

/* Segments that follow each other: t of [segments, lanes, N], scored as by pass_score; valid[lanes] in each,
 * state[lanes] updated in place. */
void reader_read(reader *r, size_t segments, const scored_tokens *t, const size_t *valid, void *const *state);
/* Where other processes read some of the layers (relay.h), what talks to them; else NULL. Such a reader does not
 * predict. */
relay_stream *reader_relay(const reader *r);
/* From now on compute everything. */
void reader_read_all(reader *r);
/* Of a lane's tokens that only were to be read, those whose lowest layers were known (reuse.h), as the part of
 * their FLOPs that these take. */
double reader_reused(const reader *r, size_t lane);
/* Read one segment; the logits [lanes, vocab] after each lane's token in `row`, valid until the next call. */
const real *reader_predict(reader *r, const int32_t *tokens, const size_t *valid, void *const *state, size_t row);

#endif
