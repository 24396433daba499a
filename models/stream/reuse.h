/* Texts that repeat give the layers below the first memory the same work again: what these make of a segment hangs
 * on its tokens and on their own states alone. What they made of segments that were read lately is kept: the rows
 * that enter the layer above them, and their states after it. Nothing is guessed: tokens and states are compared
 * in full. */
#ifndef PAL_REUSE_H
#define PAL_REUSE_H

#include "models/decoder/decoder.h"

/* At most so many segments are kept, in at most so many bytes. */
enum { REUSE_SEGMENTS = 32, REUSE_BYTES = 32 << 20 };

typedef struct reuse_entry {
    uint64_t hash;
    uint64_t used, filled; /* rounds; 0: never */
    int32_t *tokens;       /* [n] */
    char *before, *after;  /* of the states */
    real *rows;            /* [n, width] */
} reuse_entry;

typedef struct reuse {
    const decoder *d;
    size_t layers;    /* so many lowest ones; 0: nothing is kept */
    uint64_t settles; /* tokens that a lane must have read before */
    size_t n, width, state;
    size_t count; /* entries */
    reuse_entry *entry;
    uint64_t round;
} reuse;

/* Carve from the arena; run twice. A model without such layers, or with too large ones, keeps nothing. */
void reuse_carve(reuse *u, const decoder *d, arena *a);
/* Entries that were claimed before this call may be overwritten from now on. */
void reuse_begin(reuse *u);
/* The entry of a lane's next segment. Not *known: to be filled by reuse_store; NULL: nothing is kept of it. */
reuse_entry *reuse_claim(reuse *u, const int32_t *tokens, const void *state, int *known);
/* From the entry to the lane's rows, [n, width], and its state; and back. Lanes may do so side by side. */
void reuse_recall(const reuse *u, const reuse_entry *e, real *rows, void *state);
void reuse_store(const reuse *u, reuse_entry *e, const real *rows, const void *state);
/* The part of a token's FLOPs that these layers take where it is only read. */
double reuse_part(const reuse *u);

#endif
