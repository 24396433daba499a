/* Losses and choices of a model with wide outputs, whose logits lie nowhere: those of its logits, and the same
 * bits for any number of threads, lanes and rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/decoder/pass.h"
#include "models/decoder/state.h"
#include "models/engine/gemm.h"
#include "tests/lib/tiny_model.h"
#include "tests/lib/use_blas.h"

enum { N = 32, VOCAB = 700, LANES = 3 };

typedef struct reading {
    double nll[LANES * N], from_logits[LANES * N];
    int32_t argmax[LANES * N], choice[LANES * N];
} reading;

/* Every lane reads the same. */
static void read_lanes(const decoder *d, size_t lanes, int threads, reading *out)
{
    pal_error err;
    pool *workers;
    pass *p;
    int32_t tokens[LANES * N], targets[LANES * N];
    size_t valid[LANES];
    void *state[LANES];
    for (size_t i = 0; i < lanes * N; i++) {
        tokens[i] = (int32_t)(i % N * 37 % VOCAB);
        targets[i] = (int32_t)((i % N * 61 + 5) % VOCAB);
    }
    for (size_t lane = 0; lane < lanes; lane++) {
        valid[lane] = N;
        state[lane] = calloc(1, decoder_state_bytes(d));
        decoder_state_reset(d, state[lane]);
    }
    assert_int_equal(pool_create(&workers, threads, &err), PAL_OK);
    assert_int_equal(pass_create(&p, d, workers, lanes, 0, &err), PAL_OK);
    pass_forward(p, 0, tokens, valid, state, 1);
    const scored_tokens t = {.tokens = tokens, .targets = targets, .nll = out->nll, .argmax = out->argmax};
    pass_score(p, &t);
    const real *logits = pass_logits(p, 0);
    for (size_t i = 0; i < lanes * N; i++) {
        double sum = 0;
        for (size_t v = 0; v < VOCAB; v++) sum += exp((double)logits[i * VOCAB + v]);
        out->from_logits[i] = log(sum) - (double)logits[i * VOCAB + (size_t)targets[i]];
        out->choice[i] = decoder_choice(d, logits + i * VOCAB, NULL);
    }
    for (size_t lane = 0; lane < lanes; lane++) free(state[lane]);
    pass_destroy(p);
    pool_destroy(workers);
}

/* Tokens 200 and 640 have the same weights, and the largest logits of some rows. */
static decoder *make_model(int output_bias)
{
    char settings[300];
    snprintf(settings, sizeof settings,
             "attention = local\nvocab = %d\nd_model = 320\nn_layers = 1\nn_heads = 2\nd_head = 16\nd_ff = 64\n"
             "segment = %d\ntied = 0\noutput_bias = %d\ninit_std = 0.2\n",
             VOCAB, N, output_bias);
    decoder *d = tiny_model(settings, 4);
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        real *w = decoder_weights(d) + p->offset;
        if (strcmp(p->name, "crit.out_layers.0.weight") == 0) {
            for (size_t c = 0; c < p->cols; c++) w[200 * p->cols + c] *= 3;
            memcpy(w + 640 * p->cols, w + 200 * p->cols, p->cols * sizeof *w);
        }
        if (strcmp(p->name, "crit.out_layers.0.bias") == 0)
            for (size_t v = 0; v < VOCAB; v++) w[v] = (real)(v % 7) / 8;
    }
    return d;
}

static void test_losses(void **state)
{
    (void)state;
    for (int bias = 0; bias <= 1; bias++) {
        decoder *d = make_model(bias);
        if (!gemm_is_wide(320, VOCAB)) fprintf(stderr, "no kernel for wide products: the usual way is tested\n");
        reading one, many;
        size_t tied = 0;
        read_lanes(d, 1, 1, &one);
        for (size_t i = 0; i < N; i++) {
            assert_true(fabs(one.nll[i] - one.from_logits[i]) < 1e-5);
            assert_int_equal(one.argmax[i], one.choice[i]);
            assert_int_not_equal(one.argmax[i], 640);
            tied += one.argmax[i] == 200;
        }
        assert_true(bias || tied > 0);
        read_lanes(d, LANES, 3, &many);
        for (size_t lane = 0; lane < LANES; lane++) {
            assert_memory_equal(many.nll + lane * N, one.nll, N * sizeof *one.nll);
            assert_memory_equal(many.argmax + lane * N, one.argmax, N * sizeof *one.argmax);
        }
        decoder_destroy(d);
    }
}

int main(void)
{
    unsetenv("OPENBLAS_CORETYPE"); /* which turns wide products off */
    use_blas();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_losses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
