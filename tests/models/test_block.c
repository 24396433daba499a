/* The parts of a block by kind: norms, feed-forwards and activations against double-precision programs, and the
 * gradients of whole decoders made of them against finite differences. */
#include "tests/lib/decoder_lab.h"
#include "tests/lib/numeric.h"

#include "models/decoder/feed_forward.h"
#include "models/engine/norm.h"

enum { ROWS = 37, WIDTH = 20, INNER = 300 };

static double limit(void)
{
    return sizeof(real) == sizeof(double) ? 1e-12 : 2e-5;
}

/* ---- norms ---- */

static void norms_of_rows(void **unused)
{
    (void)unused;
    for (int kind = 0; kind < NORM_KINDS; kind++) {
        real *x = random_reals(ROWS * WIDTH, 1), *gain = random_reals(WIDTH, 2), *bias = random_reals(WIDTH, 3);
        real y[ROWS * WIDTH], mean[ROWS], rstd[ROWS];
        const row_norm n = {.op = &norm_ops[kind],
                            .cols = WIDTH,
                            .eps = (real)1e-3,
                            .gain = gain,
                            .bias = norm_ops[kind].has_bias ? bias : NULL};
        norm_rows(NULL, &n, ROWS, x, NULL, y, mean, rstd);
        for (size_t i = 0; i < ROWS; i++) {
            double centre = 0, square = 0;
            for (size_t j = 0; j < WIDTH && kind == NORM_LAYER; j++) centre += (double)x[i * WIDTH + j] / WIDTH;
            for (size_t j = 0; j < WIDTH; j++) square += pow((double)x[i * WIDTH + j] - centre, 2) / WIDTH;
            for (size_t j = 0; j < WIDTH; j++) {
                const double add = kind == NORM_LAYER ? (double)bias[j] : 0;
                const double want =
                    ((double)x[i * WIDTH + j] - centre) / sqrt(square + (double)n.eps) * (double)gain[j] + add;
                expect_close((double)y[i * WIDTH + j], want, 1, limit(), "a norm", i * WIDTH + j);
            }
        }
        free(x);
        free(gain);
        free(bias);
    }
}

/* ---- feed-forwards ---- */

static double activated(int kind, double a)
{
    if (kind == ACTIVATION_RELU) return a > 0 ? a : 0;
    if (kind == ACTIVATION_SILU) return a / (1 + exp(-a));
    return 0.5 * a * (1 + tanh(sqrt(2 / acos(-1)) * (a + 0.044715 * a * a * a)));
}

static double linear(const real *w, const real *bias, const real *x, size_t out, size_t in)
{
    double sum = bias ? (double)bias[out] : 0;
    for (size_t i = 0; i < in; i++) sum += (double)w[out * in + i] * (double)x[i];
    return sum;
}

static void feed_agrees(feed_kind kind, activation_kind activation, int has_bias, int in_place)
{
    real *x = random_reals(ROWS * WIDTH, 4), *up = random_reals(INNER * WIDTH, 5);
    real *gate = random_reals(INNER * WIDTH, 6), *down = random_reals(WIDTH * INNER, 7);
    real *up_bias = random_reals(INNER, 8), *gate_bias = random_reals(INNER, 9),
         *down_bias = random_reals(WIDTH, 10);
    real *hidden = random_reals(3 * ROWS * INNER, 11), y[ROWS * WIDTH];
    const feed_layer f = {.kind = kind,
                          .activation = activation,
                          .width = WIDTH,
                          .inner = INNER,
                          .up = {up, NULL},
                          .gate = {kind == FEED_GATED ? gate : NULL, NULL},
                          .down = {down, NULL},
                          .up_bias = has_bias ? up_bias : NULL,
                          .gate_bias = has_bias ? gate_bias : NULL,
                          .down_bias = has_bias ? down_bias : NULL};
    const feed_saved s = {hidden, kind == FEED_GATED ? hidden + ROWS * INNER : NULL,
                          in_place ? hidden : hidden + 2 * ROWS * INNER};
    feed_forward(NULL, (rows){1, ROWS}, &f, x, &s, y);
    for (size_t i = 0; i < ROWS; i++) {
        double active[INNER];
        for (size_t j = 0; j < INNER; j++) {
            const double a = linear(up, f.up_bias, x + i * WIDTH, j, WIDTH);
            const double g = kind == FEED_GATED ? linear(gate, f.gate_bias, x + i * WIDTH, j, WIDTH) : 0;
            active[j] = kind == FEED_GATED ? activated((int)activation, g) * a : activated((int)activation, a);
        }
        for (size_t j = 0; j < WIDTH; j++) {
            double want = has_bias ? (double)down_bias[j] : 0;
            for (size_t h = 0; h < INNER; h++) want += (double)down[j * INNER + h] * active[h];
            expect_close((double)y[i * WIDTH + j], want, 100, limit(), "a feed-forward", i * WIDTH + j);
        }
    }
    real *const all[] = {x, up, gate, down, up_bias, gate_bias, down_bias, hidden};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static void feed_forwards(void **unused)
{
    (void)unused;
    use_blas();
    for (int kind = 0; kind < FEED_KINDS; kind++)
        for (int activation = 0; activation < ACTIVATION_KINDS; activation++)
            for (int bits = 0; bits < 4; bits++)
                feed_agrees((feed_kind)kind, (activation_kind)activation, bits & 1, bits >> 1);
}

/* ---- whole decoders ---- */

static const char *const settings[] = {
    "norm = rms\n",
    "feed_forward = gated\nactivation = silu\n",
    "feed_forward = gated\nff_bias = 0\n",
    "ff_bias = 0\nactivation = silu\n",
    "attn_bias = all\n",
    "n_heads = 4\nn_kv_heads = 2\nattn_bias = qkv\n",
    "n_heads = 4\nn_kv_heads = 1\nqk_norm = rms\nattn_bias = qkv\nrope_layout = interleaved\n",
    "norm = rms\nfeed_forward = gated\nactivation = silu\nff_bias = 0\ntied = 0\nd_ff = 300\n",
};

/* Through three segments, by modules without a state and with one that carries a gradient. */
static void gradients(void **unused)
{
    (void)unused;
    static const char *const modules[] = {"local", "infini-delta", "infini-gated"};
    for (size_t m = 0; m < sizeof modules / sizeof modules[0]; m++)
        for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
            const model_config cfg = small_config_with(modules[m], settings[i]);
            bench b;
            open_bench(&b, &cfg, 2, (int)i % 2);
            check_gradients(&b);
            close_bench(&b);
        }
}

static real *tensor_of(decoder *d, const char *name, size_t *count)
{
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        if (strcmp(p->name, name) != 0) continue;
        if (count) *count = decoder_param_elements(p);
        return decoder_weights(d) + p->offset;
    }
    fail_msg("there is no tensor %s", name);
    return NULL;
}

static void expect_same_losses(bench *a, bench *b)
{
    run_window(a, no_penalty);
    run_window(b, no_penalty);
    for (size_t i = 0; i < LANES * SEGMENTS * N; i++)
        expect_close(a->nll[i], b->nll[i], 1, sizeof(real) == sizeof(double) ? 1e-11 : 5e-5, "a loss", i);
}

/* A bias does what a column of the weights does that always multiplies 1. */
static void biases_are_columns(void **unused)
{
    (void)unused;
    const model_config with = small_config_with("infini-delta", "attn_bias = all\nn_heads = 4\nn_kv_heads = 2\n");
    const model_config without = small_config_with("infini-delta", "n_heads = 4\nn_kv_heads = 2\n");
    bench a, b;
    open_bench(&a, &with, 2, 0);
    open_bench(&b, &without, 2, 0);
    memcpy(b.tokens, a.tokens, sizeof a.tokens);
    memcpy(b.targets, a.targets, sizeof a.targets);
    memcpy(b.weight, a.weight, sizeof a.weight);
    for (size_t i = 0; i < decoder_param_count(b.d); i++) { /* the same weights */
        const decoder_param *p = decoder_param_at(b.d, i);
        memcpy(decoder_weights(b.d) + p->offset, tensor_of(a.d, p->name, NULL),
               decoder_param_elements(p) * sizeof(real));
    }
    for (size_t l = 0; l < 2; l++) {
        char name[96];
        size_t count = 0;
        snprintf(name, sizeof name, "layers.%zu.dec_attn.o_net.bias", l);
        real *bias = tensor_of(a.d, name, &count);
        memset(bias, 0, count * sizeof *bias); /* there is no such column there */
        for (size_t which = 0; which < 2; which++) {
            decoder *d = which ? b.d : a.d;
            snprintf(name, sizeof name, "layers.%zu.dec_attn.layer_norm.weight", l);
            tensor_of(d, name, NULL)[3] = 0;
            snprintf(name, sizeof name, "layers.%zu.dec_attn.layer_norm.bias", l);
            tensor_of(d, name, NULL)[3] = 1;
        }
        snprintf(name, sizeof name, "layers.%zu.dec_attn.qkv_net.bias", l);
        bias = tensor_of(a.d, name, &count);
        snprintf(name, sizeof name, "layers.%zu.dec_attn.qkv_net.weight", l);
        real *w = tensor_of(a.d, name, NULL), *column = tensor_of(b.d, name, NULL);
        for (size_t i = 0; i < count; i++) {
            column[i * 24 + 3] = bias[i];
            w[i * 24 + 3] = 0;
        }
    }
    expect_same_losses(&a, &b);
    close_bench(&a);
    close_bench(&b);
}

/* Normed heads forget the length of q and k, and a gain of q is as good as one of k. */
static void normed_heads_have_no_length(void **unused)
{
    (void)unused;
    const model_config cfg =
        small_config_with("local", "qk_norm = rms\nn_heads = 4\nn_kv_heads = 2\nnorm_eps = 1e-12\n");
    bench a, b;
    open_bench(&a, &cfg, 2, 0);
    open_bench(&b, &cfg, 2, 0);
    for (size_t l = 0; l < 2; l++) {
        char name[96];
        snprintf(name, sizeof name, "layers.%zu.dec_attn.qkv_net.weight", l);
        real *w = tensor_of(b.d, name, NULL);
        for (size_t i = 0; i < (4 + 2) * 8 * 24; i++) w[i] *= 8; /* q and k; v has length */
        snprintf(name, sizeof name, "layers.%zu.dec_attn.q_norm.weight", l);
        for (size_t i = 0; i < 8; i++) tensor_of(b.d, name, NULL)[i] *= 2;
        snprintf(name, sizeof name, "layers.%zu.dec_attn.k_norm.weight", l);
        for (size_t i = 0; i < 8; i++) tensor_of(b.d, name, NULL)[i] /= 2;
    }
    expect_same_losses(&a, &b);
    close_bench(&a);
    close_bench(&b);
}

/* No tensor that the config has not, and none twice. */
static void tensors(void **unused)
{
    (void)unused;
    const model_config cfg = small_config_with("local", settings[sizeof settings / sizeof settings[0] - 1]);
    pal_error err;
    decoder *d;
    assert_int_equal(decoder_create(&d, &cfg, &err), PAL_OK);
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const char *name = decoder_param_at(d, i)->name;
        assert_null(strstr(name, "bias"));
        for (size_t j = 0; j < i; j++) assert_string_not_equal(name, decoder_param_at(d, j)->name);
    }
    assert_int_equal(decoder_param_count(d), 1 + 2 * (2 + 2 + 3) + 1 + 1);
    decoder_destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_of_rows),
        cmocka_unit_test(feed_forwards),
        cmocka_unit_test(gradients),
        cmocka_unit_test(biases_are_columns),
        cmocka_unit_test(normed_heads_have_no_length),
        cmocka_unit_test(tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
