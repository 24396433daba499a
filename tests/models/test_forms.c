/* The forms in which weights are held: stored ones give the bits of expanded ones; bf16 those of rounded ones.
 * Golden files: tests/peer/tiny_checkpoints.py. */
#include "models/import/forms.h"

#include "harness/base/os.h"
#include "models/decoder/instead.h"
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
    if (model_read_weights_as(path, form, NULL, d, &err) != PAL_OK) fail_msg("%s", err.text);
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

/* A copy of llama2c.bin with one number, of a matrix in the middle, that is none. */
static void write_wild(const char *path)
{
    char *data;
    size_t size;
    pal_error err;
    const float wild = NAN;
    assert_int_equal(os_read_file(GOLDEN "llama2c.bin", &data, &size, &err), PAL_OK);
    memcpy(data + size / 8 * 4, &wild, sizeof wild);
    assert_int_equal(os_write_file(path, data, size, &err), PAL_OK);
    free(data);
}

/* The beginning of a decoder borrows its weights; all of it is the same model. */
static void test_beginning(void **state)
{
    (void)state;
    pal_error err;
    for (weights_form form = FORM_F32; form <= FORM_STORED; form++) {
        decoder *d = load(GOLDEN "llama-untied", form), *all = NULL, *one = NULL;
        const size_t layers = (size_t)decoder_config(d)->n_layers;
        assert_int_equal(decoder_shorten(&all, d, layers, &err), PAL_OK);
        assert_int_equal(decoder_shorten(&one, d, 1, &err), PAL_OK);
        assert_int_equal(decoder_config(one)->n_layers, 1);
        assert_int_equal(decoder_weight_reals(all) + decoder_weight_reals(one), 0);
        scores *x = read_text(d), *y = read_text(all), *z = read_text(one);
        assert_memory_equal(x, y, sizeof *x);
        assert_memory_not_equal(x, z, sizeof *x);
        decoder_destroy(d);
        decoder_destroy(one);
        decoder_destroy(all);
        free(x);
        free(y);
        free(z);
    }
}

/* Mapped weights are not looked at: what is wrong with them is not told either. */
static void test_map(void **state)
{
    (void)state;
    if (sizeof(real) != sizeof(float)) return;
    const char *path = "build/test_forms_map.bin";
    pal_error err;
    decoder *d = NULL;
    checkpoint_info info;
    write_wild(path);
    assert_int_equal(model_outline(path, NULL, &d, NULL, &info, &err), PAL_OK);
    assert_string_equal(info.digest, "");
    assert_string_equal(kv_pairs_value(&info.metadata, "stored"), "F32");
    assert_int_equal(model_map_weights(path, d, &err), PAL_OK);
    size_t matrices = 0;
    for (size_t i = 0; i < decoder_param_count(d); i++)
        if (decoder_param_at(d, i)->rows > 1) matrices += decoder_param_elements(decoder_param_at(d, i));
    assert_int_equal(decoder_mapped_bytes(d), matrices * sizeof(float));
    checkpoint_info_free(&info);
    decoder_destroy(d);
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

static void test_numbers_that_are_none_are_refused_in_every_form(void **state)
{
    (void)state;
    static const weights_form forms[] = {FORM_F32, FORM_STORED, FORM_BF16};
    const char *path = "build/test_forms_wild.bin";
    char said[3][sizeof((pal_error *)0)->text];
    write_wild(path);
    for (int i = 0; i < 3; i++) {
        pal_error err;
        decoder *d = NULL;
        assert_int_equal(model_describe(path, NULL, NULL, NULL, &d, NULL, NULL, &err), PAL_OK);
        assert_int_equal(model_read_weights_as(path, forms[i], NULL, d, &err), PAL_DATA);
        memcpy(said[i], err.text, sizeof said[i]);
        decoder_destroy(d);
    }
    assert_non_null(strstr(said[0], "holds nan at row"));
    assert_string_equal(said[1], said[0]);
    assert_string_equal(said[2], said[0]);
    remove(path);
}

/* Another attention on the weights of `lender`: nothing of the file is held twice, and the bits are those of
 * weights of its own. The lender may be destroyed first. */
static void expect_shared(const char *path, weights_form form, const char *attention, size_t own_reals)
{
    pal_error err;
    instead_words words = {0};
    decoder *lender = load(path, form), *d = NULL, *apart = NULL;
    assert_int_equal(instead_parse(attention, &words.own, &err), PAL_OK);
    assert_int_equal(kv_pairs_add(&words.common, "new_tensors", "start", "test", &err), PAL_OK);
    if (model_describe(path, &words, NULL, NULL, &d, NULL, NULL, &err) != PAL_OK) fail_msg("%s", err.text);
    if (model_describe(path, &words, NULL, NULL, &apart, NULL, NULL, &err) != PAL_OK) fail_msg("%s", err.text);
    if (model_read_weights_as(path, form, NULL, apart, &err) != PAL_OK) fail_msg("%s", err.text);
    if (model_read_weights_as(path, form, lender, d, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(decoder_weight_reals(d), own_reals);
    decoder_destroy(lender);
    scores *x = read_text(d), *y = read_text(apart);
    assert_memory_equal(x, y, sizeof *x);
    decoder_destroy(d);
    decoder_destroy(apart);
    instead_words_free(&words);
    free(x);
    free(y);
}

static void test_rows_of_one_file_share_its_weights(void **state)
{
    (void)state;
    enum { LAYERS = 2, ALIGNED = 64 / sizeof(real) }; /* a gate for each head, padded */
    for (weights_form form = FORM_F32; form <= FORM_STORED; form++) {
        expect_shared(GOLDEN "llama", form, "window:window=64", 0);
        expect_shared(GOLDEN "llama.gguf", form, "infini-linear:memory_from=0", LAYERS * ALIGNED);
        expect_shared(GOLDEN "llama-untied", form, "local:segment=32", 0);
    }
}

int main(void)
{
    pal_error err;
    use_blas();
    if (pool_create(&threads, 2, &err) != PAL_OK) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stored_weights_give_the_same_bits),
                                       cmocka_unit_test(test_bf16_rounds_and_says_so),
                                       cmocka_unit_test(test_numbers_that_are_none_are_refused_in_every_form),
                                       cmocka_unit_test(test_rows_of_one_file_share_its_weights),
                                       cmocka_unit_test(test_beginning),
                                       cmocka_unit_test(test_map),
                                       cmocka_unit_test(test_auto)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pool_destroy(threads);
    return failed;
}
