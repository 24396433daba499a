/* A relay's inside, shared by relay.c (rank 0) and relay_serve.c (the others) alone: orders, and what a process
 * has of a stream. */
#ifndef PAL_RELAY_PARTS_H
#define PAL_RELAY_PARTS_H

#include "models/decoder/state.h"
#include "models/decoder/step.h"
#include "models/stream/relay.h"

typedef enum relay_op {
    RELAY_END,
    RELAY_OPEN, /* of `model`, with `lanes` */
    RELAY_CLOSE,
    RELAY_READ,   /* then valid[lanes], the targets where `scored`, and `segments` segments */
    RELAY_WRITE,  /* make room for steps */
    RELAY_STEP,   /* then `count` rows of each lane; `scored`: the logits are wanted */
    RELAY_RESET,  /* to `seen` tokens */
    RELAY_PULL,   /* the lane's state is sent to rank 0 */
    RELAY_PUSH,   /* then the whole block */
    RELAY_FINITE, /* an int32_t is sent to rank 0 */
} relay_op;

/* Goes from rank to rank, and tells the next one what follows. */
typedef struct relay_order {
    int64_t op, stream, model, lanes, lane, segments, scored, first, count;
    uint64_t seen;
} relay_order;

enum { RELAY_STREAMS = 64 };

/* A process's part of a stream. */
typedef struct station {
    const decoder *d;
    size_t lanes, rows; /* rows: lanes * N */
    size_t from, to;    /* layers */
    pool *workers;
    pass *pass;
    stepper *stepper;
    real *panels;
} station;

struct relay {
    relay_link link;
    decoder **model;
    size_t models;
    char used[RELAY_STREAMS];
    pal_error error; /* the first one */
};

int station_open(station *s, const decoder *d, pool *workers, size_t lanes, pal_error *err);
void station_close(station *s);
static inline int station_is_last(const station *s)
{
    return s->to == (size_t)decoder_config(s->d)->n_layers;
}
static inline size_t station_segment_bytes(const station *s)
{
    return s->rows * (size_t)decoder_config(s->d)->d_model * sizeof(real);
}
static inline size_t station_step_bytes(const station *s, size_t count)
{
    return s->lanes * count * (size_t)decoder_config(s->d)->d_model * sizeof(real);
}

/* After an error they do nothing. */
void relay_put(relay *r, size_t to, const void *data, size_t bytes);
void relay_get(relay *r, size_t from, void *data, size_t bytes);

#endif
