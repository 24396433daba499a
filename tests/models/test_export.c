/* Models written as HuggingFace folders and read back: the same config and the same bits; what has no counterpart
 * is refused by its key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "models/decoder/config_keys.h"
#include "models/import/export.h"
#include "models/import/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/golden/checkpoints/"
#define LLAMA                                                                                                     \
    "vocab = 40\nd_model = 24\nn_layers = 2\nn_heads = 4\nn_kv_heads = 2\nd_head = 8\nd_ff = 36\nsegment = 512\n" \
    "norm = rms\nfeed_forward = gated\nactivation = silu\nff_bias = 0\nrope_angles = single\n"

static char scratch[] = "/tmp/palimpsest-export-XXXXXX";
static pal_error err;
static int folders;

static const char *next_folder(void)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%d", scratch, folders++);
    return path;
}

static decoder *model_of(const char *settings)
{
    kv_pairs pairs = {0};
    model_config cfg;
    decoder *d = NULL;
    char text[1000];
    snprintf(text, sizeof text, "%s%s", LLAMA, settings);
    assert_int_equal(kv_pairs_parse(&pairs, text, "test", &err), PAL_OK);
    if (model_config_read(&cfg, &pairs, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(decoder_create(&d, &cfg, &err), PAL_OK);
    kv_pairs_free(&pairs);
    decoder_init(d, 7);
    for (size_t i = 0; i < decoder_weight_reals(d); i++)
        decoder_weights(d)[i] += (real)0.01; /* gains and biases */
    return d;
}

static void same_model(decoder *a, decoder *b)
{
    char *x = model_config_text(decoder_config(a)), *y = model_config_text(decoder_config(b));
    assert_string_equal(x, y);
    free(x);
    free(y);
    assert_int_equal(decoder_param_count(a), decoder_param_count(b));
    for (size_t i = 0; i < decoder_param_count(a); i++) {
        const decoder_param *p = decoder_param_at(a, i), *q = decoder_param_at(b, i);
        assert_string_equal(p->name, q->name);
        assert_memory_equal(decoder_weights(a) + p->offset, decoder_weights(b) + q->offset,
                            decoder_param_elements(p) * sizeof(real));
    }
}

static decoder *round_trip(decoder *d, st_dtype dtype)
{
    const export_options o = {.dtype = dtype, .begin = 3, .end = -1};
    const char *folder = next_folder();
    decoder *back = NULL;
    if (export_huggingface(d, folder, &o, &err) != PAL_OK) fail_msg("%s", err.text);
    if (model_load(folder, NULL, &back, NULL, NULL, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(export_huggingface(d, folder, &o, &err), PAL_USAGE); /* it is there already */
    return back;
}

static void every_family_comes_back(void **unused)
{
    (void)unused;
    static const char *const models[] = {
        "attention = full\n",
        "attention = full\ntied = 0\nrope_base = 500000\ncontext = 3K\n",
        "attention = full\nattn_bias = all\nff_bias = 1\nactivation = gelu\nd_head = 10\n",
        "attention = full\nattn_bias = qkv\nnorm_eps = 3e-6\n",
        "attention = full\nqk_norm = rms\n",
        "attention = full\nqk_norm = rms\nattn_bias = all\n",
        "attention = window\nwindow = 9\nsinks = 0\n",
        "attention = full\nrope_scaling = linear\nrope_factor = 2.5\n",
        "attention = full\nrope_scaling = llama3\nrope_factor = 8\nrope_low = 1.5\nrope_high = 5\nrope_original = "
        "64\n",
        "attention = full\nrope_scaling = yarn\nrope_factor = 4\nrope_original = 64\nrope_fast = 20\nrope_slow = "
        "2\n",
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        decoder *d = model_of(models[i]), *back = round_trip(d, ST_F32);
        same_model(d, back);
        decoder_destroy(back);
        decoder_destroy(d);
    }
}

/* BF16 rounds once: what comes back is what goes out again. */
static void bf16_rounds_once(void **unused)
{
    (void)unused;
    decoder *d = model_of("attention = full\n"), *once = round_trip(d, ST_BF16),
            *twice = round_trip(once, ST_BF16);
    same_model(once, twice);
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        for (size_t k = 0; k < decoder_param_elements(p); k++) {
            const double was = (double)decoder_weights(d)[p->offset + k],
                         is = (double)decoder_weights(once)[p->offset + k];
            assert_true((was - is) * (was - is) <= was * was / 256 / 256);
        }
    }
    decoder_destroy(d);
    decoder_destroy(once);
    decoder_destroy(twice);
}

/* Other programs' models: in, out and in again. */
static void golden_checkpoints_come_back(void **unused)
{
    (void)unused;
    static const char *const models[] = {"llama",      "llama-untied", "llama-wide-head", "llama-linear",
                                         "llama-yarn", "llama3",       "mistral",         "qwen2",
                                         "qwen3",      "llama.gguf"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[128];
        decoder *d = NULL;
        snprintf(path, sizeof path, GOLDEN "%s", models[i]);
        if (model_load(path, NULL, &d, NULL, NULL, &err) != PAL_OK) fail_msg("%s", err.text);
        decoder *back = round_trip(d, ST_F32);
        same_model(d, back);
        decoder_destroy(back);
        decoder_destroy(d);
    }
}

static void refused(const char *settings, const char *named)
{
    decoder *d = model_of(settings);
    const export_options o = {.dtype = ST_F32, .begin = -1, .end = -1};
    const char *folder = next_folder();
    assert_int_equal(export_huggingface(d, folder, &o, &err), PAL_USAGE);
    if (!strstr(err.text, named)) fail_msg("\"%s\" does not name %s", err.text, named);
    assert_false(os_file_exists(folder));
    decoder_destroy(d);
}

static void refusals(void **unused)
{
    (void)unused;
    refused("attention = infini-delta\n", "attention=infini-delta has no counterpart");
    refused("attention = local\n", "attention=full exports the rest");
    refused("attention = window\nsinks = 4\n", "sinks=4");
    refused("attention = window\nsinks = 0\nwindow_slides = segment\n", "window_slides=segment");
    refused("attention = window\nsinks = 0\nattn_bias = all\n", "attn_bias=all");
    refused("attention = full\nqk_norm = rms\nattn_bias = qkv\n", "attn_bias=qkv");
    refused("attention = window\nsinks = 0\nqk_norm = rms\n", "qk_norm=rms");
    refused("attention = full\nattn_bias = qkv\nff_bias = 1\n", "ff_bias=1");
    refused("attention = full\nnorm = layer\n", "norm=layer");
    refused("attention = full\nfeed_forward = plain\n", "feed_forward=plain");
    refused("attention = full\nembed_scale = sqrt_d_model\n", "embed_scale=sqrt_d_model");
    refused("attention = full\nfinal_norm = 0\n", "final_norm=0");
    refused("attention = full\noutput_bias = 1\n", "output_bias=1");
    refused("attention = full\nattn_scale = model\n", "attn_scale=model");
    refused("attention = full\nrope_layout = interleaved\n", "rope_layout=interleaved");
}

static int setup(void **unused)
{
    (void)unused;
    return mkdtemp(scratch) ? 0 : -1;
}

static int teardown(void **unused)
{
    char command[64];
    (void)unused;
    snprintf(command, sizeof command, "rm -r %s", scratch);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_comes_back),
        cmocka_unit_test(bf16_rounds_once),
        cmocka_unit_test(golden_checkpoints_come_back),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
