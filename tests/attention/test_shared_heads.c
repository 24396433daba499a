/* Query heads that share key heads: the same outputs as a layer of as many key heads with repeated weights, and a
 * state of the key heads alone. */
#include "models/decoder/config_keys.h"
#include "tests/lib/attention_oracle.h"

enum { SEGMENTS = 3, HEADS = 4, KV_HEADS = 2, D_HEAD = 6 };

#define SHAPE "n_heads = 4\nd_head = 6\n"

static void copy_rows(real *to, const real *from, size_t first, size_t count, size_t cols)
{
    memcpy(to, from + first * cols, count * cols * sizeof *to);
}

/* Give `whole` the weights of `shared`, each key head's for all its query heads. */
static void repeat_weights(lab *whole, lab *shared)
{
    for (size_t i = 0; i < whole->params; i++) {
        const char *name = whole->spec[i].name;
        const size_t cols = whole->spec[i].cols, each = whole->param_count[i] / HEADS;
        const real *from = shared->param[lab_param(shared, name)];
        real *to = whole->param[i];
        if (strcmp(name, "qkv_net.weight") == 0) {
            copy_rows(to, from, 0, HEADS * D_HEAD, cols);
            for (size_t part = 0; part < 2; part++)
                for (size_t h = 0; h < HEADS; h++)
                    copy_rows(to + ((1 + part) * HEADS + h) * D_HEAD * cols, from,
                              (HEADS + part * KV_HEADS + h / (HEADS / KV_HEADS)) * D_HEAD, D_HEAD, cols);
        } else if (strncmp(name, "write_gate", 10) == 0) {
            for (size_t h = 0; h < HEADS; h++)
                memcpy(to + h * each, from + h / (HEADS / KV_HEADS) * each, each * sizeof *to);
        } else {
            memcpy(to, from, whole->param_count[i] * sizeof *to);
        }
    }
}

static void shared_equals_repeated(const char *module, const char *settings, size_t layer)
{
    char all[300];
    snprintf(all, sizeof all, "%s%s", SHAPE, settings);
    const model_config whole_cfg = lab_config(module, all);
    snprintf(all, sizeof all, "%sn_kv_heads = 2\n%s", SHAPE, settings);
    const model_config shared_cfg = lab_config(module, all);
    lab whole, shared;
    lab_open(&whole, &whole_cfg, layer, 1, 1, 1);
    lab_open(&shared, &shared_cfg, layer, 1, 1, 1);
    repeat_weights(&whole, &shared);
    const size_t part = lab_segment_reals(&whole);
    real *x = lab_inputs(&whole, SEGMENTS, 61), *want = stream(&whole, x, SEGMENTS),
         *got = stream(&shared, x, SEGMENTS);
    for (size_t i = 0; i < SEGMENTS * part; i++) {
        const double off = fabs((double)got[i] - (double)want[i]);
        CHECK(off <= oracle_limit(), "output %zu is %.9g, expected %.9g", i, (double)got[i], (double)want[i]);
    }
    const int caches_inputs = strcmp(module, "transformer-xl") == 0;
    CHECK(caches_inputs || shared.state_reals * 2 == whole.state_reals,
          "a state of %zu reals, expected half of %zu", shared.state_reals, whole.state_reals);
    release(x, SEGMENTS * part, "x");
    release(want, SEGMENTS * part, "y");
    release(got, SEGMENTS * part, "y");
    lab_close(&whole);
    lab_close(&shared);
}

static void every_module(void **unused)
{
    (void)unused;
    shared_equals_repeated("local", "", 0);
    shared_equals_repeated("full", "context = 64\n", 0);
    shared_equals_repeated("transformer-xl", "mem_len = 20\n", 0);
    shared_equals_repeated("window", "window = 11\nsinks = 3\n", 0);
    shared_equals_repeated("window", "window = 11\nsinks = 3\nwindow_positions = absolute\n", 0);
    shared_equals_repeated("memorizing", "knn_entries = 24\nknn_k = 3\nxl_len = 5\n", 0);
    shared_equals_repeated("memorizing", "knn_entries = 24\nknn_k = 3\nxl_len = 5\n", 1);
    shared_equals_repeated("memorizing", "knn_entries = 24\nknn_k = 3\nxl_len = 5\nknn_mix = softmax\n", 1);
    shared_equals_repeated("infini-linear", "xl_len = 7\n", 0);
    shared_equals_repeated("infini-delta", "memory_key = previous\n", 0);
    shared_equals_repeated("infini-gated", "xl_len = 3\nmemory_key = previous\n", 0);
    shared_equals_repeated("infini-gated", "memory_z_rule = gamma\nmemory_z_init = 1\n", 0);
}

/* A number of key heads that does not divide the query heads is refused with both numbers. */
static void uneven_groups_are_refused(void **unused)
{
    (void)unused;
    pal_error err;
    kv_pairs pairs = {0};
    model_config cfg;
    assert_int_equal(kv_pairs_parse(&pairs, "attention = local\nn_heads = 4\nn_kv_heads = 3\n", "test", &err),
                     PAL_OK);
    assert_int_equal(model_config_read(&cfg, &pairs, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "n_kv_heads=3"));
    assert_non_null(strstr(err.text, "n_heads=4"));
    kv_pairs_free(&pairs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_module),
        cmocka_unit_test(uneven_groups_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
