/* One block of memory carved into aligned arrays: sizes are added up first, then allocated once.
 * Nothing is allocated while a model runs. */
#include "models/engine/arena.h"

#include <stdlib.h>
#include <string.h>

#include "harness/base/os.h"

void *arena_bytes(arena *a, size_t bytes)
{
    char *result = a->base ? a->base + a->used : NULL;
    a->used += (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (a->base && a->used > a->capacity) abort(); /* carved more than was measured: a bug, not an input */
    return result;
}

real *arena_reals(arena *a, size_t count)
{
    return arena_bytes(a, count * sizeof(real));
}

int arena_allocate(arena *a, const char *what, pal_error *err)
{
    a->capacity = a->used;
    a->used = 0;
    a->base = os_allocate(a->capacity ? a->capacity : ARENA_ALIGN);
    if (!a->base)
        return pal_fail(err, PAL_INTERNAL, "out of memory: %s needs %zu MiB; lower the batch or the window", what,
                        a->capacity >> 20);
    memset(a->base, 0, a->capacity);
    return PAL_OK;
}

void arena_free(arena *a)
{
    free(a->base);
    *a = (arena){0};
}
