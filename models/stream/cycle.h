/* A stream that reads the same tokens again and again may come back to a state that it had before, to the bit: a
 * memory with write gates shut on filler does. From there on its states are known as long as the tokens go on as
 * they did, and need not be computed. Nothing is guessed: whole states are compared.
 *
 * After Brent (1980): states are compared with one anchor, which moves on when nothing has come back to it. Hashes
 * of the last states say early that there is a cycle, and how long it is. */
#ifndef PAL_CYCLE_H
#define PAL_CYCLE_H

#include "models/decoder/decoder.h"

/* The longest cycle that is found, segments. */
enum { CYCLE_SEGMENTS = 128 };

/* Of one lane. */
typedef struct cycle {
    const decoder *d; /* NULL: no cycles are looked for */
    size_t n, bytes;
    char *anchor;    /* the state before segment 0 */
    int32_t *tokens; /* [CYCLE_SEGMENTS, n]: what was read since */
    int anchored;
    uint64_t hash[CYCLE_SEGMENTS]; /* of the state after computed segment i at i mod CYCLE_SEGMENTS, */
    uint64_t computed;             /* of so many */
    size_t patience;               /* segments after which the anchor moves on */
    size_t length;                 /* segments since the anchor; the cycle's once it is closed */
    int closed;
    size_t phase;    /* closed: where in the cycle the stream is */
    uint64_t passed; /* closed: tokens since then */
} cycle;

/* Carve from the arena. A decoder whose state does not say all there is to know gets no cycles. */
void cycle_carve(cycle *c, const decoder *d, arena *a);
/* Whether the next segment, tokens[n], is known; the lane's state is then out of date. */
int cycle_passes(cycle *c, const int32_t *tokens);
/* The next segment, tokens[n], was computed, and left this state. */
void cycle_computed(cycle *c, const int32_t *tokens, const void *state);
/* Bring the state up to date: the anchor's, and the segments that must be read from there, with their tokens
 * [segments, n]. Returns how many; the anchor stays. */
size_t cycle_open(cycle *c, void *state, const int32_t **tokens);
/* The state was changed from outside. */
void cycle_forget(cycle *c);

#endif
