/* Transformer-XL's training gradient against finite differences of a double-precision program that does what the
 * original does: it caches the residual stream, norms it anew with the current gain and bias, and stops there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "models/decoder/config_keys.h"
#include "models/decoder/state.h"
#include "models/training/window.h"
#include "tests/lib/use_blas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 16, LANES = 2, SEGMENTS = 4, LAYERS = 2, D = 12, HEADS = 2, D_HEAD = 4, WIDTH = HEADS * D_HEAD };
enum { FF = 20, VOCAB = 11, MEMORY = 20, KEYS = MEMORY + N, ALL = LANES * SEGMENTS * N };

static const char settings[] = "attention = transformer-xl\nvocab = 11\nd_model = 12\nn_layers = 2\nn_heads = 2\n"
                               "d_head = 4\nd_ff = 20\nsegment = 16\nmem_len = 20\nembed_scale = sqrt_d_model\n"
                               "final_norm = 1\noutput_bias = 1\ninit_std = 0.3\n";

typedef struct fixture {
    decoder *d;
    pool *pool;
    window *window;
    int32_t tokens[ALL], targets[ALL]; /* [LANES, SEGMENTS * N] */
    float weight[ALL];
    double *w; /* the weights in double, at the decoder's offsets */
    real *grad;
    /* The program's caches, recorded once: the original's gradient does not run through them. */
    double cache[SEGMENTS][LANES][LAYERS][MEMORY][D];
    int recorded;
} fixture;

/* ---- the program ---- */

static const double *tensor(const fixture *f, const char *name)
{
    for (size_t i = 0; i < decoder_param_count(f->d); i++)
        if (strcmp(decoder_param_at(f->d, i)->name, name) == 0) return f->w + decoder_param_at(f->d, i)->offset;
    fail_msg("there is no tensor %s", name);
    return NULL;
}

static const double *layer_tensor(const fixture *f, size_t layer, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "layers.%zu.%s", layer, name);
    return tensor(f, full);
}

static void times(double *y, const double *w, const double *x, size_t out, size_t in)
{
    for (size_t o = 0; o < out; o++) {
        y[o] = 0;
        for (size_t i = 0; i < in; i++) y[o] += w[o * in + i] * x[i];
    }
}

static void layer_norm(double *y, const double *x, const double *gain, const double *bias)
{
    double mean = 0, variance = 0;
    for (size_t i = 0; i < D; i++) mean += x[i] / D;
    for (size_t i = 0; i < D; i++) variance += (x[i] - mean) * (x[i] - mean) / D;
    for (size_t i = 0; i < D; i++) y[i] = (x[i] - mean) / sqrt(variance + 1e-5) * gain[i] + bias[i];
}

/* One query of one head over `existing` cached keys and those of the segment up to its own. */
static void attend(const fixture *f, size_t layer, size_t head, size_t t, size_t existing, double q[WIDTH],
                   double k[KEYS][WIDTH], double v[KEYS][WIDTH], double rel[KEYS][WIDTH], double out[WIDTH])
{
    const double *u = tensor(f, "r_w_bias") + head * D_HEAD, *bias = tensor(f, "r_r_bias") + head * D_HEAD;
    double score[KEYS], total = 0;
    (void)layer;
    for (size_t j = MEMORY - existing; j <= MEMORY + t; j++) {
        score[j] = 0;
        for (size_t i = 0; i < D_HEAD; i++) {
            const size_t at = head * D_HEAD + i;
            score[j] += (q[at] + u[i]) * k[j][at] + (q[at] + bias[i]) * rel[MEMORY + t - j][at];
        }
        score[j] = exp(score[j] / sqrt(D_HEAD));
        total += score[j];
    }
    for (size_t i = head * D_HEAD; i < (head + 1) * D_HEAD; i++) {
        out[i] = 0;
        for (size_t j = MEMORY - existing; j <= MEMORY + t; j++) out[i] += score[j] / total * v[j][i];
    }
}

static void feed_forward(const fixture *f, size_t layer, double x[D])
{
    double normed[D], hidden[FF], y[D];
    layer_norm(normed, x, layer_tensor(f, layer, "pos_ff.layer_norm.weight"),
               layer_tensor(f, layer, "pos_ff.layer_norm.bias"));
    times(hidden, layer_tensor(f, layer, "pos_ff.CoreNet.0.weight"), normed, FF, D);
    for (size_t i = 0; i < FF; i++) {
        const double h = hidden[i] + layer_tensor(f, layer, "pos_ff.CoreNet.0.bias")[i];
        hidden[i] = 0.5 * h * (1 + tanh(sqrt(2 / acos(-1)) * (h + 0.044715 * h * h * h)));
    }
    times(y, layer_tensor(f, layer, "pos_ff.CoreNet.3.weight"), hidden, D, FF);
    for (size_t i = 0; i < D; i++) x[i] += y[i] + layer_tensor(f, layer, "pos_ff.CoreNet.3.bias")[i];
}

static void block(const fixture *f, size_t layer, size_t existing, const double cached[MEMORY][D], double x[N][D])
{
    static double k[KEYS][WIDTH], v[KEYS][WIDTH], rel[KEYS][WIDTH], q[N][WIDTH];
    const double *w = layer_tensor(f, layer, "dec_attn.qkv_net.weight");
    for (size_t j = 0; j < KEYS; j++) {
        double normed[D], r[D];
        layer_norm(normed, j < MEMORY ? cached[j] : x[j - MEMORY],
                   layer_tensor(f, layer, "dec_attn.layer_norm.weight"),
                   layer_tensor(f, layer, "dec_attn.layer_norm.bias"));
        if (j >= MEMORY) times(q[j - MEMORY], w, normed, WIDTH, D);
        times(k[j], w + WIDTH * D, normed, WIDTH, D);
        times(v[j], w + 2 * WIDTH * D, normed, WIDTH, D);
        for (size_t i = 0; i < D / 2; i++) {
            const double angle = (double)j * pow(10000, -2 * (double)i / D);
            r[i] = sin(angle);
            r[D / 2 + i] = cos(angle);
        }
        times(rel[j], layer_tensor(f, layer, "dec_attn.r_net.weight"), r, WIDTH, D);
    }
    for (size_t t = 0; t < N; t++) {
        double o[WIDTH], y[D];
        for (size_t h = 0; h < HEADS; h++) attend(f, layer, h, t, existing, q[t], k, v, rel, o);
        times(y, layer_tensor(f, layer, "dec_attn.o_net.weight"), o, D, WIDTH);
        for (size_t i = 0; i < D; i++) x[t][i] += y[i];
    }
    for (size_t t = 0; t < N; t++) feed_forward(f, layer, x[t]);
}

static double token_loss(const fixture *f, const double x[D], int32_t target)
{
    double normed[D], logit[VOCAB], total = 0;
    layer_norm(normed, x, tensor(f, "final_norm.weight"), tensor(f, "final_norm.bias"));
    times(logit, tensor(f, "word_emb.emb_layers.0.weight"), normed, VOCAB, D);
    for (size_t i = 0; i < VOCAB; i++) {
        logit[i] += tensor(f, "crit.out_layers.0.bias")[i];
        total += exp(logit[i]);
    }
    return log(total) - logit[target];
}

/* The newest MEMORY rows of what entered the layer, for the segment after this one. */
static void record(fixture *f, size_t s, size_t lane, size_t layer, double x[N][D])
{
    if (s + 1 == SEGMENTS) return;
    for (size_t i = 0; i < MEMORY; i++)
        memcpy(f->cache[s + 1][lane][layer][i],
               i + N < MEMORY ? f->cache[s][lane][layer][i + N] : x[i + N - MEMORY], sizeof f->cache[0][0][0][0]);
}

static double program(fixture *f)
{
    double loss = 0;
    for (size_t s = 0; s < SEGMENTS; s++)
        for (size_t lane = 0; lane < LANES; lane++) {
            const size_t at = (lane * SEGMENTS + s) * N, existing = s * N < MEMORY ? s * N : MEMORY;
            double x[N][D];
            for (size_t t = 0; t < N; t++)
                for (size_t i = 0; i < D; i++)
                    x[t][i] = sqrt(D) * tensor(f, "word_emb.emb_layers.0.weight")[f->tokens[at + t] * D + (int)i];
            for (size_t l = 0; l < LAYERS; l++) {
                if (!f->recorded) record(f, s, lane, l, x);
                block(f, l, existing, f->cache[s][lane][l], x);
            }
            for (size_t t = 0; t < N; t++)
                loss += (double)f->weight[at + t] * token_loss(f, x[t], f->targets[at + t]);
        }
    f->recorded = 1;
    return loss;
}

/* ---- the comparison ---- */

static void open_fixture(fixture *f)
{
    pal_error err;
    kv_pairs pairs = {0};
    model_config cfg;
    memset(f, 0, sizeof *f);
    use_blas();
    assert_int_equal(kv_pairs_parse(&pairs, settings, "test", &err), PAL_OK);
    if (model_config_read(&cfg, &pairs, &err) != PAL_OK) fail_msg("%s", err.text);
    kv_pairs_free(&pairs);
    assert_int_equal(pool_create(&f->pool, 2, &err), PAL_OK);
    assert_int_equal(decoder_create(&f->d, &cfg, &err), PAL_OK);
    decoder_init(f->d, 3);
    const size_t reals = decoder_weight_reals(f->d);
    rng r = rng_make(8, "test/xl", 0, 0);
    f->w = calloc(reals, sizeof *f->w);
    f->grad = aligned_alloc(64, (reals * sizeof(real) + 63) / 64 * 64);
    memset(f->grad, 0, reals * sizeof(real));
    for (size_t i = 0; i < reals; i++) {
        decoder_weights(f->d)[i] += (real)(0.1 * rng_normal(&r)); /* norms start as constants */
        f->w[i] = (double)decoder_weights(f->d)[i];
    }
    for (size_t i = 0; i < ALL; i++) {
        f->tokens[i] = (int32_t)rng_below(&r, VOCAB);
        f->targets[i] = (int32_t)rng_below(&r, VOCAB);
        f->weight[i] = (float)rng_below(&r, 4) / 4;
    }
    assert_int_equal(window_create(&f->window, f->d, f->pool, LANES, SEGMENTS, 0, &err), PAL_OK);
}

static void close_fixture(fixture *f)
{
    window_destroy(f->window);
    decoder_destroy(f->d);
    pool_destroy(f->pool);
    free(f->w);
    free(f->grad);
    free(f);
}

static void check_tensor(fixture *f, const decoder_param *p, double scale, double tolerance)
{
    double most = 0, worst = 0;
    const size_t step = decoder_param_elements(p) / 24 + 1; /* vectors whole, of matrices some */
    for (size_t i = 0; i < decoder_param_elements(p); i += step) {
        double *w = f->w + p->offset + i, keep = *w, side[2];
        for (int s = 0; s < 2; s++) {
            *w = keep + (s ? -1e-5 : 1e-5);
            side[s] = program(f);
        }
        *w = keep;
        const double measured = (side[0] - side[1]) / 2e-5 * scale;
        most = fmax(most, fabs(measured));
        worst = fmax(worst, fabs(measured - (double)f->grad[p->offset + i]));
    }
    if (!(most > 0) || !(worst <= tolerance * most))
        fail_msg("%s: the gradient is off by %g of the largest, %g", p->name, worst / most, most);
}

static void every_gradient_is_the_originals(void **unused)
{
    (void)unused;
    fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    open_fixture(f);
    void *state[LANES];
    double nll[ALL], total = 0;
    for (size_t lane = 0; lane < LANES; lane++) {
        state[lane] = calloc(1, decoder_state_bytes(f->d));
        decoder_state_reset(f->d, state[lane]);
    }
    const scored_tokens t = {.tokens = f->tokens, .targets = f->targets, .weight = f->weight, .nll = nll};
    const double got = window_step(f->window, SEGMENTS, &t, state, f->grad, (attn_penalty){0});
    for (size_t i = 0; i < ALL; i++) total += (double)f->weight[i];
    const double tolerance = sizeof(real) == sizeof(double) ? 1e-6 : 1e-4, loss = program(f) / total;
    if (fabs(got - loss) > (sizeof(real) == sizeof(double) ? 1e-7 : 1e-5)) /* weights are floats */
        fail_msg("the loss is %.12g, expected %.12g", got, loss);
    for (size_t i = 0; i < decoder_param_count(f->d); i++)
        check_tensor(f, decoder_param_at(f->d, i), 1 / total, tolerance);
    for (size_t lane = 0; lane < LANES; lane++) free(state[lane]);
    close_fixture(f);
}

/* A state of before rows were cached as they are has the same size and model, and other numbers. */
static void older_states_are_refused(void **unused)
{
    (void)unused;
    pal_error err;
    fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    open_fixture(f);
    state_header *state = calloc(1, decoder_state_bytes(f->d));
    decoder_state_reset(f->d, state);
    assert_int_equal(decoder_state_check(f->d, state, &err), PAL_OK);
    char *text = model_config_text(decoder_config(f->d));
    state->shape = 0xcbf29ce484222325u; /* FNV-1a of the config alone */
    for (const char *c = text; *c; c++) state->shape = (state->shape ^ (uint8_t)*c) * 0x100000001b3u;
    assert_int_equal(decoder_state_check(f->d, state, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "another version"));
    free(text);
    free(state);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gradient_is_the_originals),
        cmocka_unit_test(older_states_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
