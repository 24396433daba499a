/* The field's attention modules against tests/golden/field, which 64-bit PyTorch wrote token by token from the
 * equations (tests/peer/field_golden.py): the loss of every token of nine segments, and the gradient of their
 * mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/decoder/config_keys.h"
#include "models/decoder/state.h"
#include "models/files/checkpoint.h"
#include "models/training/window.h"
#include "tests/lib/use_blas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENTS = 9, PATH = 128 };

/* Losses in nats; gradients relative to the largest of a tensor. */
static const double loss_limit = 1e-5, gradient_limit = 1e-3;

static void check_losses(const char *name, const double *nll, const st_tensor *want, size_t count)
{
    assert_int_equal(st_elements(want), count);
    for (size_t i = 0; i < count; i++)
        if (!(fabs(nll[i] - st_value(want, i)) <= loss_limit))
            fail_msg("%s: the loss of token %zu is %.9g, expected %.9g", name, i, nll[i], st_value(want, i));
}

static void check_gradient(const char *name, const decoder *d, const st_file *f, const real *grad)
{
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        char full[128];
        snprintf(full, sizeof full, "gradient.%s", p->name);
        const st_tensor *want = st_find(f, full);
        double most = 0;
        for (size_t k = 0; want && k < st_elements(want); k++) most = fmax(most, fabs(st_value(want, k)));
        for (size_t k = 0; k < decoder_param_elements(p); k++) {
            const double wanted = want ? st_value(want, k) : 0;
            if (!(fabs((double)grad[p->offset + k] - wanted) <= gradient_limit * most))
                fail_msg("%s: the gradient of %s at %zu is %.9g, expected %.9g (largest %.3g)", name, p->name, k,
                         (double)grad[p->offset + k], wanted, most);
        }
    }
}

static void agrees(const char *name)
{
    char path[PATH];
    pal_error err;
    st_file f;
    model_config cfg;
    decoder *d;
    pool *workers;
    window *w;
    snprintf(path, sizeof path, "tests/golden/field/%s.safetensors", name);
    use_blas();
    int code = st_read(path, &f, &err);
    if (code == PAL_OK) code = checkpoint_config(&f, path, &cfg, &err);
    if (code == PAL_OK) code = decoder_create(&d, &cfg, &err);
    if (code == PAL_OK) code = checkpoint_fill(d, &f, path, 0, &err);
    if (code == PAL_OK) code = pool_create(&workers, 2, &err);
    if (code == PAL_OK) code = window_create(&w, d, workers, 1, SEGMENTS, 0, &err);
    if (code != PAL_OK) fail_msg("%s", err.text);
    const size_t count = SEGMENTS * (size_t)cfg.segment;
    const st_tensor *text = st_find(&f, "tokens");
    assert_int_equal(st_elements(text), count + 1);
    int32_t *tokens = calloc(count + 1, sizeof *tokens);
    float *weight = calloc(count, sizeof *weight);
    double *nll = calloc(count, sizeof *nll);
    real *grad = aligned_alloc(64, (decoder_weight_reals(d) * sizeof *grad + 63) / 64 * 64);
    memset(grad, 0, decoder_weight_reals(d) * sizeof *grad);
    for (size_t i = 0; i <= count; i++) tokens[i] = (int32_t)st_value(text, i);
    for (size_t i = 0; i < count; i++) weight[i] = 1;
    void *state = aligned_alloc(64, decoder_state_bytes(d));
    memset(state, 0, decoder_state_bytes(d));
    decoder_state_reset(d, state);
    const scored_tokens t = {.tokens = tokens, .targets = tokens + 1, .weight = weight, .nll = nll};
    window_step(w, SEGMENTS, &t, &state, grad, (attn_penalty){0});
    check_losses(name, nll, st_find(&f, "nll"), count);
    check_gradient(name, d, &f, grad);
    free(tokens);
    free(weight);
    free(nll);
    free(grad);
    free(state);
    window_destroy(w);
    pool_destroy(workers);
    decoder_destroy(d);
    st_free(&f);
}

static void deltanet(void **unused)
{
    (void)unused;
    agrees("deltanet");
    agrees("gated-deltanet");
    agrees("gated-deltanet-shared");
}

static void memory_tokens(void **unused)
{
    (void)unused;
    agrees("rmt");
    agrees("autocompressor");
    agrees("armt");
}

static void compressive(void **unused)
{
    (void)unused;
    agrees("compressive");
    agrees("compressive-odd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compressive),
        cmocka_unit_test(deltanet),
        cmocka_unit_test(memory_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
