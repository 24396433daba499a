/* Bump arenas: one allocation per family (weights, gradients, activations), carved in order. The same carving code
 * run on an arena without memory measures the bytes, so sizes are known before anything is allocated. */
#ifndef PAL_ARENA_H
#define PAL_ARENA_H

#include "harness/base/error.h"
#include "models/engine/real.h"

typedef struct arena {
    char *base; /* NULL while measuring */
    size_t used, capacity;
} arena;

enum { ARENA_ALIGN = 64 };

/* The next `count` reals, 64-byte aligned; NULL while measuring (and only then). */
real *arena_reals(arena *a, size_t count);
void *arena_bytes(arena *a, size_t bytes);
/* Give a measured arena its memory, zero-filled, and rewind it. PAL_INTERNAL if there is none; `what` names it. */
int arena_allocate(arena *a, const char *what, pal_error *err);
void arena_free(arena *a);

#endif
