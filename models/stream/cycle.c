/* Finds streams whose states repeat, so that segments known already are not computed again.
 * Whole states are compared, after Brent (1980). */
#include "models/stream/cycle.h"
#include "models/decoder/state.h"

#include "harness/base/hash.h"

#include <string.h>

void cycle_carve(cycle *c, const decoder *d, arena *a)
{
    *c = (cycle){.n = (size_t)decoder_config(d)->segment, .bytes = decoder_state_bytes(d)};
    if (decoder_settles(d) == UINT64_MAX) return;
    c->d = d;
    c->anchor = arena_bytes(a, c->bytes);
    c->tokens = arena_bytes(a, CYCLE_SEGMENTS * c->n * sizeof *c->tokens);
}

static state_header *anchor_header(const cycle *c)
{
    return (state_header *)c->anchor;
}

static int at_anchor(const cycle *c, const void *state)
{
    const size_t head = sizeof(state_header); /* counts tokens */
    return memcmp((const char *)state + head, c->anchor + head, c->bytes - head) == 0;
}

/* Each anchor waits twice as long as the one before. */
static void drop_anchor(cycle *c, const void *state)
{
    c->patience = !c->anchored ? 1 : c->patience < CYCLE_SEGMENTS ? 2 * c->patience : CYCLE_SEGMENTS;
    c->length = 0;
    memcpy(c->anchor, state, c->bytes);
    c->anchored = anchor_header(c)->seen >= decoder_settles(c->d);
}

/* Segments since the state had this hash the last time; 0: not lately. */
static size_t length_of(cycle *c, const void *state)
{
    const size_t head = sizeof(state_header);
    const uint64_t hash = hash_quick(HASH_FNV_BEGIN, (const char *)state + head, c->bytes - head);
    const uint64_t known = c->computed < CYCLE_SEGMENTS ? c->computed : CYCLE_SEGMENTS;
    size_t length = 1;
    while (length <= known && c->hash[(c->computed - length) % CYCLE_SEGMENTS] != hash) length++;
    c->hash[c->computed++ % CYCLE_SEGMENTS] = hash;
    return length <= known ? length : 0;
}

int cycle_passes(cycle *c, const int32_t *tokens)
{
    if (!c->closed || memcmp(tokens, c->tokens + c->phase * c->n, c->n * sizeof *tokens) != 0) return 0;
    c->phase = (c->phase + 1) % c->length;
    c->passed += c->n;
    return 1;
}

void cycle_computed(cycle *c, const int32_t *tokens, const void *state)
{
    if (!c->d) return;
    const size_t length = length_of(c, state);
    if (!c->anchored) {
        drop_anchor(c, state);
        return;
    }
    if (length > c->patience) c->patience = length;
    memcpy(c->tokens + c->length++ * c->n, tokens, c->n * sizeof *tokens);
    if (at_anchor(c, state)) {
        c->closed = 1;
        c->phase = 0;
        c->passed = 0;
    } else if (c->length >= c->patience || (length > 0 && length < c->length)) {
        drop_anchor(c, state); /* or the anchor lies before the cycle */
        if (length > c->patience) c->patience = length;
    }
}

size_t cycle_open(cycle *c, void *state, const int32_t **tokens)
{
    if (!c->closed) return 0;
    /* Back at the anchor, a round may be part of a longer one: of a state that stays while the tokens change. */
    const size_t kept = c->phase > 0 || c->length == CYCLE_SEGMENTS ? c->phase : c->length;
    state_header *anchor = anchor_header(c);
    anchor->seen += (c->length - c->phase) * c->n + c->passed;
    memcpy(state, c->anchor, c->bytes);
    anchor->seen -= (kept - c->phase) * c->n;
    c->closed = 0;
    c->length = kept;
    *tokens = c->tokens;
    return c->phase;
}

void cycle_forget(cycle *c)
{
    c->anchored = c->closed = 0;
    c->computed = 0;
}
