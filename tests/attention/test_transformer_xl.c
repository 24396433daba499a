/* The same weights give the same logits as Transformer-XL's own equations: tests/golden/transformer_xl.safetensors
 * holds weights under the original implementation's names and the logits of 4 segments for three settings of the
 * memory, computed by tests/peer/transformer_xl_golden.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/decoder/config_keys.h"
#include "models/decoder/decoder.h"
#include "models/decoder/pass.h"
#include "models/decoder/state.h"
#include "models/files/checkpoint.h"
#include "tests/lib/use_blas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/golden/transformer_xl.safetensors"

enum { N = 16, SEGMENTS = 4, VOCAB = 61 };

static const char model[] = "attention = transformer-xl\nvocab = 61\nd_model = 32\nn_layers = 2\nn_heads = 4\n"
                            "d_head = 8\nd_ff = 64\nsegment = 16\nactivation = relu\n"
                            "embed_scale = sqrt_d_model\nfinal_norm = 0\ntied = 1\noutput_bias = 1\n";

static void read_golden(st_file *golden)
{
    pal_error err;
    if (st_read(GOLDEN, golden, &err) != PAL_OK) fail_msg("%s", err.text);
}

static decoder *golden_decoder(const st_file *golden, const char *memory)
{
    pal_error err;
    kv_pairs pairs = {0};
    model_config cfg = {0};
    decoder *d = NULL;
    int code = kv_pairs_parse(&pairs, model, "model", &err);
    if (code == PAL_OK) code = kv_pairs_parse(&pairs, memory, "memory", &err);
    if (code == PAL_OK) code = model_config_read(&cfg, &pairs, &err);
    if (code == PAL_OK) code = decoder_create(&d, &cfg, &err);
    if (code == PAL_OK) code = checkpoint_fill(d, golden, GOLDEN, 0, &err);
    if (code != PAL_OK) fail_msg("%s", err.text);
    kv_pairs_free(&pairs);
    return d;
}

static void logits_agree(const char *memory, const char *name)
{
    pal_error err;
    st_file golden;
    pool *workers;
    pass *p;
    use_blas();
    read_golden(&golden);
    decoder *d = golden_decoder(&golden, memory);
    const st_tensor *tokens = st_find(&golden, "tokens"), *wanted = st_find(&golden, name);
    assert_non_null(tokens);
    assert_non_null(wanted);
    assert_int_equal(wanted->dim[0], SEGMENTS * N);
    assert_int_equal(wanted->dim[1], VOCAB);
    assert_int_equal(pool_create(&workers, 1, &err), PAL_OK);
    assert_int_equal(pass_create(&p, d, workers, 1, 0, &err), PAL_OK);
    void *state = calloc(1, decoder_state_bytes(d));
    decoder_state_reset(d, state);
    for (size_t s = 0; s < SEGMENTS; s++) {
        int32_t segment[N];
        const size_t valid = N;
        for (size_t i = 0; i < N; i++) segment[i] = (int32_t)st_value(tokens, s * N + i);
        pass_forward(p, 0, segment, &valid, &state, 1);
        const real *logits = pass_logits(p, 0);
        for (size_t i = 0; i < N * VOCAB; i++) {
            const double error = fabs((double)logits[i] - st_value(wanted, s * N * VOCAB + i));
            if (!(error <= 1e-4)) fail_msg("%s: segment %zu, logit %zu is off by %g", name, s, i, error);
        }
    }
    free(state);
    pass_destroy(p);
    pool_destroy(workers);
    decoder_destroy(d);
    st_free(&golden);
}

static void memory_of_one_segment(void **unused)
{
    (void)unused;
    logits_agree("mem_len = 16\nclamp_len = -1\nsame_length = 0\n", "logits.A");
}

static void clamped_distances(void **unused)
{
    (void)unused;
    logits_agree("mem_len = 24\nclamp_len = 12\nsame_length = 0\n", "logits.B");
}

static void same_length(void **unused)
{
    (void)unused;
    logits_agree("mem_len = 24\nclamp_len = -1\nsame_length = 1\n", "logits.C");
}

/* Every tensor of the original is used and there is none besides. */
static void names_are_the_originals(void **unused)
{
    (void)unused;
    st_file golden;
    read_golden(&golden);
    decoder *d = golden_decoder(&golden, "mem_len = 16\n");
    size_t weights = 0;
    for (size_t i = 0; i < golden.count; i++)
        weights +=
            strcmp(golden.tensor[i].name, "tokens") != 0 && strncmp(golden.tensor[i].name, "logits.", 7) != 0;
    assert_int_equal(decoder_param_count(d), weights);
    for (size_t i = 0; i < decoder_param_count(d); i++)
        assert_non_null(st_find(&golden, decoder_param_at(d, i)->name));
    decoder_destroy(d);
    st_free(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_the_originals),
        cmocka_unit_test(memory_of_one_segment),
        cmocka_unit_test(clamped_distances),
        cmocka_unit_test(same_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
