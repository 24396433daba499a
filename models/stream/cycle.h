/* A stream that reads the same tokens again and again may come back to a state that it had before, to the bit: a
 * memory with write gates shut on filler does. From there on its states are known as long as the tokens go on as
 * they did, and need not be computed. Nothing is guessed: whole states are compared.
 *
 * After Brent (1980): states are compared with one anchor, which moves on when nothing has come back to it. */
#ifndef PAL_CYCLE_H
#define PAL_CYCLE_H

#include "models/decoder/decoder.h"

/* The longest cycle that is found, segments. */
enum { CYCLE_SEGMENTS = 128 };

typedef struct cycle {
    const decoder *d; /* NULL: no cycles are looked for */
    size_t lanes, n, bytes;
    char *anchor;    /* [lanes, bytes]: the states before segment 0 */
    int32_t *tokens; /* [CYCLE_SEGMENTS, lanes, n]: what was read since */
    int anchored;
    size_t patience; /* segments after which the anchor moves on */
    size_t length;   /* segments since the anchor; the cycle's once it is closed */
    int closed;
    size_t phase;    /* closed: where in the cycle the stream is */
    uint64_t passed; /* closed: tokens of a lane since then */
} cycle;

/* Carve from the arena. A decoder whose state does not say all there is to know gets no cycles. */
void cycle_carve(cycle *c, const decoder *d, size_t lanes, arena *a);
/* Whether the next segment, tokens[lane * stride + i], is known; the stream's states are then out of date. */
int cycle_passes(cycle *c, const int32_t *tokens, size_t stride);
/* The next segment [lanes, n] was computed, and left these states. */
void cycle_computed(cycle *c, const int32_t *tokens, void *const *state);
/* Bring the states up to date: the anchor's, and the segments that must be read from there, with their tokens
 * [segments][lanes, n]. Returns how many; the anchor stays. */
size_t cycle_open(cycle *c, void *const *state, const int32_t **tokens);
/* The states were changed from outside. */
void cycle_forget(cycle *c);

#endif
