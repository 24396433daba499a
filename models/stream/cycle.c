/* Finds streams whose states repeat, so that segments known already are not computed again.
 * Whole states are compared, after Brent (1980). */
#include "models/stream/cycle.h"
#include "models/decoder/state.h"

#include <string.h>

void cycle_carve(cycle *c, const decoder *d, size_t lanes, arena *a)
{
    *c = (cycle){.lanes = lanes, .n = (size_t)decoder_config(d)->segment, .bytes = decoder_state_bytes(d)};
    if (decoder_settles(d) == UINT64_MAX) return;
    c->d = d;
    c->anchor = arena_bytes(a, lanes * c->bytes);
    c->tokens = arena_bytes(a, CYCLE_SEGMENTS * lanes * c->n * sizeof *c->tokens);
}

static int32_t *segment_at(const cycle *c, size_t index)
{
    return c->tokens + index * c->lanes * c->n;
}

static state_header *anchor_header(const cycle *c, size_t lane)
{
    return (state_header *)(c->anchor + lane * c->bytes);
}

static int at_anchor(const cycle *c, void *const *state)
{
    const size_t head = sizeof(state_header); /* counts tokens */
    for (size_t lane = 0; lane < c->lanes; lane++)
        if (memcmp((char *)state[lane] + head, c->anchor + lane * c->bytes + head, c->bytes - head) != 0) return 0;
    return 1;
}

/* Each anchor waits twice as long as the one before. */
static void drop_anchor(cycle *c, void *const *state)
{
    const uint64_t least = decoder_settles(c->d);
    c->patience = !c->anchored ? 1 : c->patience < CYCLE_SEGMENTS ? 2 * c->patience : CYCLE_SEGMENTS;
    c->anchored = 1;
    c->length = 0;
    for (size_t lane = 0; lane < c->lanes; lane++) {
        memcpy(c->anchor + lane * c->bytes, state[lane], c->bytes);
        if (anchor_header(c, lane)->seen < least) c->anchored = 0;
    }
}

int cycle_passes(cycle *c, const int32_t *tokens, size_t stride)
{
    if (!c->closed) return 0;
    for (size_t lane = 0; lane < c->lanes; lane++)
        if (memcmp(tokens + lane * stride, segment_at(c, c->phase) + lane * c->n, c->n * sizeof *tokens) != 0)
            return 0;
    c->phase = (c->phase + 1) % c->length;
    c->passed += c->n;
    return 1;
}

void cycle_computed(cycle *c, const int32_t *tokens, void *const *state)
{
    if (!c->d) return;
    if (!c->anchored) {
        drop_anchor(c, state);
        return;
    }
    memcpy(segment_at(c, c->length++), tokens, c->lanes * c->n * sizeof *tokens);
    if (at_anchor(c, state)) {
        c->closed = 1;
        c->phase = 0;
        c->passed = 0;
    } else if (c->length >= c->patience)
        drop_anchor(c, state);
}

size_t cycle_open(cycle *c, void *const *state, const int32_t **tokens)
{
    if (!c->closed) return 0;
    for (size_t lane = 0; lane < c->lanes; lane++) {
        anchor_header(c, lane)->seen += (c->length - c->phase) * c->n + c->passed;
        memcpy(state[lane], c->anchor + lane * c->bytes, c->bytes);
    }
    c->closed = 0;
    c->length = c->phase;
    *tokens = c->tokens;
    return c->phase;
}

void cycle_forget(cycle *c)
{
    c->anchored = c->closed = 0;
}
