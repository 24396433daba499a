/* The decoder as a whole: gradients through a window of segments, streaming, state, determinism. Runs for every
 * row of attn_table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "models/stream/stream.h"
#include "models/training/window.h"
#include "tests/lib/use_blas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef PAL_DOUBLE
static const double gradient_tolerance = 1e-6, step_size = 1e-5, probability_tolerance = 1e-12;
#else
static const double gradient_tolerance = 2e-3, step_size = 1e-2, probability_tolerance = 1e-5;
#endif

enum { N = 16, VOCAB = 29, LANES = 2, SEGMENTS = 3 };

static model_config small_config(const char *attention)
{
    static const char *const keys[][2] = {{"vocab", "29"},   {"d_model", "24"},   {"n_layers", "2"},
                                          {"n_heads", "3"},  {"d_head", "8"},     {"d_ff", "40"},
                                          {"segment", "16"}, {"init_std", "0.15"}};
    pal_error err;
    kv_pairs pairs = {0};
    assert_int_equal(kv_pairs_add(&pairs, "attention", attention, "test", &err), PAL_OK);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(kv_pairs_add(&pairs, keys[i][0], keys[i][1], "test", &err), PAL_OK);
    model_config cfg;
    if (model_config_read(&cfg, &pairs, &err) != PAL_OK) fail_msg("%s", err.text);
    kv_pairs_free(&pairs);
    return cfg;
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

static void open_bench(bench *b, const model_config *cfg, int threads, int recompute)
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

static void close_bench(bench *b)
{
    for (int lane = 0; lane < LANES; lane++) free(b->state[lane]);
    free(b->grad);
    window_destroy(b->window);
    decoder_destroy(b->d);
    pool_destroy(b->pool);
}

static const attn_penalty no_penalty = {0, 0};

static double run_window(bench *b, attn_penalty penalty)
{
    for (int lane = 0; lane < LANES; lane++) decoder_state_reset(b->d, b->state[lane]);
    memset(b->grad, 0, decoder_weight_reals(b->d) * sizeof(real));
    return window_step(b->window, SEGMENTS, b->tokens, b->targets, b->weight, b->state, b->grad, penalty, b->nll);
}

/* Central difference of the loss along a random direction within one tensor, against the gradient's projection. */
static void check_tensor(bench *b, const real *grad, const decoder_param *p)
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
        expected += (double)direction[i] * (double)grad[p->offset + i];
        grad_norm += (double)grad[p->offset + i] * (double)grad[p->offset + i];
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
    const double scale = sqrt(grad_norm) + 1e-3;
    if (fabs(measured - projected) > gradient_tolerance * scale)
        fail_msg("%s: finite difference %.9g, gradient %.9g (norm %.3g)", p->name, measured, projected,
                 sqrt(grad_norm));
    free(keep);
    free(direction);
}

/* Modules whose state carries a gradient are differentiable through the whole window. The others stop it at the
 * cache on purpose; test_attention.c checks those within its borders. */
static void gradients_through_three_segments(void **unused)
{
    (void)unused;
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        int stops = 0;
        for (size_t l = 0; l < (size_t)cfg.n_layers; l++)
            stops |= attn_sizes_of(&cfg, l, 1).state > 0 && attn_sizes_of(&cfg, l, 1).state_grad == 0;
        if (stops) continue;
        bench b;
        open_bench(&b, &cfg, 2, 0);
        run_window(&b, no_penalty);
        real *grad = malloc(decoder_weight_reals(b.d) * sizeof *grad);
        memcpy(grad, b.grad, decoder_weight_reals(b.d) * sizeof *grad);
        for (size_t i = 0; i < decoder_param_count(b.d); i++) check_tensor(&b, grad, decoder_param_at(b.d, i));
        free(grad);
        close_bench(&b);
    }
}

static void recompute_threads_same_bits(void **unused)
{
    (void)unused;
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench a, b;
        open_bench(&a, &cfg, 1, 0);
        open_bench(&b, &cfg, 2, 1);
        const attn_penalty penalty = {0.1, 0};
        const double loss_a = run_window(&a, penalty), loss_b = run_window(&b, penalty);
        assert_memory_equal(&loss_a, &loss_b, sizeof loss_a);
        assert_memory_equal(a.nll, b.nll, sizeof a.nll);
        for (size_t i = 0; i < decoder_param_count(a.d); i++) {
            const decoder_param *p = decoder_param_at(a.d, i);
            if (memcmp(a.grad + p->offset, b.grad + p->offset, decoder_param_elements(p) * sizeof(real)) != 0)
                fail_msg("%s: gradient of %s differs", (*m)->name, p->name);
        }
        for (int lane = 0; lane < LANES; lane++)
            assert_memory_equal(a.state[lane], b.state[lane], decoder_state_bytes(a.d));
        close_bench(&a);
        close_bench(&b);
    }
}

static void zero_weights_are_uniform(void **unused)
{
    (void)unused;
    const model_config cfg = small_config("local");
    bench b;
    open_bench(&b, &cfg, 1, 0);
    memset(decoder_weights(b.d), 0, decoder_weight_reals(b.d) * sizeof(real));
    run_window(&b, no_penalty);
    for (int i = 0; i < LANES * SEGMENTS * N; i++)
        assert_float_equal(b.nll[i], log(VOCAB), probability_tolerance * 10);
    close_bench(&b);
}

static void weighted_loss_is_the_mean(void **unused)
{
    (void)unused;
    const model_config cfg = small_config("infini-linear");
    bench b;
    open_bench(&b, &cfg, 1, 0);
    const double loss = run_window(&b, no_penalty);
    double sum = 0, total = 0;
    for (int i = 0; i < LANES * SEGMENTS * N; i++) {
        sum += (double)b.weight[i] * b.nll[i];
        total += (double)b.weight[i];
    }
    assert_float_equal(loss, sum / total, 1e-5);
    close_bench(&b);
}

/* ---- streams ---- */

enum { STREAM_TOKENS = 5 * N + 7 };

typedef struct scores {
    double nll[LANES][STREAM_TOKENS];
    int32_t argmax[LANES][STREAM_TOKENS];
    int count[LANES];
} scores;

static void collect(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    scores *s = arg;
    s->nll[lane][position] = nll;
    s->argmax[lane][position] = argmax;
    s->count[lane]++;
}

static void read_text(int32_t *tokens)
{
    rng r = rng_make(4, "test/text", 0, 0);
    for (int i = 0; i < LANES * STREAM_TOKENS; i++) tokens[i] = (int32_t)rng_below(&r, VOCAB);
}

static void run_stream(const decoder *d, pool *p, size_t lanes, const int32_t *tokens, size_t piece, uint64_t from,
                       scores *out)
{
    pal_error err;
    stream *s;
    assert_int_equal(stream_create(&s, d, p, lanes, &err), PAL_OK);
    memset(out, 0, sizeof *out);
    for (size_t done = 0; done < STREAM_TOKENS; done += piece) {
        const size_t take = STREAM_TOKENS - done < piece ? STREAM_TOKENS - done : piece;
        stream_feed(s, tokens + done, STREAM_TOKENS, take, from, collect, out);
    }
    stream_flush(s, from, collect, out);
    stream_destroy(s);
}

static void stream_bits_do_not_depend_on_cuts_lanes_or_scoring(void **unused)
{
    (void)unused;
    int32_t tokens[LANES * STREAM_TOKENS];
    read_text(tokens);
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench b;
        open_bench(&b, &cfg, 2, 0);
        scores *whole = malloc(sizeof *whole), *other = malloc(sizeof *other);
        run_stream(b.d, b.pool, LANES, tokens, STREAM_TOKENS, 1, whole);
        assert_int_equal(whole->count[0], STREAM_TOKENS - 1);
        for (size_t piece = 1; piece < 40; piece += 6) {
            run_stream(b.d, b.pool, LANES, tokens, piece, 1, other);
            assert_memory_equal(whole, other, sizeof *whole);
        }
        run_stream(b.d, b.pool, 1, tokens, 11, 1, other);
        assert_memory_equal(whole->nll[0], other->nll[0], sizeof whole->nll[0]);
        const uint64_t from = STREAM_TOKENS - 9; /* segments before it are read without output */
        run_stream(b.d, b.pool, LANES, tokens, 13, from, other);
        assert_int_equal(other->count[0], 9);
        assert_memory_equal(whole->nll[0] + from, other->nll[0] + from, 9 * sizeof(double));
        free(whole);
        free(other);
        close_bench(&b);
    }
}

/* The stream's losses are those of the training window over the same tokens. */
static void stream_equals_window(void **unused)
{
    (void)unused;
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench b;
        open_bench(&b, &cfg, 2, 0);
        for (int lane = 0; lane < LANES; lane++)
            for (int i = 0; i + 1 < SEGMENTS * N; i++)
                b.targets[lane * SEGMENTS * N + i] = b.tokens[lane * SEGMENTS * N + i + 1];
        run_window(&b, no_penalty);
        pal_error err;
        stream *s;
        scores *out = calloc(1, sizeof *out);
        assert_int_equal(stream_create(&s, b.d, b.pool, LANES, &err), PAL_OK);
        stream_feed(s, b.tokens, SEGMENTS * N, SEGMENTS * N, 1, collect, out);
        stream_flush(s, 1, collect, out);
        for (int lane = 0; lane < LANES; lane++)
            assert_memory_equal(out->nll[lane] + 1, b.nll + lane * SEGMENTS * N,
                                (SEGMENTS * N - 1) * sizeof(double));
        stream_destroy(s);
        free(out);
        close_bench(&b);
    }
}

static void snapshot_resumes_to_the_same_bits(void **unused)
{
    (void)unused;
    int32_t tokens[LANES * STREAM_TOKENS];
    read_text(tokens);
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench b;
        open_bench(&b, &cfg, 1, 0);
        pal_error err;
        stream *s;
        scores *whole = malloc(sizeof *whole), *other = calloc(1, sizeof *other);
        run_stream(b.d, b.pool, LANES, tokens, STREAM_TOKENS, 1, whole);
        assert_int_equal(stream_create(&s, b.d, b.pool, LANES, &err), PAL_OK);
        const size_t cut = 2 * N + 5;
        stream_feed(s, tokens, STREAM_TOKENS, cut, 1, collect, other);
        char *kept[LANES];
        for (size_t lane = 0; lane < LANES; lane++)
            stream_save(s, lane, kept[lane] = malloc(stream_snapshot_bytes(s)));
        int32_t ahead[LANES * 20];
        stream_generate(s, 20, ahead); /* must leave no trace after the restore */
        stream_reset(s);
        for (size_t lane = 0; lane < LANES; lane++)
            assert_int_equal(stream_restore(s, lane, kept[lane], &err), PAL_OK);
        stream_feed(s, tokens + cut, STREAM_TOKENS, STREAM_TOKENS - cut, 1, collect, other);
        stream_flush(s, 1, collect, other);
        assert_memory_equal(whole, other, sizeof *whole);
        kept[0][2 * sizeof(uint64_t) + (N + 1) * sizeof(int32_t)] ^= 1;
        assert_int_equal(stream_restore(s, 0, kept[0], &err), PAL_DATA);
        for (size_t lane = 0; lane < LANES; lane++) free(kept[lane]);
        stream_destroy(s);
        free(whole);
        free(other);
        close_bench(&b);
    }
}

/* A greedy continuation is what scoring it afterwards calls the model's own choice. */
static void generation_agrees_with_scoring(void **unused)
{
    (void)unused;
    enum { PROMPT = 2 * N + 11, EXTRA = 12 };
    int32_t text[LANES * STREAM_TOKENS];
    read_text(text);
    for (const attn_module *const *m = attn_table; *m; m++) {
        const model_config cfg = small_config((*m)->name);
        bench b;
        open_bench(&b, &cfg, 1, 0);
        pal_error err;
        stream *s;
        int32_t out[LANES * EXTRA], both[LANES * (PROMPT + EXTRA)];
        assert_int_equal(stream_create(&s, b.d, b.pool, LANES, &err), PAL_OK);
        stream_feed(s, text, STREAM_TOKENS, PROMPT, 0, NULL, NULL);
        stream_generate(s, EXTRA, out);
        assert_int_equal(stream_position(s), PROMPT + EXTRA);
        for (size_t lane = 0; lane < LANES; lane++) {
            memcpy(both + lane * (PROMPT + EXTRA), text + lane * STREAM_TOKENS, PROMPT * sizeof *both);
            memcpy(both + lane * (PROMPT + EXTRA) + PROMPT, out + lane * EXTRA, EXTRA * sizeof *both);
        }
        scores *check = calloc(1, sizeof *check);
        stream_reset(s);
        stream_feed(s, both, PROMPT + EXTRA, PROMPT + EXTRA, PROMPT, collect, check);
        stream_flush(s, PROMPT, collect, check);
        for (size_t lane = 0; lane < LANES; lane++)
            assert_memory_equal(check->argmax[lane] + PROMPT, out + lane * EXTRA, EXTRA * sizeof *out);
        free(check);
        stream_destroy(s);
        close_bench(&b);
    }
}

static void zeroed_memory_is_an_empty_one(void **unused)
{
    (void)unused;
    int32_t tokens[LANES * STREAM_TOKENS];
    read_text(tokens);
    const model_config cfg = small_config("infini-delta");
    bench b;
    open_bench(&b, &cfg, 1, 0);
    pal_error err;
    stream *s;
    scores *zeroed = calloc(1, sizeof *zeroed), *fresh = calloc(1, sizeof *fresh);
    assert_int_equal(stream_create(&s, b.d, b.pool, LANES, &err), PAL_OK);
    stream_feed(s, tokens, STREAM_TOKENS, 2 * N + 1, 0, NULL, NULL); /* two segments, one token buffered */
    stream_zero_memory(s);
    stream_feed(s, tokens + 2 * N + 1, STREAM_TOKENS, 2 * N, 0, collect, zeroed);
    stream_reset(s);
    stream_feed(s, tokens + 2 * N, STREAM_TOKENS, 2 * N + 1, 0, collect, fresh);
    assert_memory_equal(zeroed->nll[0] + 2 * N + 1, fresh->nll[0] + 1, 2 * N * sizeof(double));
    stream_destroy(s);
    free(zeroed);
    free(fresh);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_through_three_segments),
        cmocka_unit_test(recompute_threads_same_bits),
        cmocka_unit_test(zero_weights_are_uniform),
        cmocka_unit_test(weighted_loss_is_the_mean),
        cmocka_unit_test(stream_bits_do_not_depend_on_cuts_lanes_or_scoring),
        cmocka_unit_test(stream_equals_window),
        cmocka_unit_test(snapshot_resumes_to_the_same_bits),
        cmocka_unit_test(generation_agrees_with_scoring),
        cmocka_unit_test(zeroed_memory_is_an_empty_one),
    };
    return cmocka_run_group_tests_name("decoder", tests, NULL, NULL);
}
