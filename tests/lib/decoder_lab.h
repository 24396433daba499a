/* A small decoder with a training window around it, and its gradients against finite differences. Shared by the
 * suites that take a whole decoder. */
#ifndef PAL_TEST_DECODER_LAB_H
#define PAL_TEST_DECODER_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "models/decoder/config_keys.h"
#include "models/decoder/state.h"
#include "models/stream/stream.h"
#include "models/training/window.h"
#include "tests/lib/use_blas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef PAL_DOUBLE
static const double gradient_tolerance = 1e-6, gradient_floor = 1e-3, step_size = 1e-5,
                    probability_tolerance = 1e-12;
#else
/* Rounding of a float's loss hides what is below the floor on a core without fused products; doubles see it. */
static const double gradient_tolerance = 2e-3, gradient_floor = 5e-3, step_size = 1e-2,
                    probability_tolerance = 1e-5;
#endif

enum { N = 16, VOCAB = 29, LANES = 2, SEGMENTS = 3 };

/* `settings`: lines that override the keys below. */
static inline model_config small_config_with(const char *attention, const char *settings)
{
    static const char *const keys[][2] = {{"vocab", "29"},   {"d_model", "24"},   {"n_layers", "2"},
                                          {"n_heads", "3"},  {"d_head", "8"},     {"d_ff", "40"},
                                          {"segment", "16"}, {"init_std", "0.15"}};
    pal_error err;
    kv_pairs pairs = {0};
    assert_int_equal(kv_pairs_add(&pairs, "attention", attention, "test", &err), PAL_OK);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(kv_pairs_add(&pairs, keys[i][0], keys[i][1], "test", &err), PAL_OK);
    assert_int_equal(kv_pairs_parse(&pairs, settings, "test", &err), PAL_OK);
    model_config cfg;
    if (model_config_read(&cfg, &pairs, &err) != PAL_OK) fail_msg("%s", err.text);
    kv_pairs_free(&pairs);
    return cfg;
}

static inline model_config small_config(const char *attention)
{
    return small_config_with(attention, "");
}

typedef struct bench {
    decoder *d;
    pool *pool;
    window *window;
    void *state[LANES];
    int32_t tokens[LANES * SEGMENTS * N], targets[LANES * SEGMENTS * N];
    float weight[LANES * SEGMENTS * N];
    double nll[LANES * SEGMENTS * N];
    real *grad;
} bench;

/* trains: which tensors learn, by their name; NULL: all. */
static inline void open_frozen_bench(bench *b, const model_config *cfg, int threads, int recompute,
                                     int (*trains)(void *, const decoder_param *))
{
    pal_error err;
    use_blas();
    assert_int_equal(pool_create(&b->pool, threads, &err), PAL_OK);
    assert_int_equal(decoder_create(&b->d, cfg, &err), PAL_OK);
    decoder_init(b->d, 5);
    /* Norms and gates start at constants; move them so that their gradients are general. */
    rng r = rng_make(9, "test/jitter", 0, 0);
    for (size_t i = 0; i < decoder_weight_reals(b->d); i++)
        decoder_weights(b->d)[i] += (real)(0.05 * rng_normal(&r));
    if (trains) assert_true(decoder_train_only(b->d, trains, NULL) > 0);
    assert_int_equal(window_create(&b->window, b->d, b->pool, LANES, SEGMENTS, recompute, &err), PAL_OK);
    for (int lane = 0; lane < LANES; lane++) {
        b->state[lane] = aligned_alloc(64, decoder_state_bytes(b->d));
        memset(b->state[lane], 0, decoder_state_bytes(b->d));
    }
    for (int i = 0; i < LANES * SEGMENTS * N; i++) {
        b->tokens[i] = (int32_t)rng_below(&r, VOCAB);
        b->targets[i] = (int32_t)rng_below(&r, VOCAB);
        b->weight[i] = (float)rng_below(&r, 4) / 3;
    }
    b->grad = aligned_alloc(64, decoder_weight_reals(b->d) * sizeof(real) + 64);
}

static inline void open_bench(bench *b, const model_config *cfg, int threads, int recompute)
{
    open_frozen_bench(b, cfg, threads, recompute, NULL);
}

static inline void close_bench(bench *b)
{
    for (int lane = 0; lane < LANES; lane++) free(b->state[lane]);
    free(b->grad);
    window_destroy(b->window);
    decoder_destroy(b->d);
    pool_destroy(b->pool);
}

static const attn_penalty no_penalty = {0};

static inline double run_window(bench *b, attn_penalty penalty)
{
    for (int lane = 0; lane < LANES; lane++) decoder_state_reset(b->d, b->state[lane]);
    memset(b->grad, 0, decoder_weight_reals(b->d) * sizeof(real));
    const scored_tokens t = {.tokens = b->tokens, .targets = b->targets, .weight = b->weight, .nll = b->nll};
    return window_step(b->window, SEGMENTS, &t, b->state, b->grad, penalty);
}

/* Central difference of the loss along a random direction within one tensor, against the gradient's projection. */
static inline void check_tensor(bench *b, const real *grad, const decoder_param *p)
{
    const size_t count = decoder_param_elements(p);
    real *w = decoder_weights(b->d) + p->offset;
    real *keep = malloc(count * sizeof *keep), *direction = malloc(count * sizeof *direction);
    memcpy(keep, w, count * sizeof *keep);
    rng r = rng_make(3, p->name, 0, 0);
    double expected = 0, norm = 0, grad_norm = 0;
    for (size_t i = 0; i < count; i++) {
        direction[i] = (real)rng_normal(&r);
        norm += (double)direction[i] * (double)direction[i];
        expected += (double)direction[i] * (double)grad[p->grad + i];
        grad_norm += (double)grad[p->grad + i] * (double)grad[p->grad + i];
    }
    const double h = step_size / sqrt(norm);
    double side[2];
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; i < count; i++) w[i] = (real)((double)keep[i] + (s ? -h : h) * (double)direction[i]);
        side[s] = run_window(b, no_penalty);
    }
    memcpy(w, keep, count * sizeof *keep);
    const double measured = (side[0] - side[1]) / (2 * h) / sqrt(norm), projected = expected / sqrt(norm);
    /* A random direction sees about |grad| / sqrt(count) of the gradient: that is the scale of the error. */
    const double scale = sqrt(grad_norm) + gradient_floor;
    if (fabs(measured - projected) > gradient_tolerance * scale)
        fail_msg("%s: finite difference %.9g, gradient %.9g (norm %.3g)", p->name, measured, projected,
                 sqrt(grad_norm));
    free(keep);
    free(direction);
}

/* Every tensor that learns. */
static inline void check_gradients(bench *b)
{
    run_window(b, no_penalty);
    real *grad = malloc(decoder_weight_reals(b->d) * sizeof *grad);
    memcpy(grad, b->grad, decoder_weight_reals(b->d) * sizeof *grad);
    for (size_t i = 0; i < decoder_param_count(b->d); i++)
        if (decoder_param_at(b->d, i)->grad != PARAM_FROZEN) check_tensor(b, grad, decoder_param_at(b->d, i));
    free(grad);
}

#endif
