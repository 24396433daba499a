/* A model of another program through the binary: named by its path, journaled with what is known of it, refused
 * where it cannot be what is asked for. The folder is one of our own, exported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/import/export.h"
#include "tests/lib/program.h"

#define LLAMA                                                                                                     \
    "attention = full\ncontext = 2K\nvocab = 256\nd_model = 16\nn_layers = 2\nn_heads = 2\nn_kv_heads = 1\n"      \
    "d_head = 8\nd_ff = 24\nsegment = 64\nnorm = rms\nfeed_forward = gated\nactivation = silu\nff_bias = 0\n"     \
    "init_std = 0.2\n"

static char folder_word[160], data_word[160];

static int make_folder(void **state)
{
    const export_options o = {.dtype = ST_BF16, .begin = -1, .end = -1};
    if (make_scratch(state) != 0) return -1;
    decoder *d = tiny_model(LLAMA, 5);
    if (export_huggingface(d, path_of("TinyLlama"), &o, &err) != PAL_OK) return -1;
    decoder_destroy(d);
    snprintf(folder_word, sizeof folder_word, "model=%s/TinyLlama/", scratch);
    snprintf(data_word, sizeof data_word, "data=%s/sea", scratch);
    return 0;
}

/* The SHA-256 of config.json and model.safetensors one behind the other. */
static void digest_of_folder(char out[HASH_HEX])
{
    static const char *const names[] = {"TinyLlama/config.json", "TinyLlama/model.safetensors"};
    char *all = NULL;
    size_t used = 0;
    for (int i = 0; i < 2; i++) {
        char *data;
        size_t size;
        assert_int_equal(os_read_file(path_of(names[i]), &data, &size, &err), PAL_OK);
        all = realloc(all, used + size);
        memcpy(all + used, data, size);
        used += size;
        free(data);
    }
    hash_hex(all, used, out);
    free(all);
}

static void expect_in(const char *text, const char *word)
{
    if (!strstr(text, word)) fail_msg("\"%s\" is not in %.1500s", word, text);
}

static void test_evaluation(void **unused)
{
    (void)unused;
    char digest[HASH_HEX];
    check_success(RUN("eval", "perplexity", folder_word, "tokenizer=bytes", data_word, "max_tokens=300",
                      "references=0", "plots=0", results_word("a")));
    check_output_has("TinyLlama");
    char *journal = slurp(path_of("a/perplexity-journal.jsonl"));
    digest_of_folder(digest);
    expect_in(journal, "\"model\":\"TinyLlama\"");
    expect_in(journal, digest);
    expect_in(journal, "\"facts\":{\"attention\":\"full\",\"trained_on\":\"\"");
    /* A second time there is nothing to do, whatever else was asked for in between. */
    check_success(RUN("eval", "perplexity", folder_word, "tokenizer=bytes", data_word, "max_tokens=1500",
                      "references=0", "plots=0", results_word("a")));
    char *longer = slurp(path_of("a/perplexity-journal.jsonl"));
    check_success(RUN("eval", "perplexity", folder_word, "tokenizer=bytes", data_word, "max_tokens=300",
                      "references=0", "plots=0", results_word("a")));
    char *again = slurp(path_of("a/perplexity-journal.jsonl"));
    assert_true(strlen(longer) > strlen(journal));
    assert_string_equal(again, longer);
    free(journal);
    free(longer);
    free(again);
    check_success(RUN("tables", results_word("a")));
    char *table = slurp(path_of("a/tables/table2-perplexity.md"));
    expect_in(table, "TinyLlama");
    free(table);
    check_success(RUN("report", results_word("a")));
}

/* How much memory the cache was given, and beside whom a sample ran, changes no bit. */
static void test_bits(void **unused)
{
    (void)unused;
    static const char *const also[][2] = {{"threads=1", "batch=1"}, {"threads=2", "batch=4"}};
    char *csv[2];
    for (int i = 0; i < 2; i++) {
        char name[8] = {(char)('b' + i), 0}, file[64];
        check_success(RUN("eval", "perplexity", folder_word, "tokenizer=bytes", data_word, "max_tokens=500",
                          "docs=4", "references=0", "plots=0", also[i][0], also[i][1], results_word(name)));
        snprintf(file, sizeof file, "%s/perplexity-paired.csv", name);
        csv[i] = slurp(path_of(file));
    }
    assert_string_equal(csv[0], csv[1]);
    free(csv[0]);
    free(csv[1]);
}

static void test_refusals(void **unused)
{
    (void)unused;
    check_refusal(PAL_USAGE, RUN("eval", "perplexity", folder_word, data_word, results_word("d")),
                  "no tokenizer lies there; name one with tokenizer=");
    check_refusal(
        PAL_USAGE,
        RUN("eval", "perplexity", folder_word, "tokenizer=bytes", data_word, "references=0", results_word("e")),
        "holds at most 2K tokens");
    char word[160];
    snprintf(word, sizeof word, "model=%s/sea", scratch);
    check_refusal(PAL_DATA, RUN("eval", "perplexity", word, "tokenizer=bytes", data_word, results_word("f")),
                  "holds no config.json");
}

static void test_generation(void **unused)
{
    (void)unused;
    check_success(
        RUN("generate", folder_word, "tokenizer=bytes", "prompt=the whale", "max_tokens=8", "temperature=0"));
    check_output_has("the whale");
    check_refusal(PAL_USAGE,
                  RUN("generate", folder_word, "tokenizer=bytes", "prompt=the whale", "max_tokens=3000"),
                  "2048 tokens");
}

/* The form of the weights changes how fast text is written, not the text; bf16 alone rounds. */
static void test_generation_by_form(void **unused)
{
    (void)unused;
    static const char *const form[] = {"hold=f32", "hold=stored", "hold=auto"};
    char *text[3];
    for (size_t i = 0; i < 3; i++) {
        check_success(RUN("generate", folder_word, "tokenizer=bytes", "prompt=the whale", "max_tokens=40",
                          i ? "threads=2" : "threads=1", form[i]));
        text[i] = slurp(out_path);
        assert_string_equal(text[0], text[i]);
    }
    for (size_t i = 0; i < 3; i++) free(text[i]);
    check_success(
        RUN("generate", folder_word, "tokenizer=bytes", "prompt=the whale", "max_tokens=8", "hold=bf16"));
    check_refusal(PAL_USAGE, RUN("generate", folder_word, "tokenizer=bytes", "hold=f16"), "hold=f16");
}

/* A row of its own; text is only written where that is asked for, or everything is. */
static void test_speed_of_writing(void **unused)
{
    (void)unused;
    check_success(RUN("bench", folder_word, "mode=write", "seconds=0.1", "batch=1,2", "format=csv"));
    check_output_has("write,1,");
    check_output_has("write,2,");
    check_success(RUN("bench", folder_word, "mode=eval", "seconds=0.1", "batch=1", "format=csv"));
    char *text = slurp(out_path);
    assert_null(strstr(text, "write"));
    free(text);
}

/* Weights of this program, and what is beside a base, are measured as they are. */
static void test_speed_of_ours(void **unused)
{
    (void)unused;
    check_success(
        RUN("bench", "model=models/weights/text-300k-local.safetensors", "mode=eval", "seconds=0.1", "batch=1"));
    check_output_has("local, d_model 64, 4 layers");
    check_success(RUN("bench", "model=models/weights/text-300k-local.safetensors", "attention=local:segment=64",
                      "mode=eval", "seconds=0.1", "batch=1"));
    check_output_has("segment 64:");
    check_refusal(PAL_DATA, RUN("bench", "model=models/weights/none.safetensors", "seconds=0.1"),
                  "none.safetensors");
    check_refusal(PAL_USAGE, RUN("bench", "model=models/weights/text-300k-local.safetensors", "hold=bf16"),
                  "is held in f32");

    char init[200], out[200], log[200], adapter[200];
    snprintf(init, sizeof init, "init=%s/TinyLlama/", scratch);
    snprintf(out, sizeof out, "out=%s/adapter.safetensors", scratch);
    snprintf(log, sizeof log, "log=%s/adapter.csv", scratch);
    snprintf(adapter, sizeof adapter, "model=%s/adapter.safetensors", scratch);
    check_success(RUN("train", "task=passkey", init, "tokenizer=bytes", "attention=infini-gated", "segment=64",
                      "trains=new", "train_len=512", "train_steps=1", "batch_tokens=512", out, log));
    check_success(RUN("bench", adapter, "mode=eval", "seconds=0.1", "batch=1"));
    check_output_has("infini-gated, d_model");
}

/* A plan says in what form the weights will be held. */
static void test_plan(void **unused)
{
    (void)unused;
    check_success(RUN("plan", "perplexity", folder_word, "tokenizer=bytes", data_word, "max_tokens=300"));
    check_output_has("TinyLlama: weights are expanded to f32");
    check_success(
        RUN("plan", "perplexity", folder_word, "tokenizer=bytes", data_word, "max_tokens=300", "hold=stored"));
    check_output_has("TinyLlama: weights stay in the file");
}

/* Whoever lacks the real model learns how to get it, wherever it is named. */
static void test_a_missing_model(void **unused)
{
    (void)unused;
    static const char path[] = "models/fetched/none.gguf: there is no such file; `make models` brings it";
    check_refusal(PAL_USAGE, RUN("eval", "passkey", "model=models/fetched/none.gguf", "len=1K", "n=1"), path);
    check_refusal(PAL_DATA, RUN("bench", "model=models/fetched/none.gguf", "seconds=0.1"), path);
    check_refusal(PAL_USAGE, RUN("eval", "passkey", "model=other/none.gguf", "len=1K", "n=1"), "no such file\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_missing_model),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_generation),
        cmocka_unit_test(test_generation_by_form),
        cmocka_unit_test(test_speed_of_writing),
        cmocka_unit_test(test_speed_of_ours),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_scratch);
}
