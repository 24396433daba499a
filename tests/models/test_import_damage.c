/* What is refused of other programs' checkpoints, and how: by exit code, and one line that names file and fault.
 * Files are golden ones with one thing changed. */
#include "harness/base/os.h"
#include "models/import/import.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOLDEN "tests/golden/checkpoints/"

static char scratch[] = "/tmp/palimpsest-import-XXXXXX";

static const char *in_scratch(const char *name)
{
    static char path[4][200];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", scratch, name);
    return path[next];
}

static void write_file(const char *path, const void *data, size_t size)
{
    pal_error err;
    if (os_write_file(path, data, size, &err) != PAL_OK) fail_msg("%s", err.text);
}

__attribute__((noinline)) static char *read_file(const char *path, size_t *size)
{
    pal_error err;
    char *data;
    if (os_read_file(path, &data, size, &err) != PAL_OK) fail_msg("%s", err.text);
    return data;
}

/* A folder with the weights of `model`, and its config.json with `from` replaced by `to`. */
static void make_folder(const char *model, const char *from, const char *to)
{
    char path[200];
    size_t size;
    snprintf(path, sizeof path, GOLDEN "%s/model.safetensors", model);
    char *weights = read_file(path, &size);
    write_file(in_scratch("model.safetensors"), weights, size);
    free(weights);
    snprintf(path, sizeof path, GOLDEN "%s/config.json", model);
    char *config = read_file(path, &size), changed[8192];
    const char *place = strstr(config, from);
    if (!place) fail_msg("%s holds no %s", path, from);
    const int length =
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(place - config), config, to, place + strlen(from));
    write_file(in_scratch("config.json"), changed, (size_t)length);
    free(config);
}

/* Opening `path` fails with PAL_DATA and one line that holds both words. */
static void expect_refusal(const char *path, const char *first, const char *second)
{
    pal_error err = {0};
    decoder *d = NULL;
    if (model_load(path, NULL, &d, NULL, NULL, &err) == PAL_OK)
        fail_msg("%s opened; \"%s\" was expected", path, second);
    if (err.code != PAL_DATA || !strstr(err.text, first) || !strstr(err.text, second) || strchr(err.text, '\n'))
        fail_msg("code %d, \"%s\" lacks \"%s\" or \"%s\"", err.code, err.text, first, second);
}

static void refuse_config(const char *model, const char *from, const char *to, const char *word)
{
    make_folder(model, from, to);
    expect_refusal(scratch, "config.json", word);
}

static void test_configs(void **unused)
{
    (void)unused;
    static const char type[] = "\"model_type\": \"llama\"", act[] = "\"hidden_act\": \"silu\"";
    refuse_config("llama", type, "\"model_type\": \"gemma3\"", "\"gemma3\" cannot be read; these can: llama, ");
    refuse_config("llama", type, "\"model_kind\": \"llama\"", "model_type");
    refuse_config("llama", act, "\"hidden_act\": \"gelu\"", "hidden_act");
    refuse_config("llama", act, "\"quantization_config\": {\"bits\": 4}", "quantization_config");
    refuse_config("llama", act, "\"partial_rotary_factor\": 0.5", "partial_rotary_factor");
    refuse_config("llama", "\"hidden_size\": 16,", "", "hidden_size");
    refuse_config("llama", "\"hidden_size\": 16", "\"hidden_size\": \"16\"", "hidden_size");
    refuse_config("llama", "\"hidden_size\": 16", "\"hidden_size\": 1e9", "hidden_size");
    refuse_config("llama", "\"hidden_size\": 16", "\"hidden_size\": 100000", "width of 100000");
    refuse_config("llama", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "3 key heads");
    refuse_config("llama", "\"rope_type\": \"default\"", "\"rope_type\": \"longrope\", \"factor\": 2", "longrope");
    refuse_config("llama-linear", "\"factor\": 2.0", "\"fact\": 2.0", "factor");
    refuse_config("llama", "{", "[", "no JSON");
    refuse_config("qwen2", "\"use_sliding_window\": false", "\"use_sliding_window\": true, \"sliding_window\": 8",
                  "window");
}

static void test_weights_of_another_config(void **unused)
{
    (void)unused;
    make_folder("llama", "\"intermediate_size\": 24", "\"intermediate_size\": 32");
    expect_refusal(scratch, scratch, "[24, 16] where the model needs [32, 16]");
    make_folder("llama", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    expect_refusal(scratch, "model.layers.2", "is missing");
    make_folder("llama", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    expect_refusal(scratch, "model.layers.1", "has no place");
    make_folder("llama", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
    expect_refusal(scratch, "lm_head.weight", "is missing");
    make_folder("qwen3", "\"model_type\": \"qwen3\"", "\"model_type\": \"llama\"");
    expect_refusal(scratch, "_norm.weight", "has no place");
}

/* Every tensor says by one NaN that it is looked at. */
static void test_numbers_that_are_none(void **unused)
{
    (void)unused;
    make_folder("llama", "{", "{");
    size_t size;
    char *data = read_file(in_scratch("model.safetensors"), &size);
    data[size - 1] = 0x7f; /* BF16: the high byte of the last number */
    data[size - 2] = (char)0xc0;
    write_file(in_scratch("model.safetensors"), data, size);
    expect_refusal(scratch, scratch, "holds nan");
    free(data);
}

static void test_index(void **unused)
{
    (void)unused;
    static const char index[] = "model.safetensors.index.json", format[] = "{\"weight_map\": {\"%s\": \"%s\"}}";
    static const char *const bad[][3] = {
        {"model.norm.weight", "../model.safetensors", "no safetensors file of this folder"},
        {"model.norm.weight", "gone.safetensors", "not there"},
        {"model.strange.weight", "part.safetensors", "is in no file"},
    };
    char text[300];
    make_folder("llama", "{", "{");
    assert_int_equal(rename(in_scratch("model.safetensors"), in_scratch("part.safetensors")), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const int length = snprintf(text, sizeof text, format, bad[i][0], bad[i][1]);
        write_file(in_scratch(index), text, (size_t)length);
        expect_refusal(scratch, index, bad[i][2]);
    }
    write_file(in_scratch(index), "{}", 2);
    expect_refusal(scratch, index, "weight_map");
    const int length = snprintf(text, sizeof text, format, "model.norm.weight", "part.safetensors");
    write_file(in_scratch(index), text, (size_t)length);
    pal_error err;
    decoder *d;
    checkpoint_info info;
    if (model_load(scratch, NULL, &d, NULL, &info, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(strlen(info.digest), 64);
    decoder_destroy(d);
    checkpoint_info_free(&info);
    unlink(in_scratch(index));
    expect_refusal(scratch, scratch, "holds neither");
}

/* Cut anywhere, a file is refused or, of GGUF's padding, whole; one byte changed in the header never crashes. */
static void cut_and_flip(const char *name, size_t header)
{
    char path[200];
    size_t size;
    pal_error err;
    decoder *d;
    snprintf(path, sizeof path, GOLDEN "%s", name);
    char *data = read_file(path, &size);
    const char *to = in_scratch(name);
    for (size_t cut = 0; cut < size; cut += cut < header ? 1 : 997) {
        write_file(to, data, cut);
        assert_int_equal(model_load(to, NULL, &d, NULL, NULL, &err), PAL_DATA);
    }
    for (size_t i = 0; i < header; i++) {
        data[i] ^= 0x41;
        write_file(to, data, size);
        const int code = model_load(to, NULL, &d, NULL, NULL, &err);
        if (code == PAL_OK) decoder_destroy(d);
        assert_true(code == PAL_OK || code == PAL_DATA);
        data[i] ^= 0x41;
    }
    free(data);
}

static void test_damaged_files(void **unused)
{
    (void)unused;
    cut_and_flip("llama2c.bin", 28);
    cut_and_flip("llama.gguf", 700);
}

static int make_scratch(void **unused)
{
    (void)unused;
    return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **unused)
{
    (void)unused;
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_weights_of_another_config),
        cmocka_unit_test(test_numbers_that_are_none),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_damaged_files),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
