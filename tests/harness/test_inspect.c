/* What a prompt holds and what a model writes, through the binary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/program.h"

#include <jansson.h>

static json_t *shown(void)
{
    char *text = slurp(out_path);
    json_t *object = json_loads(text, 0, NULL);
    if (!object) fail_msg("not JSON:\n%s", text);
    free(text);
    return object;
}

static const char *string_at(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

#define SHOW "show", "passkey", "tokenizer=bytes", "len=1K", "format=jsonl"

/* The needle stands where the record says, holds the key, and the answer is the key; tokens are bytes here. */
static void test_show_passkey(void **state)
{
    (void)state;
    check_success(RUN(SHOW, "depths=50", "index=3", "max=0"));
    json_t *object = shown(), *record = json_object_get(object, "record");
    const char *prompt = string_at(object, "prompt"), *key = string_at(record, "key");
    assert_int_equal(strlen(key), 5);
    assert_string_equal(string_at(object, "cell"), "len=1024,depth=50");
    assert_int_equal(json_integer_value(json_object_get(object, "tokens")), 1024);
    assert_int_equal(strlen(prompt) + strlen(string_at(object, "answer")), 1024);
    const json_int_t offset = json_integer_value(json_object_get(record, "needle_offset"));
    assert_non_null(strstr(prompt + offset, key));
    assert_true(strstr(prompt + offset, key) - (prompt + offset) < 40);
    assert_non_null(strstr(string_at(object, "answer"), key));
    assert_null(json_object_get(record, "argmax"));
    json_t *whole = json_deep_copy(object);

    /* Shortened: the same ends, and a mark that counts what is not there. */
    check_success(RUN(SHOW, "depths=50", "index=3", "max=100"));
    json_t *part = shown();
    const char *cut = string_at(part, "prompt");
    const size_t left_out = (size_t)json_integer_value(json_object_get(part, "left_out_bytes"));
    assert_int_equal(left_out, strlen(prompt) - 100);
    assert_memory_equal(cut, prompt, 50);
    assert_string_equal(cut + strlen(cut) - 50, prompt + strlen(prompt) - 50);
    assert_non_null(strstr(cut, "bytes left out; max=0 shows all"));
    json_decref(part);
    json_decref(whole);
    json_decref(object);

    /* The text form holds the same. */
    check_success(RUN("show", "passkey", "tokenizer=bytes", "len=1K", "depths=50", "index=3"));
    check_output_has("tokens:         1024 (prompt ");
    check_output_has("--- prompt ---\n");
    check_output_has("--- answer ---\n");
    check_output_has("needle_offset:");

    /* A digest, as the commands of a page name it. */
    check_success(RUN("show", "passkey", "tokenizer=58d142d23a58", "len=1K", "format=jsonl"));
    object = shown();
    check_success(RUN("show", "passkey", "tokenizer=models/tokenizers/text-2k.json", "len=1K", "format=jsonl"));
    whole = shown();
    assert_true(json_equal(object, whole));
    json_decref(object);
    json_decref(whole);
    check_refusal(2, RUN("show", "passkey", "tokenizer=00000000", "len=1K"), "digest");
}

static void test_show_others(void **state)
{
    (void)state;
    char data[128];
    snprintf(data, sizeof data, "data=%s", path_of("sea"));
    check_success(RUN("show", "perplexity", "tokenizer=bytes", data, "index=1", "format=jsonl"));
    json_t *object = shown();
    assert_int_equal(strlen(string_at(object, "prompt")), 1 + 200); /* a stream of bytes begins with a newline */
    assert_string_equal(string_at(object, "answer"), "");
    json_decref(object);
    check_success(RUN("show", "booksum", "tokenizer=bytes", "len=700", "index=2"));
    check_output_has("Summary:");
    check_refusal(PAL_USAGE, RUN("show", "perplexity", "tokenizer=bytes", data, "index=4"), "index=4");
    check_success(RUN(SHOW, "cell=len=1024,depth=100"));
    check_output_has("len=1024,depth=100");
    check_refusal(PAL_USAGE, RUN(SHOW, "cell=3"), "3 cells");
    check_refusal(PAL_USAGE, RUN(SHOW, "cell=len=1"), "3 cells");
    check_refusal(PAL_USAGE, RUN(SHOW, "index=5", "n=2"), "2 samples");
    check_refusal(PAL_USAGE, RUN("show", "passkey", "lenn=1K"), "did you mean len?");
    check_refusal(PAL_DATA, RUN("show", "passkey", "tokenizer=/no/such"), "/no/such");
}

static char *written(const char *const *more)
{
    const char *words[16] = {"generate", weights_word, "model=transformer-xl", "prompt=It was a dark",
                             "max_tokens=150"};
    for (int i = 0; more[i]; i++) words[5 + i] = more[i];
    check_success(run(words));
    return slurp(out_path);
}

#define WRITTEN(...) written((const char *const[]){__VA_ARGS__, NULL})

static void test_generate(void **state)
{
    (void)state;
    char *one = WRITTEN("threads=1", "seed=5"), *two = WRITTEN("threads=2", "seed=5"), *other = WRITTEN("seed=6"),
         *greedy = WRITTEN("temperature=0", "seed=5"), *first = WRITTEN("top_k=1", "seed=9"),
         *bare = WRITTEN("--no-echo", "seed=5", "threads=1");
    assert_string_equal(one, two);
    assert_string_not_equal(one, other);
    assert_string_not_equal(one, greedy);
    assert_string_equal(greedy, first); /* one candidate is the likeliest */
    assert_memory_equal(one, "It was a dark", 13);
    assert_string_equal(one + 13, bare);
    char *file = WRITTEN("seed=5"), word[160];
    assert_int_equal(os_write_file(path_of("prompt.txt"), "It was a dark", 13, &err), PAL_OK);
    snprintf(word, sizeof word, "prompt_file=%s", path_of("prompt.txt"));
    check_success(RUN("generate", weights_word, "model=transformer-xl", word, "max_tokens=150", "seed=5"));
    char *same = slurp(out_path);
    assert_string_equal(file, same);
    char *const all[] = {one, two, other, greedy, first, bare, file, same};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void test_generate_refusals(void **state)
{
    (void)state;
    char full[160];
    snprintf(full, sizeof full, "model=%s", path_of("full.safetensors"));
    check_refusal(PAL_USAGE, RUN("generate", full, "prompt=x", "max_tokens=5K"), "holds 4096 tokens");
    check_refusal(PAL_USAGE, RUN("generate", weights_word, "model=all", "prompt=x"), "generate takes one");
    check_refusal(PAL_USAGE, RUN("generate", weights_word, "model=transformr-xl"), "did you mean transformer-xl?");
    check_refusal(PAL_USAGE, RUN("generate", full, "prompt=x", "prompt_file=y"), "not both");
    check_refusal(PAL_DATA, RUN("generate", full, "prompt_file=/no/such"), "/no/such");
    check_refusal(PAL_USAGE, RUN("generate", full, "temperature=-1"), "out of range");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_show_passkey),
        cmocka_unit_test(test_show_others),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_generate_refusals),
    };
    return cmocka_run_group_tests_name("inspect", tests, make_scratch, remove_scratch);
}
