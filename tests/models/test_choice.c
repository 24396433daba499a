/* Which token a model chooses where several have the same output weights: the lowest, wherever they lie in the
 * tiles of a product and whatever BLAS multiplies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "models/decoder/config_keys.h"
#include "models/decoder/pass.h"
#include "models/decoder/state.h"
#include "models/stream/stream.h"
#include "tests/lib/use_blas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 32, VOCAB = 331, WIDTH = 40, KINDS = 7 };

static decoder *some_decoder(int output_bias)
{
    pal_error err;
    kv_pairs pairs = {0};
    model_config cfg;
    decoder *d;
    char settings[300];
    snprintf(settings, sizeof settings,
             "attention = local\nvocab = %d\nd_model = %d\nn_layers = 1\nn_heads = 2\nd_head = 8\nd_ff = 32\n"
             "segment = %d\ntied = 0\noutput_bias = %d\ninit_std = 0.5\n",
             VOCAB, WIDTH, N, output_bias);
    use_blas();
    assert_int_equal(kv_pairs_parse(&pairs, settings, "test", &err), PAL_OK);
    if (model_config_read(&cfg, &pairs, &err) != PAL_OK) fail_msg("%s", err.text);
    kv_pairs_free(&pairs);
    assert_int_equal(decoder_create(&d, &cfg, &err), PAL_OK);
    decoder_init(d, 4);
    return d;
}

static real *tensor(decoder *d, const char *name)
{
    for (size_t i = 0; i < decoder_param_count(d); i++)
        if (strcmp(decoder_param_at(d, i)->name, name) == 0)
            return decoder_weights(d) + decoder_param_at(d, i)->offset;
    fail_msg("there is no tensor %s", name);
    return NULL;
}

/* Token t is of kind t % KINDS: its output weights are those of token t % KINDS. */
static void repeat_rows(decoder *d)
{
    real *w = tensor(d, "crit.out_layers.0.weight");
    for (size_t t = KINDS; t < VOCAB; t++) memcpy(w + t * WIDTH, w + t % KINDS * WIDTH, WIDTH * sizeof *w);
}

static void read_choices(decoder *d, int32_t *argmax)
{
    pal_error err;
    pool *workers;
    pass *p;
    int32_t tokens[N], targets[N] = {0};
    const size_t valid = N;
    double nll[N];
    for (size_t i = 0; i < N; i++) tokens[i] = (int32_t)(i * 37 % VOCAB);
    void *state = calloc(1, decoder_state_bytes(d));
    decoder_state_reset(d, state);
    assert_int_equal(pool_create(&workers, 1, &err), PAL_OK);
    assert_int_equal(pass_create(&p, d, workers, 1, 0, &err), PAL_OK);
    pass_forward(p, 0, tokens, &valid, &state, 1);
    const scored_tokens t = {.tokens = tokens, .targets = targets, .nll = nll, .argmax = argmax};
    pass_score(p, &t);
    pass_destroy(p);
    pool_destroy(workers);
    free(state);
}

static void equal_tokens_tie(void **unused)
{
    (void)unused;
    for (int bias = 0; bias <= 1; bias++) {
        decoder *d = some_decoder(bias);
        repeat_rows(d);
        int32_t argmax[N];
        read_choices(d, argmax);
        for (size_t i = 0; i < N; i++)
            if (argmax[i] >= KINDS)
                fail_msg("token %d was chosen at %zu: not the lowest of its kind", argmax[i], i);
        decoder_destroy(d);
    }
}

/* Equal weights, different biases: the larger bias wins. */
static void biases_count(void **unused)
{
    (void)unused;
    decoder *d = some_decoder(1);
    repeat_rows(d);
    for (size_t t = 0; t < VOCAB; t++)
        tensor(d, "crit.out_layers.0.bias")[t] = t >= 200 && t < 200 + KINDS ? 1 : 0;
    int32_t argmax[N];
    read_choices(d, argmax);
    for (size_t i = 0; i < N; i++) assert_in_range(argmax[i], 200, 200 + KINDS - 1);
    decoder_destroy(d);
}

/* Logits by hand: the second of two equal rows is ahead by one rounding, and another token by more. */
static void only_equals_are_compared(void **unused)
{
    (void)unused;
    decoder *d = some_decoder(0);
    real logits[VOCAB] = {0}, x[WIDTH];
    for (size_t i = 0; i < WIDTH; i++) x[i] = 1;
    repeat_rows(d);
    logits[3] = 5;
    logits[3 + 4 * KINDS] = (real)(5 + 1e-6);
    assert_int_equal(decoder_choice(d, logits, x), 3);
    assert_int_equal(decoder_choice(d, logits, NULL), 3);
    logits[4] = (real)(5 + 1e-6);
    logits[3 + 4 * KINDS] = 4;
    assert_int_equal(decoder_choice(d, logits, x), 4);
    decoder_destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_tokens_tie),
        cmocka_unit_test(biases_count),
        cmocka_unit_test(only_equals_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
