/* Filling models from weights: files of strangers, configs in files, numbers that are not finite. */
#include "tests/lib/weights_lab.h"

#include "harness/base/os.h"

#include <math.h>

/* ---- Filling from foreign weights, and configs in files. ---- */

/* The decoder's tensors, vectors as [1, n], with `change` applied to one of them and a stranger behind. */
static void make_weights_file(decoder *d, st_file *f, int drop, int grow, int whole)
{
    pal_error err;
    st_tensor *tensors = calloc(decoder_param_count(d) + 1, sizeof *tensors);
    size_t count = 0;
    for (int i = 0; i < (int)decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, (size_t)i);
        if (i == drop) continue;
        st_tensor *t = &tensors[count++];
        *t = (st_tensor){.dtype = i == whole ? ST_I32 : ST_F32, .dims = 2, .dim = {p->rows, p->cols}};
        strcpy(t->name, p->name);
        if (i == grow) t->dim[1]++;
    }
    tensors[count++] = (st_tensor){.name = "stranger", .dtype = ST_I64, .dims = 1, .dim = {3}};
    must(st_create(tensors, count, NULL, NULL, f, &err));
    free(tensors);
    for (size_t k = 0; k < f->count - 1; k++)
        for (size_t i = 0; i < f->tensor[k].bytes / 4; i++) {
            const float value = (float)(k + 1) + (float)i / 1024;
            memcpy((char *)f->tensor[k].data + 4 * i, &value, 4);
        }
}

static void test_fill_from_foreign_weights(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3);
    st_file f;
    make_weights_file(d, &f, -1, -1, -1);
    must(checkpoint_fill(d, &f, path, 0, &err));
    for (size_t k = 0; k < decoder_param_count(d); k++) {
        const decoder_param *p = decoder_param_at(d, k);
        for (size_t i = 0; i < decoder_param_elements(p); i++)
            assert_true((double)decoder_weights(d)[p->offset + i] == (double)(k + 1) + (double)i / 1024);
    }
    st_free(&f);
    decoder_destroy(d);
}

static void test_fill_names_the_first_misfit(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3);
    char *before = malloc(weight_bytes(d)), expected[300];
    memcpy(before, decoder_weights(d), weight_bytes(d));
    const decoder_param *p = decoder_param_at(d, 2);
    st_file f;

    make_weights_file(d, &f, 2, -1, -1);
    assert_int_equal(checkpoint_fill(d, &f, "w", 0, &err), PAL_DATA);
    snprintf(expected, sizeof expected, "w: the tensor \"%s\" is missing; the weights are of another model",
             p->name);
    assert_string_equal(err.text, expected);
    assert_memory_equal(before, decoder_weights(d), weight_bytes(d));
    /* It may keep what it holds, while the others are taken. */
    const size_t third = p->offset * sizeof(real), others = decoder_param_at(d, 3)->offset * sizeof(real);
    must(checkpoint_fill(d, &f, "w", 1, &err));
    assert_memory_equal(before + third, (char *)decoder_weights(d) + third,
                        decoder_param_elements(p) * sizeof(real));
    assert_memory_not_equal(before + others, (char *)decoder_weights(d) + others, sizeof(real));
    memcpy(decoder_weights(d), before, weight_bytes(d));
    st_free(&f);

    make_weights_file(d, &f, -1, 2, -1);
    assert_int_equal(checkpoint_fill(d, &f, "w", 0, &err), PAL_DATA);
    snprintf(expected, sizeof expected, "the tensor \"%s\" has %zu numbers where the model has %zu", p->name,
             p->rows * (p->cols + 1), p->rows * p->cols);
    assert_non_null(strstr(err.text, expected));
    st_free(&f);

    make_weights_file(d, &f, -1, -1, 2);
    assert_int_equal(checkpoint_fill(d, &f, "w", 0, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "holds whole numbers"));
    st_free(&f);

    assert_memory_equal(before, decoder_weights(d), weight_bytes(d));
    free(before);
    decoder_destroy(d);
}

static void assert_config_refused(const char *config, const char *message)
{
    pal_error err;
    st_file f;
    decoder *d = NULL;
    const st_tensor stranger = {.name = "stranger", .dtype = ST_F32, .dims = 1, .dim = {3}};
    must(st_create(&stranger, 1, config, NULL, &f, &err));
    must(st_write(path, &f, &err));
    st_free(&f);
    assert_int_equal(checkpoint_load(path, &d, NULL, &err), PAL_DATA);
    if (!strstr(err.text, message)) fail_msg("%s\nwas the answer to %s", err.text, config);
    assert_null(d);
}

static void test_configs_in_files(void **state)
{
    (void)state;
    assert_config_refused("attention = nonesuch\n", "its attention=nonesuch: unknown");
    assert_config_refused("attention = local\nd_ff = x\n", "its config:2: d_ff=x: not a whole number");
    assert_config_refused("attention = local\nd_fff = 3\n", "its config:2: unknown key \"d_fff\"");
    assert_config_refused("words\n", "its config:1: \"words\" is not a setting");
}

/* A config claims more than the file holds: refused before memory in proportion to the claim is taken. */
static void test_wild_configs_cost_nothing(void **state)
{
    (void)state;
    const uint64_t before = os_peak_rss();
    assert_config_refused("attention = local\nvocab = 16M\nd_model = 64K\n", "is missing");
    assert_config_refused("attention = infini-delta\nn_heads = 1024\nd_head = 4096\n", "is missing");
    assert_config_refused("attention = transformer-xl\nn_layers = 1024\nd_ff = 1048576\n", "is missing");
    /* The first tensors are there; the attention's would be the large ones. */
    pal_error err;
    decoder *d = make_decoder("", 3), *back = NULL;
    st_file f, wild;
    must(checkpoint_save(path, d, NULL, ST_F32, NULL, &err));
    must(st_read(path, &f, &err));
    char config[3000];
    snprintf(config, sizeof config, "%s\nn_heads = 1024\nd_head = 4096\n", f.config);
    must(st_create(f.tensor, f.count, config, NULL, &wild, &err));
    must(st_write(path, &wild, &err));
    assert_int_equal(checkpoint_load(path, &back, NULL, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "numbers where the model has"));
    st_free(&wild);
    st_free(&f);
    decoder_destroy(d);
    assert_true(os_peak_rss() - before < (uint64_t)64 << 20);
}

/* A number that is not finite is refused in every kind of tensor, to evaluate, to start from and to go on
 * training; the message says which. */
static void test_weights_that_are_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const char *const modules[] = {"attention = infini-gated\noutput_bias = 1\n",
                                          "attention = transformer-xl\nactivation = relu\ntied = 0\n"};
    pal_error err;
    for (size_t m = 0; m < sizeof modules / sizeof *modules; m++) {
        decoder *d = make_decoder(modules[m], 3), *back = NULL;
        for (size_t i = 0; i < decoder_param_count(d); i++) {
            const decoder_param *p = decoder_param_at(d, i);
            const size_t at = decoder_param_elements(p) - 1 - i % decoder_param_elements(p) / 2;
            real *w = decoder_weights(d) + p->offset + at, kept = *w;
            *w = (real)bad[i % 3];
            must(checkpoint_save(path, d, NULL, i % 2 ? ST_F32 : ST_BF16, NULL, &err));
            *w = kept;
            char said[300];
            snprintf(said, sizeof said, "%s: the tensor \"%s\" holds %g at index %zu; ", path, p->name,
                     (double)bad[i % 3], at);
            assert_int_equal(checkpoint_load(path, &back, NULL, &err), PAL_DATA);
            assert_null(back);
            if (!strstr(err.text, said)) fail_msg("%s\ninstead of %s", err.text, said);
            st_file f;
            must(st_read(path, &f, &err));
            assert_int_equal(checkpoint_fill(d, &f, path, 1, &err), PAL_DATA);
            assert_true(*w == kept);
            st_free(&f);
        }
        decoder_destroy(d);
    }
}

/* Weights in half precision load as the numbers that they are. */
static void test_half_precision_weights(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3), *back = NULL;
    char *config = model_config_text(decoder_config(d));
    st_tensor *tensors = calloc(decoder_param_count(d), sizeof *tensors);
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        tensors[i] = (st_tensor){.dtype = ST_F16, .dims = 2, .dim = {p->rows, p->cols}};
        strcpy(tensors[i].name, p->name);
    }
    st_file f;
    must(st_create(tensors, decoder_param_count(d), config, NULL, &f, &err));
    for (size_t i = 0; i < f.count; i++)
        for (size_t k = 0; k < st_elements(&f.tensor[i]); k++) {
            const uint16_t half = (uint16_t)(0x3c00 | (i + k) % 1024); /* 1 + (i + k) / 1024 */
            memcpy((char *)f.tensor[i].data + 2 * k, &half, sizeof half);
        }
    must(st_write(path, &f, &err));
    must(checkpoint_load(path, &back, NULL, &err));
    for (size_t i = 0; i < decoder_param_count(back); i++) {
        const decoder_param *p = decoder_param_at(back, i);
        for (size_t k = 0; k < decoder_param_elements(p); k++)
            assert_true((double)decoder_weights(back)[p->offset + k] == 1 + (double)((i + k) % 1024) / 1024);
    }
    st_free(&f);
    free(tensors);
    free(config);
    decoder_destroy(back);
    decoder_destroy(d);
}

static void test_optimiser_that_is_not_finite(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3);
    optimiser opt = {0};
    optimiser_config cfg = {.kind = 0, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8};
    must(optimiser_create(&opt, &cfg, d, &err));
    real *const moments[] = {opt.first, opt.second};
    for (size_t i = 0; i < 2; i++) {
        moments[i][5] = (real)NAN;
        must(checkpoint_save(path, d, &opt, ST_F32, NULL, &err));
        moments[i][5] = 0;
        assert_int_equal(checkpoint_resume(path, d, &opt, NULL, &err), PAL_DATA);
        assert_non_null(
            strstr(err.text, i ? "\"optimiser.second\" holds nan at index 5" : "\"optimiser.first\" holds"));
    }
    optimiser_destroy(&opt);
    decoder_destroy(d);
}

static void test_file_without_config(void **state)
{
    (void)state;
    pal_error err;
    st_file f;
    decoder *d = NULL;
    must(st_create(NULL, 0, NULL, NULL, &f, &err));
    must(st_write(path, &f, &err));
    st_free(&f);
    assert_int_equal(checkpoint_load(path, &d, NULL, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "holds no model config; only checkpoints written by this program do"));
}

static void test_stranger_in_our_file(void **state)
{
    (void)state;
    pal_error err;
    decoder *d = make_decoder("", 3), *back = NULL;
    st_file weights, f;
    make_weights_file(d, &weights, -1, -1, -1);
    char *config = model_config_text(decoder_config(d));
    must(st_create(weights.tensor, weights.count, config, NULL, &f, &err));
    must(st_write(path, &f, &err));
    assert_int_equal(checkpoint_load(path, &back, NULL, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "\"stranger\" does not belong to the model"));
    free(config);
    st_free(&weights);
    st_free(&f);
    decoder_destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill_from_foreign_weights),
        cmocka_unit_test(test_fill_names_the_first_misfit),
        cmocka_unit_test(test_configs_in_files),
        cmocka_unit_test(test_wild_configs_cost_nothing),
        cmocka_unit_test(test_weights_that_are_not_finite),
        cmocka_unit_test(test_half_precision_weights),
        cmocka_unit_test(test_optimiser_that_is_not_finite),
        cmocka_unit_test(test_file_without_config),
        cmocka_unit_test(test_stranger_in_our_file),
    };
    return cmocka_run_group_tests_name("checkpoint_fill", tests, make_directory, remove_directory);
}
