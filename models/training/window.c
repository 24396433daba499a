/* Back-propagation through time over a window of segments, either keeping all activations or making each segment's
 * again from the state before it. */
#include "models/training/window.h"
#include "models/decoder/pass.h"
#include "models/decoder/state.h"

#include <stdlib.h>
#include <string.h>

struct window {
    const decoder *d;
    pass *pass;
    size_t lanes, max_segments;
    int recompute;
    arena memory;
    int32_t *tokens, *targets; /* [lanes, N] of one segment */
    float *weight;
    double *nll;
    size_t *valid;
    real **dstate;       /* [lanes] */
    void *const *before; /* [lanes, segments] states whose caches stand before each segment; NULL: their own */
    char *border;        /* recompute: [max_segments, lanes] states before each segment */
    char *replay;        /* recompute: [lanes] states that the second forward may overwrite */
    void **replay_state;
};

static size_t slots_of(size_t max_segments, int recompute)
{
    return recompute ? 1 : max_segments;
}

static void carve(window *w)
{
    arena *a = &w->memory;
    const size_t rows = w->lanes * (size_t)decoder_config(w->d)->segment, state = decoder_state_bytes(w->d);
    const size_t dstate = decoder_state_grad_reals(w->d);
    w->tokens = arena_bytes(a, rows * sizeof *w->tokens);
    w->targets = arena_bytes(a, rows * sizeof *w->targets);
    w->weight = arena_bytes(a, rows * sizeof *w->weight);
    w->nll = arena_bytes(a, rows * sizeof *w->nll);
    w->valid = arena_bytes(a, w->lanes * sizeof *w->valid);
    real **dstate_of = arena_bytes(a, w->lanes * sizeof *w->dstate);
    real *block = arena_reals(a, w->lanes * dstate);
    for (size_t lane = 0; dstate_of && lane < w->lanes; lane++) {
        dstate_of[lane] = block + lane * dstate;
        w->valid[lane] = (size_t)decoder_config(w->d)->segment;
    }
    w->dstate = dstate_of;
    if (w->recompute) {
        w->border = arena_bytes(a, w->max_segments * w->lanes * state);
        w->replay = arena_bytes(a, w->lanes * state);
        w->replay_state = arena_bytes(a, w->lanes * sizeof *w->replay_state);
        for (size_t lane = 0; w->replay && lane < w->lanes; lane++)
            w->replay_state[lane] = w->replay + lane * state;
    }
}

size_t window_bytes(const decoder *d, size_t workers, size_t lanes, size_t max_segments, int recompute)
{
    window w = {.d = d, .lanes = lanes, .max_segments = max_segments, .recompute = recompute};
    carve(&w);
    return w.memory.used + pass_bytes(d, workers, lanes, slots_of(max_segments, recompute));
}

int window_create(window **out, const decoder *d, pool *threads, size_t lanes, size_t max_segments, int recompute,
                  pal_error *err)
{
    window *w = calloc(1, sizeof *w);
    if (!w) return pal_fail(err, PAL_INTERNAL, "out of memory for the training window");
    *w = (window){.d = d, .lanes = lanes, .max_segments = max_segments, .recompute = recompute};
    carve(w);
    int code = arena_allocate(&w->memory, "the training window", err);
    if (code == PAL_OK) code = pass_create(&w->pass, d, threads, lanes, slots_of(max_segments, recompute), err);
    if (code != PAL_OK) {
        window_destroy(w);
        return code;
    }
    carve(w);
    *out = w;
    return PAL_OK;
}

void window_destroy(window *w)
{
    if (!w) return;
    pass_destroy(w->pass);
    arena_free(&w->memory);
    free(w);
}

/* Copy segment s of a [lanes, segments * N] array into a [lanes, N] one, or back. */
static void cut(const window *w, size_t segments, size_t s, const void *all, void *one, size_t element)
{
    const size_t n = (size_t)decoder_config(w->d)->segment;
    for (size_t lane = 0; lane < w->lanes; lane++)
        memcpy((char *)one + lane * n * element, (const char *)all + (lane * segments + s) * n * element,
               n * element);
}

static void paste(const window *w, size_t segments, size_t s, const void *one, void *all, size_t element)
{
    const size_t n = (size_t)decoder_config(w->d)->segment;
    for (size_t lane = 0; lane < w->lanes; lane++)
        memcpy((char *)all + (lane * segments + s) * n * element, (const char *)one + lane * n * element,
               n * element);
}

/* Whether a loss of segment s counts. */
static int is_scored(const window *w, size_t segments, size_t s, const float *weight)
{
    const size_t n = (size_t)decoder_config(w->d)->segment;
    for (size_t lane = 0; lane < w->lanes; lane++)
        for (size_t i = 0; i < n; i++)
            if (weight[(lane * segments + s) * n + i] != 0) return 1;
    return 0;
}

void window_put_caches(window *w, void *const *before)
{
    w->before = before;
    pass_leave_caches(w->pass);
}

double window_step(window *w, size_t segments, const scored_tokens *t, void *const *state, real *grad,
                   attn_penalty penalty)
{
    const size_t n = (size_t)decoder_config(w->d)->segment, bytes = decoder_state_bytes(w->d);
    const size_t rows = w->lanes * n;
    double total = 0, loss = 0;
    for (size_t i = 0; i < rows * segments; i++) total += (double)t->weight[i];
    const float share = total > 0 ? (float)(1 / total) : 0;
    penalty.share = 1 / (double)(w->lanes * segments * (size_t)decoder_config(w->d)->n_layers);
    penalty.weight /= (double)(rows * segments) * (double)decoder_config(w->d)->n_layers;

    for (size_t s = 0; s < segments; s++) {
        cut(w, segments, s, t->tokens, w->tokens, sizeof *t->tokens);
        for (size_t lane = 0; w->before && lane < w->lanes; lane++)
            decoder_state_copy_caches(w->d, state[lane], w->before[lane * segments + s]);
        if (w->recompute)
            for (size_t lane = 0; lane < w->lanes; lane++)
                memcpy(w->border + (s * w->lanes + lane) * bytes, state[lane], bytes);
        pass_forward(w->pass, w->recompute ? 0 : s, w->tokens, w->valid, state,
                     !w->recompute && is_scored(w, segments, s, t->weight));
    }
    memset(w->dstate[0], 0, w->lanes * decoder_state_grad_reals(w->d) * sizeof(real));
    for (size_t s = segments; s-- > 0;) {
        cut(w, segments, s, t->tokens, w->tokens, sizeof *t->tokens);
        cut(w, segments, s, t->targets, w->targets, sizeof *t->targets);
        cut(w, segments, s, t->weight, w->weight, sizeof *t->weight);
        if (w->recompute) {
            memcpy(w->replay, w->border + s * w->lanes * bytes, w->lanes * bytes);
            pass_forward(w->pass, 0, w->tokens, w->valid, w->replay_state, is_scored(w, segments, s, t->weight));
        }
        for (size_t i = 0; i < rows; i++) w->weight[i] *= share;
        const scored_tokens one = {.tokens = w->tokens, .targets = w->targets, .weight = w->weight, .nll = w->nll};
        pass_backward(w->pass, w->recompute ? 0 : s, &one, w->dstate, grad, penalty);
        double part = 0;
        for (size_t i = 0; i < rows; i++) part += (double)w->weight[i] * w->nll[i];
        loss += part;
        if (t->nll) paste(w, segments, s, w->nll, t->nll, sizeof *t->nll);
    }
    return loss;
}
