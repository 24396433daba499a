/* Keeps what the lowest layers made of segments that were read lately; the least recently used one makes room. */
#include "models/stream/reuse.h"
#include "models/decoder/state.h"

#include "harness/base/hash.h"

#include <string.h>

/* Fewer are not worth the comparing: a text's period and a segment's length meet after a few. */
enum { LEAST_SEGMENTS = 4 };

static const char *states_of(const reuse *u, const void *state)
{
    return (const char *)decoder_layer_state(u->d, state, 0);
}

void reuse_carve(reuse *u, const decoder *d, arena *a)
{
    *u = (reuse){.d = d, .n = (size_t)decoder_config(d)->segment, .width = (size_t)decoder_config(d)->d_model};
    u->layers = decoder_shallow(d, &u->settles, &u->state);
    if (u->layers == 0) return;
    const size_t each = u->n * (sizeof(int32_t) + u->width * sizeof(real)) + 2 * u->state;
    u->count = REUSE_BYTES / each < REUSE_SEGMENTS ? REUSE_BYTES / each : REUSE_SEGMENTS;
    if (u->count < LEAST_SEGMENTS) {
        u->layers = u->count = 0;
        return;
    }
    u->entry = arena_bytes(a, u->count * sizeof *u->entry);
    for (size_t i = 0; i < u->count; i++) {
        reuse_entry e = {0};
        e.tokens = arena_bytes(a, u->n * sizeof *e.tokens);
        e.before = arena_bytes(a, u->state);
        e.after = arena_bytes(a, u->state);
        e.rows = arena_reals(a, u->n * u->width);
        if (u->entry) u->entry[i] = e;
    }
}

void reuse_begin(reuse *u)
{
    u->round++;
}

static int holds(const reuse *u, const reuse_entry *e, uint64_t hash, const int32_t *tokens, const char *states)
{
    return e->used > 0 && e->hash == hash && memcmp(e->tokens, tokens, u->n * sizeof *tokens) == 0 &&
           memcmp(e->before, states, u->state) == 0;
}

reuse_entry *reuse_claim(reuse *u, const int32_t *tokens, const void *state, int *known)
{
    const state_header *header = state;
    const char *states = states_of(u, state);
    reuse_entry *oldest = NULL;
    *known = 0;
    if (header->seen < u->settles) return NULL;
    const uint64_t hash = hash_quick(hash_quick(HASH_FNV_BEGIN, tokens, u->n * sizeof *tokens), states, u->state);
    for (size_t i = 0; i < u->count; i++) {
        reuse_entry *e = &u->entry[i];
        if (holds(u, e, hash, tokens, states)) {
            *known = e->filled > 0;
            e->used = u->round;
            return *known ? e : NULL; /* else another lane of this round fills it */
        }
        if (e->used < u->round && (!oldest || e->used < oldest->used)) oldest = e;
    }
    if (!oldest) return NULL;
    oldest->hash = hash;
    oldest->used = u->round;
    oldest->filled = 0;
    memcpy(oldest->tokens, tokens, u->n * sizeof *tokens);
    memcpy(oldest->before, states, u->state);
    return oldest;
}

void reuse_recall(const reuse *u, const reuse_entry *e, real *rows, void *state)
{
    memcpy(rows, e->rows, u->n * u->width * sizeof *rows);
    memcpy((char *)state + (states_of(u, state) - (const char *)state), e->after, u->state);
}

void reuse_store(const reuse *u, reuse_entry *e, const real *rows, const void *state)
{
    memcpy(e->rows, rows, u->n * u->width * sizeof *rows);
    memcpy(e->after, states_of(u, state), u->state);
    e->filled = u->round;
}

double reuse_part(const reuse *u)
{
    const double context = (double)u->n / 2;
    double below = 0;
    for (size_t l = 0; l < u->layers; l++) below += decoder_layer_flops(u->d, l, context);
    return u->layers ? below / decoder_flops(u->d, context, 0) : 0;
}
