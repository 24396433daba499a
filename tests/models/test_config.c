/* Model configs: defaults, messages, the text that checkpoints carry, and what every attention module's option
 * table must be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/hash.h"
#include "models/attention/attention.h"
#include "models/decoder/config_keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int read_text(model_config *cfg, const char *text, pal_error *err)
{
    kv_pairs pairs = {0};
    int code = kv_pairs_parse(&pairs, text, "x.conf", err);
    if (code == PAL_OK) code = model_config_read(cfg, &pairs, err);
    kv_pairs_free(&pairs);
    return code;
}

static void must_read(model_config *cfg, const char *text)
{
    pal_error err;
    if (read_text(cfg, text, &err) != PAL_OK) fail_msg("%s", err.text);
}

static void assert_refused(const char *text, const char *message)
{
    pal_error err;
    model_config cfg;
    assert_int_equal(read_text(&cfg, text, &err), PAL_USAGE);
    assert_string_equal(err.text, message);
}

static void test_defaults(void **state)
{
    (void)state;
    model_config cfg;
    must_read(&cfg, "attention = local");
    assert_ptr_equal(cfg.attention, attn_find("local"));
    assert_int_equal(cfg.vocab, 256);
    assert_int_equal(cfg.d_model, 128);
    assert_int_equal(cfg.n_layers, 2);
    assert_int_equal(cfg.n_heads, 4);
    assert_int_equal(cfg.d_head, 32);
    assert_int_equal(cfg.d_ff, 512);
    assert_int_equal(cfg.segment, 128);
    assert_int_equal(cfg.activation, 0);
    assert_int_equal(cfg.embed_scale, 0);
    assert_int_equal(cfg.final_norm, 1);
    assert_int_equal(cfg.tied, 1);
    assert_int_equal(cfg.output_bias, 0);
    assert_int_equal(cfg.attn_scale, 0);
    assert_true(cfg.init_std == 0.02 && cfg.norm_eps == 1e-5);
}

static void test_overrides(void **state)
{
    (void)state;
    model_config cfg;
    must_read(&cfg,
              "Attention = LOCAL\nd_model = 1K\nsegment = 2K\nactivation = relu\ntied = 0\nattn_scale = model\n"
              "not_a_model_key = 7\n");
    assert_string_equal(cfg.attention_name, "local"); /* the table's spelling, so that hashes agree */
    assert_int_equal(cfg.d_model, 1024);
    assert_int_equal(cfg.segment, 2048);
    assert_int_equal(cfg.activation, 1);
    assert_int_equal(cfg.tied, 0);
    assert_true(fabs(model_attention_scale(&cfg) - 1 / 32.0) < 1e-15);
    cfg.attn_scale = 0;
    assert_true(fabs(model_attention_scale(&cfg) - 1 / sqrt(32.0)) < 1e-15);
}

static void test_messages(void **state)
{
    (void)state;
    assert_refused("attention = local\nsegment = 100", "segment=100: not a multiple of 16; use 112");
    assert_refused("attention = local\nd_head = 33",
                   "d_head=33: odd; positions rotate pairs of dimensions, use 34");
    assert_refused("attention = local\nn_layers = 0", "x.conf:2: n_layers=0: out of range; use 1 to 1024");
    assert_refused("attention = local\nactivation = swish",
                   "x.conf:2: activation=swish: unknown; choose gelu, relu or silu");
    assert_refused("attention = local\ntied = 2", "x.conf:2: tied=2: unknown; choose 0 or 1");
}

static void test_unknown_attention_lists_the_table(void **state)
{
    (void)state;
    pal_error err;
    model_config cfg;
    assert_int_equal(read_text(&cfg, "d_model = 64", &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "attention=: not given; choose one of "));
    assert_int_equal(read_text(&cfg, "attention = infinite", &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "attention=infinite: unknown; choose one of "));
    for (const attn_module *const *m = attn_table; *m; m++) assert_non_null(strstr(err.text, (*m)->name));
}

static void test_knows(void **state)
{
    (void)state;
    assert_true(model_config_knows(NULL, "D_MODEL"));
    assert_false(model_config_knows(NULL, "lr"));
    for (const attn_module *const *m = attn_table; *m; m++) {
        assert_true(model_config_knows(*m, "segment"));
        assert_false(model_config_knows(*m, "lr"));
        for (size_t i = 0; i < (*m)->option_count; i++) {
            assert_true(model_config_knows(*m, (*m)->options[i].key));
            assert_false(model_config_knows(NULL, (*m)->options[i].key));
        }
    }
}

static void test_option_tables(void **state)
{
    (void)state;
    for (const attn_module *const *m = attn_table; *m; m++) {
        assert_true((*m)->option_count <= MODEL_OPTIONS);
        for (size_t i = 0; i < (*m)->option_count; i++) {
            const kv_spec *row = &(*m)->options[i];
            assert_int_equal(row->offset, OPTION(i));
            assert_true(row->type == KV_INT || row->type == KV_SIZE || row->type == KV_REAL ||
                        row->type == KV_CHOICE || row->type == KV_LAYERS);
            assert_true(row->help && row->help[0]);
            for (size_t j = 0; j < i; j++) assert_int_not_equal(strcasecmp(row->key, (*m)->options[j].key), 0);
        }
    }
}

/* Text -> config -> text, with every option of every module moved off its default where its bounds allow. */
static void test_text_round_trip(void **state)
{
    (void)state;
    for (const attn_module *const *m = attn_table; *m; m++) {
        char source[200];
        model_config cfg, back;
        snprintf(source, sizeof source, "attention = %s\nd_model = 48\nn_heads = 3\ninit_std = 0.1\n", (*m)->name);
        must_read(&cfg, source);
        for (size_t i = 0; i < (*m)->option_count; i++) {
            const kv_spec *row = &(*m)->options[i];
            if (row->type != KV_REAL) continue;
            const double moved = cfg.option[i].r + 1.0 / 3;
            if (row->min >= row->max || moved <= row->max) cfg.option[i].r = moved;
        }
        char *text = model_config_text(&cfg);
        assert_non_null(text);
        must_read(&back, text);
        char *again = model_config_text(&back);
        assert_string_equal(again, text);
        assert_memory_equal(&back, &cfg, sizeof cfg);
        size_t shared, lines = 0, young = 0; /* young keys but numbers are at their defaults here */
        const kv_spec *row = model_config_table(&shared);
        for (size_t i = 0; i < shared; i++) young += (size_t)model_key_is_young(row[i].key);
        for (size_t i = 0; i < (*m)->option_count; i++)
            young += (*m)->options[i].type != KV_REAL && model_key_is_young((*m)->options[i].key);
        for (const char *c = text; *c; c++) lines += *c == '\n';
        assert_int_equal(lines, shared + (*m)->option_count - young);
        free(text);
        free(again);
    }
}

/* Results name a config by the hash of its text: those of models that were shipped before keys were added must
 * stay what the committed journals hold. */
static void test_shipped_hashes(void **state)
{
    (void)state;
    static const char shape[] = "vocab = 2048\nd_model = 128\nn_layers = 4\nn_heads = 4\nd_head = 32\nd_ff = 512\n"
                                "segment = 256\ninit_std = 0.05\n";
    static const char *const shipped[][3] = {
        {"attention = infini-gated\n", "xl_len = 32\nmemory_key = previous\nmemory_from = 1\n",
         "456a4d2740799b526e1ea3146ff1162cea1558cc76414f3ae758cf58a46fe27b"},
        {"attention = memorizing\n", "", "d16bd15fc912674df2ec647ca46339b71df9b90a58b3463fe12c636476a7dad4"},
    };
    for (size_t i = 0; i < sizeof shipped / sizeof shipped[0]; i++) {
        char source[400], digest[HASH_HEX + 1] = "";
        model_config cfg;
        snprintf(source, sizeof source, "%s%s%s", shipped[i][0], shape, shipped[i][1]);
        must_read(&cfg, source);
        char *text = model_config_text(&cfg);
        assert_non_null(text);
        hash_hex(text, strlen(text), digest);
        assert_memory_equal(digest, shipped[i][2], 64);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_messages),        cmocka_unit_test(test_unknown_attention_lists_the_table),
        cmocka_unit_test(test_knows),           cmocka_unit_test(test_option_tables),
        cmocka_unit_test(test_text_round_trip), cmocka_unit_test(test_shipped_hashes),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
