/* A model whose layers several processes read, each its own: the pipeline of reader.h over processes. Rank 0 has
 * the streams; what it asks of the others goes from rank to rank, with what each one's layers leave of a segment.
 * The bits are those of one process. */
#ifndef PAL_RELAY_H
#define PAL_RELAY_H

#include "models/decoder/pass.h"

/* How bytes get from one process to another. Both return when `data` may be used again. */
typedef struct relay_link {
    size_t rank, count;
    int (*send)(void *arg, size_t to, const void *data, size_t bytes, pal_error *err);
    int (*receive)(void *arg, size_t from, void *data, size_t bytes, pal_error *err);
    void *arg;
} relay_link;

typedef struct relay relay;

/* The layers of `d` that rank `rank` of `count` reads (decoder_take_layers), before its weights are read.
 * PAL_USAGE: it has fewer layers than there are ranks, or a recurrence, which wants a segment's end before the
 * next begins. */
int relay_take_layers(decoder *d, size_t rank, size_t count, const char *name, pal_error *err);

/* Every rank names the same models in the same order. From now on streams of rank 0 on them need the others. */
int relay_create(relay **out, const relay_link *link, decoder *const *model, size_t models, pal_error *err);
/* Rank 0: the others stop serving. */
void relay_destroy(relay *r);
/* Other ranks: do what rank 0 asks, until its relay is destroyed. */
int relay_serve(relay *r, pool *workers, pal_error *err);

/* ---- A stream of rank 0 (stream.c) ---- */

typedef struct relay_stream relay_stream;

size_t relay_stream_bytes(const decoder *d, size_t workers, size_t lanes);
int relay_stream_create(relay_stream **out, const decoder *d, pool *workers, size_t lanes, pal_error *err);
void relay_stream_destroy(relay_stream *s);
/* As reader_read. */
void relay_read(relay_stream *s, size_t segments, const scored_tokens *t, const size_t *valid, void *const *state);
/* Make room for relay_step: once. PAL_USAGE: the model's attention cannot. */
int relay_allow_writing(relay_stream *s, pal_error *err);
/* As stepper_read. */
const real *relay_step(relay_stream *s, const int32_t *tokens, size_t stride, size_t first, size_t count,
                       void *const *state);
/* Of each lane's state rank 0 holds the header and its own layers. Empty it, counting `seen` tokens. */
void relay_reset(relay_stream *s, size_t lane, void *state, uint64_t seen);
/* The whole block to `out`, or out of `in`. */
void relay_pull(relay_stream *s, size_t lane, const void *state, void *out);
void relay_push(relay_stream *s, size_t lane, const void *in, void *state);
/* Whether all ranks' parts hold finite numbers alone. */
int relay_finite(relay_stream *s, size_t lane, const void *state);
/* What went wrong first in talking to the others; after it nothing that a stream hands out is valid. */
int relay_check(const relay_stream *s, pal_error *err);

#endif
