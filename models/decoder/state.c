/* Streaming state blocks: reset, checked, looked at by layer, and how far back what they hold depends on. */
#include "models/decoder/state.h"

#include "models/attention/common.h"
#include "models/decoder/layout.h"

#include <math.h>
#include <string.h>

static const char state_magic[8] = "PALSTATE";

size_t decoder_state_bytes(const decoder *d)
{
    return d->state_bytes;
}

size_t decoder_memory_bytes(const decoder *d)
{
    return d->memory_bytes;
}

size_t decoder_state_grad_reals(const decoder *d)
{
    return d->dstate_reals;
}

static void reset_layer(const decoder *d, size_t layer, char *state, uint64_t written)
{
    real *part = (real *)(state + d->layer[layer].state_offset);
    if (d->cfg.attention->state_reset)
        d->cfg.attention->state_reset(&d->inner, layer, part, written);
    else
        memset(part, 0, attn_sizes_of(&d->inner, layer, 1).state * sizeof *part);
}

static void reset_recurrence(const decoder *d, char *state)
{
    const recurrence *above = d->cfg.recurrence;
    if (!above) return;
    real *part = (real *)(state + d->recurrence_state);
    if (above->state_reset)
        above->state_reset(&d->cfg, part);
    else
        memset(part, 0, above->state_reals(&d->cfg) * sizeof *part);
}

void decoder_state_reset(const decoder *d, void *state)
{
    state_header *h = state;
    pal_error ignored;
    uint64_t written = UINT64_MAX;
    if (decoder_state_check(d, state, &ignored) == PAL_OK)
        written = h->seen;
    else
        memset(state, 0, d->state_bytes); /* padding too: blocks are compared and hashed */
    memcpy(h->magic, state_magic, sizeof h->magic);
    h->bytes = d->state_bytes;
    h->seen = 0;
    h->shape = d->shape_hash;
    for (size_t l = 0; l < (size_t)d->cfg.n_layers; l++) reset_layer(d, l, (char *)state, written);
    reset_recurrence(d, (char *)state);
}

void decoder_state_range(const decoder *d, size_t from, size_t to, size_t *begin, size_t *end)
{
    const size_t layers = (size_t)d->cfg.n_layers;
    *begin = from < layers ? d->layer[from].state_offset : d->state_bytes;
    *end = to < layers ? d->layer[to].state_offset : d->state_bytes;
}

void decoder_state_reset_layers(const decoder *d, void *state, size_t from, size_t to, uint64_t seen)
{
    state_header *h = state;
    pal_error ignored;
    size_t begin, end;
    uint64_t written = UINT64_MAX;
    decoder_state_range(d, from, to, &begin, &end);
    if (decoder_state_check(d, state, &ignored) == PAL_OK)
        written = h->seen;
    else
        memset((char *)state + begin, 0, end - begin);
    *h = (state_header){.bytes = d->state_bytes, .seen = seen, .shape = d->shape_hash};
    memcpy(h->magic, state_magic, sizeof h->magic);
    for (size_t l = from; l < to; l++) reset_layer(d, l, (char *)state, written);
}

int decoder_state_finite(const decoder *d, const void *state, size_t from, size_t to)
{
    size_t begin, end;
    decoder_state_range(d, from, to, &begin, &end);
    const real *value = (const real *)((const char *)state + begin);
    for (size_t i = 0; i < (end - begin) / sizeof *value; i++)
        if (!isfinite((double)value[i])) return 0;
    return 1;
}

const real *decoder_layer_state(const decoder *d, const void *state, size_t layer)
{
    return (const real *)((const char *)state + d->layer[layer].state_offset);
}

size_t decoder_state_parts(const decoder *d, size_t layer, state_part *part)
{
    const attn_module *attn = d->cfg.attention;
    if (attn->state_parts) return attn->state_parts(&d->cfg, layer, part);
    const size_t all = attn_sizes_of(&d->inner, layer, 1).state;
    part[0] = (state_part){"state", 0, 1, all, all};
    return all > 0;
}

uint64_t decoder_reach(const decoder *d)
{
    const uint64_t segment = (uint64_t)d->cfg.segment;
    uint64_t segments = 0;
    if (d->cfg.recurrence) return UINT64_MAX;
    for (size_t l = 0; l < (size_t)d->cfg.n_layers; l++) {
        const attn_sizes sizes = attn_sizes_of(&d->inner, l, 1);
        if (sizes.reach == ATTN_ENDLESS || sizes.first > 0) return UINT64_MAX;
        segments += ((uint64_t)sizes.reach + segment - 1) / segment;
    }
    return segments * segment;
}

uint64_t decoder_settles(const decoder *d)
{
    uint64_t most = 0;
    if (d->cfg.recurrence) return UINT64_MAX;
    for (size_t l = 0; l < (size_t)d->cfg.n_layers; l++) {
        const int64_t settles = attn_sizes_of(&d->inner, l, 1).settles;
        if (settles == 0) return UINT64_MAX;
        if ((uint64_t)settles > most) most = (uint64_t)settles;
    }
    return most;
}

size_t decoder_shallow(const decoder *d, uint64_t *settles, size_t *bytes)
{
    const size_t layers = (size_t)d->cfg.n_layers;
    *settles = *bytes = 0;
    if (d->cfg.recurrence) return 0;
    for (size_t l = 0; l < layers; l++) {
        const attn_sizes sizes = attn_sizes_of(&d->inner, l, 1);
        if (sizes.reach == ATTN_ENDLESS || sizes.reach > d->cfg.segment) {
            *bytes = d->layer[l].state_offset - d->layer[0].state_offset;
            return l;
        }
        if (sizes.settles == 0) return 0;
        if ((uint64_t)sizes.settles > *settles) *settles = (uint64_t)sizes.settles;
    }
    return 0;
}

void decoder_state_skip(const decoder *d, void *state, uint64_t seen)
{
    decoder_state_reset(d, state);
    ((state_header *)state)->seen = seen;
}

void decoder_state_repeat(const decoder *d, void *state, double times)
{
    const attn_module *attention = d->cfg.attention;
    if (!attention->state_repeat) return;
    for (size_t l = 0; l < (size_t)d->cfg.n_layers; l++)
        attention->state_repeat(&d->cfg, l, (real *)((char *)state + d->layer[l].state_offset), times);
}

/* A layer's reals [begin, end); what carries a gradient comes first (attention.h). */
static void copy_reals(const decoder *d, size_t layer, char *to, const char *from, size_t begin, size_t end)
{
    const size_t at = d->layer[layer].state_offset + begin * sizeof(real);
    memcpy(to + at, from + at, (end - begin) * sizeof(real));
}

void decoder_state_copy_memory(const decoder *d, void *to, const void *from)
{
    for (size_t l = 0; l < (size_t)d->cfg.n_layers; l++)
        copy_reals(d, l, to, from, 0, attn_sizes_of(&d->inner, l, 1).state_grad);
}

void decoder_state_copy_caches(const decoder *d, void *to, const void *from)
{
    for (size_t l = 0; l < (size_t)d->cfg.n_layers; l++) {
        const attn_sizes sizes = attn_sizes_of(&d->inner, l, 1);
        copy_reals(d, l, to, from, sizes.state_grad, sizes.state);
    }
    ((state_header *)to)->seen = ((const state_header *)from)->seen;
}

uint64_t decoder_state_age(const decoder *d, void *state, uint64_t age)
{
    const attn_module *attention = d->cfg.attention;
    state_header *h = state;
    if (!attention->state_age || h->seen >= age) return h->seen;
    for (size_t l = 0; l < (size_t)d->cfg.n_layers; l++)
        attention->state_age(&d->cfg, l, (real *)((char *)state + d->layer[l].state_offset), h->seen, age);
    return h->seen = age;
}

int decoder_state_check(const decoder *d, const void *state, pal_error *err)
{
    const state_header *h = state;
    if (memcmp(h->magic, state_magic, sizeof h->magic) != 0)
        return pal_fail(err, PAL_DATA, "not a streaming state: the header is damaged; start the sample again");
    if (h->bytes != d->state_bytes || h->shape != d->shape_hash)
        return pal_fail(err, PAL_DATA,
                        "the streaming state belongs to another model or another version of this program; "
                        "start the sample again");
    return PAL_OK;
}
