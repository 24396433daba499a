/* The forms in which weights are held: stored ones give the bits of expanded ones; bf16 those of rounded ones.
 * Golden files: tests/peer/tiny_checkpoints.py. */
#include "models/import/forms.h"
#include "models/stream/stream.h"
#include "tests/lib/numeric.h"
#include "tests/lib/use_blas.h"

#include <string.h>

#define GOLDEN "tests/golden/checkpoints/"
enum { TOKENS = 300 };

static pool *threads;

static decoder *load(const char *path, weights_form form)
{
    pal_error err;
    decoder *d = NULL;
    if (model_describe(path, NULL, NULL, NULL, &d, NULL, NULL, &err) != PAL_OK) fail_msg("%s", err.text);
    if (model_read_weights_as(path, form, d, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(decoder_is_left(d), form != FORM_F32 && sizeof(real) == sizeof(float));
    return d;
}

typedef struct scores {
    double nll[TOKENS];
    int32_t argmax[TOKENS];
    real logits[1 << 16];
} scores;

static void keep(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    scores *s = arg;
    (void)lane;
    s->nll[position] = nll;
    s->argmax[position] = argmax;
}

static scores *read_text(decoder *d)
{
    pal_error err;
    stream *s;
    scores *out = calloc(1, sizeof *out);
    int32_t token[TOKENS];
    assert_non_null(out);
    for (int i = 0; i < TOKENS; i++) token[i] = (int32_t)((i * 7919 + 13) % decoder_config(d)->vocab);
    assert_int_equal(stream_create(&s, d, threads, 1, &err), PAL_OK);
    assert_int_equal(stream_allow_writing(s, &err), PAL_OK);
    stream_feed(s, token, TOKENS, TOKENS, 1, keep, out);
    size_t stride;
    const real *logits = stream_predict(s, &stride);
    assert_true(stride <= sizeof out->logits / sizeof *logits);
    memcpy(out->logits, logits, stride * sizeof *logits);
    stream_flush(s, 1, keep, out);
    stream_destroy(s);
    return out;
}

/* Whether the form gives the results of f32, to the bit. If not, results name the form. */
static void compare(const char *path, weights_form form, int same)
{
    decoder *a = load(path, FORM_F32), *b = load(path, form);
    char core[2][64];
    scores *x = read_text(a), *y = read_text(b);
    decoder_core(a, core[0], sizeof core[0]);
    decoder_core(b, core[1], sizeof core[1]);
    assert_int_equal(memcmp(x, y, sizeof *x) == 0, same);
    assert_int_equal(strcmp(core[0], core[1]) == 0, same);
    double far = 0;
    for (int i = 1; i < TOKENS; i++) far = fmax(far, fabs(x->nll[i] - y->nll[i]));
    assert_true(far < 0.1);
    decoder_destroy(a);
    decoder_destroy(b);
    free(x);
    free(y);
}

static void test_stored_weights_give_the_same_bits(void **state)
{
    (void)state;
    static const char *const path[] = {"llama", "llama.gguf", "llama-untied", "llama-yarn.gguf", "llama2c.bin"};
    for (size_t i = 0; i < sizeof path / sizeof path[0]; i++) {
        char full[256];
        snprintf(full, sizeof full, GOLDEN "%s", path[i]);
        compare(full, FORM_STORED, 1);
    }
}

/* A copy of llama2c.bin whose numbers, bf16 all, are off by less than half a place: rounding brings them back. */
static void write_shifted(const char *path)
{
    enum { HEAD = 28 };
    FILE *from = fopen(GOLDEN "llama2c.bin", "rb"), *to = fopen(path, "wb");
    assert_non_null(from);
    assert_non_null(to);
    char head[HEAD];
    uint32_t bits;
    assert_int_equal(fread(head, 1, HEAD, from), HEAD);
    fwrite(head, 1, HEAD, to);
    while (fread(&bits, sizeof bits, 1, from) == 1) {
        bits |= 0x5000;
        fwrite(&bits, sizeof bits, 1, to);
    }
    fclose(from);
    fclose(to);
}

static void test_bf16_rounds_and_says_so(void **state)
{
    (void)state;
    if (sizeof(real) != sizeof(float)) return;
    compare(GOLDEN "llama", FORM_BF16, 1); /* it is bf16 already */
    const char *path = "build/test_forms.bin";
    write_shifted(path);
    compare(path, FORM_STORED, 1);
    compare(path, FORM_BF16, 0);
    remove(path);
}

/* What memory there is decides. */
static void test_auto(void **state)
{
    (void)state;
    decoder *d = load(GOLDEN "llama", FORM_F32);
    assert_int_equal(form_choose(FORM_AUTO, d), FORM_F32);
    assert_int_equal(form_choose(FORM_STORED, d), sizeof(real) == sizeof(float) ? FORM_STORED : FORM_F32);
    decoder_destroy(d);
}

int main(void)
{
    pal_error err;
    use_blas();
    if (pool_create(&threads, 2, &err) != PAL_OK) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stored_weights_give_the_same_bits),
                                       cmocka_unit_test(test_bf16_rounds_and_says_so),
                                       cmocka_unit_test(test_auto)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pool_destroy(threads);
    return failed;
}
