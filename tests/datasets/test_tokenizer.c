/* Tokenizers as the rest sees them: encoding in any pieces, decoding, tokenizer.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/tokenizer/bytes.h"
#include "datasets/words/bpe_words.h"
#include "harness/base/os.h"
#include "tests/lib/tokenizer_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/test_tokenizer.XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[sizeof folder + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* A long text goes through the cache of words, its parts do not. */
static void test_cache_changes_nothing(void **state)
{
    (void)state;
    tokenizer *t = trained(4, 600);
    rng r = rng_make(4, "test/cache", 0, 0);
    enum { SIZE = 1 << 16 };
    char *text = malloc(SIZE);
    int32_t *whole = malloc(SIZE * sizeof *whole), *parts = malloc(SIZE * sizeof *parts);
    assert_true(text && whole && parts);
    size_t size = 0;
    while (size + ROOM < SIZE) size += random_text(&r, text + size, ROOM);
    const size_t count = tokenizer_encode(t, text, size, whole);
    size_t sum = 0;
    for (size_t at = 0, end; at < size; at = end) {
        int sure;
        end = bpe_word_end(text, size, at, BPE_SINGLE_DIGITS, &sure);
        sum += tokenizer_encode(t, text + at, end - at, parts + sum);
    }
    assert_int_equal(sum, count);
    assert_memory_equal(whole, parts, count * sizeof *whole);
    free(text);
    free(whole);
    free(parts);
    tokenizer_destroy(t);
}

static void test_any_chunking(void **state)
{
    (void)state;
    tokenizer *bytes, *t = trained(5, 600);
    pal_error err;
    succeed(tokenizer_create_bytes(&bytes, &err), &err);
    rng r = rng_make(5, "test/chunks", 0, 0);
    for (int round = 0; round < 400; round++) {
        const tokenizer *of = round % 8 ? t : bytes;
        char text[ROOM];
        int32_t whole[ROOM], pieces[ROOM];
        const size_t size = random_text(&r, text, 300), count = tokenizer_encode(of, text, size, whole);
        size_t sum = 0, done = 0, read = 0;
        while (done < size) {
            read += 1 + rng_below(&r, 40);
            while (read < size && (text[read] & 0xc0) == 0x80) read++;
            if (read > size) read = size;
            const size_t left = read - done;
            const size_t safe = read == size ? left : tokenizer_safe_prefix(of, text + done, left);
            sum += tokenizer_encode(of, text + done, safe, pieces + sum);
            done += safe;
        }
        assert_int_equal(sum, count);
        assert_memory_equal(pieces, whole, count * sizeof *whole);
    }
    tokenizer_destroy(bytes);
    tokenizer_destroy(t);
}

/* Quadratic work on a megabyte would run for hours. */
static void test_long_runs(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    tokenizer *t = trained(6, 512);
    char *text = malloc(SIZE);
    int32_t *token = malloc(SIZE * sizeof *token);
    assert_true(text && token);
    static const char *const unit[] = {"a", " ", "the", "é"};
    for (size_t u = 0; u < sizeof unit / sizeof *unit; u++) {
        const size_t length = strlen(unit[u]), size = SIZE / length * length;
        for (size_t i = 0; i < size; i += length) memcpy(text + i, unit[u], length);
        const size_t count = tokenizer_encode(t, text, size, token);
        char *back = malloc(SIZE + 1);
        assert_non_null(back);
        assert_int_equal(tokenizer_decode(t, token, count, back, SIZE + 1), size);
        assert_memory_equal(back, text, size);
        free(back);
        assert_true(tokenizer_safe_prefix(t, text, size) <= size);
    }
    free(text);
    free(token);
    tokenizer_destroy(t);
}

/* ---- Decoding. ---- */

static void test_round_trip(void **state)
{
    (void)state;
    tokenizer *bytes, *t = trained(7, 900);
    pal_error err;
    succeed(tokenizer_create_bytes(&bytes, &err), &err);
    rng r = rng_make(7, "test/round", 0, 0);
    for (int round = 0; round < 300; round++) {
        const tokenizer *of = round % 2 ? t : bytes;
        char text[ROOM], back[ROOM + 1];
        int32_t token[ROOM];
        const size_t size = random_text(&r, text, sizeof text), count = tokenizer_encode(of, text, size, token);
        assert_true(count <= size);
        assert_int_equal(tokenizer_decode(of, token, count, back, sizeof back), size);
        assert_memory_equal(back, text, size);
        assert_int_equal(back[size], 0);
    }
    tokenizer_destroy(bytes);
    tokenizer_destroy(t);
}

static void test_decode_room(void **state)
{
    (void)state;
    tokenizer *t = trained(8, 600);
    int32_t token[16];
    const size_t count = tokenizer_encode(t, "e the.", 6, token);
    assert_int_equal(count, 3); /* "e", " the", "." */
    char text[16];
    memset(text, 'x', sizeof text);
    assert_int_equal(tokenizer_decode(t, token, count, text, 7), 6);
    assert_string_equal(text, "e the.");
    assert_int_equal(tokenizer_decode(t, token, count, text, 6), 6);
    assert_string_equal(text, "e the");
    assert_int_equal(tokenizer_decode(t, token, count, text, 5), 6);
    assert_string_equal(text, "e");
    assert_int_equal(tokenizer_decode(t, token, count, text, 1), 6);
    assert_string_equal(text, "");
    assert_int_equal(tokenizer_decode(t, token, count, NULL, 0), 6);
    assert_int_equal(text[7], 'x');

    memset(text, 'x', sizeof text);
    assert_int_equal(tokenizer_token_text(t, token[1], text, 3), 4);
    assert_int_equal(text[0], 'x');
    assert_int_equal(tokenizer_token_text(t, token[1], text, 4), 4);
    assert_memory_equal(text, " thex", 5);
    const int32_t outside[] = {-1, 600, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        assert_int_equal(tokenizer_token_text(t, outside[i], text, 1), 1);
        assert_int_equal(text[0], '?');
    }
    assert_int_equal(tokenizer_decode(t, outside, 2, text, sizeof text), 2);
    assert_string_equal(text, "??");
    tokenizer_destroy(t);
}

static void test_special_token(void **state)
{
    (void)state;
    static const char name[] = "<|endoftext|>";
    pal_error err;
    bpe_words words = {0};
    for (int i = 0; i < 100; i++) succeed(bpe_words_add(&words, name, sizeof name - 1, 1, &err), &err);
    rng r = rng_make(9, "test/special", 0, 0);
    char text[ROOM];
    for (int i = 0; i < 200; i++)
        succeed(bpe_words_add(&words, text, random_text(&r, text, sizeof text), 1, &err), &err);
    bpe *b;
    tokenizer *t;
    succeed(bpe_train(&b, &words, 600, NULL, NULL, &err), &err);
    succeed(bpe_tokenizer(&t, b, &err), &err);
    bpe_words_free(&words);
    const int32_t special = tokenizer_begin(t);
    assert_int_equal(special, 599);
    assert_int_equal(tokenizer_token_text(t, special, text, sizeof text), 0);
    int32_t token[32];
    const size_t count = tokenizer_encode(t, name, sizeof name - 1, token);
    for (size_t i = 0; i < count; i++) assert_int_not_equal(token[i], special);
    token[count] = special;
    assert_int_equal(tokenizer_decode(t, token, count + 1, text, sizeof text), sizeof name - 1);
    assert_string_equal(text, name);
    tokenizer_destroy(t);
}

static void test_bytes(void **state)
{
    (void)state;
    pal_error err;
    tokenizer *t, *again;
    succeed(tokenizer_load(&t, "bytes", &err), &err);
    succeed(tokenizer_create_bytes(&again, &err), &err);
    assert_int_equal(tokenizer_vocab(t), BYTES_VOCAB);
    assert_int_equal(tokenizer_begin(t), '\n');
    assert_string_equal(tokenizer_digest(t), tokenizer_digest(again));
    int32_t token[2];
    assert_int_equal(tokenizer_encode(t, "\xc3\xa9", 2, token), 2);
    assert_int_equal(token[0], 0xc3);
    assert_int_equal(token[1], 0xa9);
    assert_int_equal(tokenizer_safe_prefix(t, "abc", 3), 3);
    assert_int_equal(tokenizer_save(t, in_folder("a.json"), &err), PAL_USAGE);
    tokenizer_destroy(t);
    tokenizer_destroy(again);
}

/* ---- tokenizer.json ---- */

static void write_text(const char *path, const char *text)
{
    pal_error err;
    succeed(os_write_file(path, text, strlen(text), &err), &err);
}

static void test_save_load(void **state)
{
    (void)state;
    pal_error err;
    tokenizer *t = trained(10, 800), *again;
    char first[sizeof folder + 64];
    snprintf(first, sizeof first, "%s", in_folder("a.json"));
    succeed(tokenizer_save(t, first, &err), &err);
    succeed(tokenizer_load(&again, first, &err), &err);
    assert_string_equal(tokenizer_digest(again), tokenizer_digest(t));
    assert_int_equal(tokenizer_vocab(again), 800);
    assert_int_equal(tokenizer_begin(again), tokenizer_begin(t));
    succeed(tokenizer_save(again, in_folder("b.json"), &err), &err);
    char *a, *b;
    size_t a_size, b_size;
    succeed(os_read_file(first, &a, &a_size, &err), &err);
    succeed(os_read_file(in_folder("b.json"), &b, &b_size, &err), &err);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    free(a);
    free(b);

    rng r = rng_make(10, "test/save", 0, 0);
    for (int round = 0; round < 50; round++) {
        char text[ROOM];
        int32_t x[ROOM], y[ROOM];
        const size_t size = random_text(&r, text, sizeof text), count = tokenizer_encode(t, text, size, x);
        assert_int_equal(tokenizer_encode(again, text, size, y), count);
        assert_memory_equal(x, y, count * sizeof *x);
    }
    tokenizer_destroy(again);
    tokenizer_destroy(t);
    assert_int_equal(tokenizer_load(&t, in_folder("none.json"), &err), PAL_DATA);
    assert_non_null(strstr(err.text, "none.json"));
}

/* GPT-2's layout: its order of bytes, <|endoftext|> in the vocabulary too, digits together. */
static char *gpt2_json(int merges_as_pairs)
{
    static const char *const merge[][2] = {{"h", "e"}, {"t", "he"}, {"Ġ", "the"},
                                           {"1", "9"}, {"Ã", "©"},  {"Ġ", "Ġ"}};
    enum { MERGES = sizeof merge / sizeof *merge };
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    fputs("{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,"
          "\"added_tokens\":[{\"id\":262,\"special\":true,\"content\":\"<|endoftext|>\",\"single_word\":false,"
          "\"lstrip\":false,\"rstrip\":false,\"normalized\":true}],\"normalizer\":null,"
          "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true},"
          "\"post_processor\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":false},"
          "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true},"
          "\"model\":{\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":\"\","
          "\"end_of_word_suffix\":\"\",\"fuse_unk\":false,\"vocab\":{",
          f);
    int id = 0;
    for (unsigned c = '!'; c < 256 + 68; c++) {
        if ((c > '~' && c < 0xa1) || c == 0xad) continue;
        char character[5] = {0};
        put_character(c, character);
        fprintf(f, "\"%s%s\":%d,", c == '"' || c == '\\' ? "\\" : "", character, id++);
    }
    for (size_t i = 0; i < MERGES; i++) fprintf(f, "\"%s%s\":%d,", merge[i][0], merge[i][1], id++);
    fprintf(f, "\"<|endoftext|>\":%d},\"merges\":[", id);
    for (size_t i = 0; i < MERGES; i++)
        fprintf(f, merges_as_pairs ? "%s[\"%s\",\"%s\"]" : "%s\"%s %s\"", i ? "," : "", merge[i][0], merge[i][1]);
    fputs("]}}", f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void test_gpt2_layout(void **state)
{
    (void)state;
    char digest[2][HASH_HEX];
    for (int pairs = 0; pairs < 2; pairs++) {
        pal_error err;
        tokenizer *t;
        char *json = gpt2_json(pairs);
        write_text(in_folder("a.json"), json);
        free(json);
        succeed(tokenizer_load(&t, in_folder("a.json"), &err), &err);
        memcpy(digest[pairs], tokenizer_digest(t), HASH_HEX);
        assert_int_equal(tokenizer_vocab(t), 263);
        assert_int_equal(tokenizer_begin(t), 262);
        /* As in GPT-2, "!" is 0, newline 198 and space 220. */
        static const int32_t expected[] = {0, 258, 220, 259, 24, 261, 220, 260, 198, 71, 257};
        static const char text[] = "! the 199   é\nhthe";
        int32_t token[sizeof text];
        assert_int_equal(tokenizer_encode(t, text, sizeof text - 1, token), sizeof expected / sizeof *expected);
        assert_memory_equal(token, expected, sizeof expected);
        tokenizer_destroy(t);
    }
    assert_string_equal(digest[0], digest[1]);
}

/* A good file with `from` replaced by `to`, in a.json. */
static void write_changed(const char *from, const char *to)
{
    char *good = gpt2_json(0), *place = strstr(good, from), *changed;
    assert_non_null(place);
    assert_true(asprintf(&changed, "%.*s%s%s", (int)(place - good), good, to, place + strlen(from)) > 0);
    write_text(in_folder("a.json"), changed);
    free(good);
    free(changed);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *message;
    } change[] = {
        {"]}}", "]}", "line 1"},
        {"{\"version\"", "[{\"version\"", "line 1"},
        {"\"model\"", "\"modal\"", "model.vocab"},
        {"\"model\":{", "\"model\":{\"type\":\"Unigram\",", "model.type"},
        {"\"fuse_unk\":false", "\"fuse_unk\":true", "model.fuse_unk"},
        {"\"model\":{", "\"model\":{\"byte_fallback\":true,", "spaces are not written as U+2581"},
        {"\"dropout\":null", "\"dropout\":0.1", "model.dropout"},
        {"\"end_of_word_suffix\":\"\"", "\"end_of_word_suffix\":\"</w>\"", "model.end_of_word_suffix"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"NFKC\"}", "normalizer"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"_\"}", "normalizer"},
        {"\"pre_tokenizer\":{\"type\":\"ByteLevel\"", "\"pre_tokenizer\":{\"type\":\"Metaspace\"",
         "pre_tokenizer"},
        {"\"pre_tokenizer\":{", "\"pre_tokenizer\":{\"use_regex\":false,", "use_regex"},
        {"\"add_prefix_space\":false", "\"add_prefix_space\":true", "add_prefix_space"},
        {"\"post_processor\":{\"type\":\"ByteLevel\"", "\"post_processor\":{\"type\":\"TemplateProcessing\"",
         "post_processor"},
        {"\"decoder\":{\"type\":\"ByteLevel\"", "\"decoder\":{\"type\":\"WordPiece\"", "decoder"},
        {"\"special\":true,\"content\":\"<|endoftext|>\",\"single_word\":false",
         "\"special\":false,\"content\":\"<|endoftext|>\",\"single_word\":true", "single_word"},
        {"\"id\":262", "\"id\":999", "<|endoftext|>"},
        {"\"id\":262", "\"id\":1", "same id 1"},
        {"\"added_tokens\":[", "\"added_tokens\":[{\"id\":263,\"special\":true,\"content\":\"<|endoftext|>\"},",
         "\"<|endoftext|>\" has two ids"},
        {"\"A\":32,", "", "no token with id 32"},
        {"\"A\":32,", "\"A\":\"32\",", "has no id"},
        {"\"A\":32,", "\"A\":-1,", "has no id"},
        {"\"A\":32,", "\"A\":33,", "same id 33"},
        {"\"A\":32,", "\"A\":32,\"A\":32,", "duplicate"},
        {"\"A\":32,", "\"AA\":32,", "byte 0x41"},
        {"\"A\":32,", "\"漢\":32,", "alphabet"},
        {"\"h e\"", "\"he\"", "model.merges[0]"},
        {"\"h e\"", "7", "model.merges[0]"},
        {"\"h e\"", "[\"h\"]", "model.merges[0]"},
        {"\"h e\"", "[\"h\",7]", "model.merges[0]"},
        {"\"t he\"", "\"t hx\"", "model.merges[1]"},
        {"\"t he\"", "\"he t\"", "model.merges[1]"},
        {"\"t he\"", "\"h e\"", "merge 1 of model.merges is there twice"},
        {"\"t he\"", "\"<|endof text|>\"", "model.merges[1]"},
    };
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        pal_error err;
        tokenizer *t;
        write_changed(change[i].from, change[i].to);
        assert_int_equal(tokenizer_load(&t, in_folder("a.json"), &err), PAL_DATA);
        if (!strstr(err.text, change[i].message) || !strstr(err.text, "a.json") || strchr(err.text, '\n'))
            fail_msg("\"%s\" lacks \"%s\"", err.text, change[i].message);
    }
}

/* What is no part of the vocabulary, or does nothing, is no obstacle: the file is the same tokenizer. */
static void test_settings_of_a_call(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } change[] = {
        {"\"truncation\":null", "\"truncation\":{\"direction\":\"Right\",\"max_length\":1024,\"stride\":0}"},
        {"\"padding\":null", "\"padding\":{\"strategy\":\"BatchLongest\",\"pad_id\":0,\"pad_token\":\"!\"}"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[]}"},
    };
    pal_error err;
    tokenizer *good, *t;
    write_changed("\"version\"", "\"version\"");
    succeed(tokenizer_load(&good, in_folder("a.json"), &err), &err);
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        write_changed(change[i].from, change[i].to);
        succeed(tokenizer_load(&t, in_folder("a.json"), &err), &err);
        assert_string_equal(tokenizer_digest(t), tokenizer_digest(good));
        tokenizer_destroy(t);
    }
    tokenizer_destroy(good);
}

/* One look tells everything that a file asks for and is not here. */
static void test_all_obstacles(void **state)
{
    (void)state;
    static const char *const said[] = {
        "model.dropout is set",
        "normalizer is set (NFKC)",
        "post_processor is BertProcessing; it may add tokens to a text",
        "decoder is WordPiece",
        "pre_tokenizer has a part of its own rule (Whitespace)",
        "pre_tokenizer has a Split that is neither Isolated nor Removed with invert",
        "pre_tokenizer goes on behind ByteLevel",
    };
    write_text(
        in_folder("all.json"),
        "{\"added_tokens\":[],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":"
        "\"NFKC\"}]},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Whitespace\"},{"
        "\"type\":"
        "\"ByteLevel\",\"use_regex\":false},{\"type\":\"Split\",\"pattern\":{\"Regex\":\"x\"},\"behavior\":"
        "\"Removed\"}]},\"post_processor\":{\"type\":\"BertProcessing\"},\"decoder\":{\"type\":\"Sequence\","
        "\"decoders\":[{\"type\":\"WordPiece\"}]},\"model\":{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{},"
        "\"merges\":[]}}");
    pal_error err;
    tokenizer *t;
    assert_int_equal(tokenizer_load(&t, in_folder("all.json"), &err), PAL_DATA);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (!strstr(err.text, said[i])) fail_msg("\"%s\" lacks \"%s\"", err.text, said[i]);
    if (!strstr(err.text, "does not end with it")) assert_non_null(strstr(err.text, "; and 1 more"));
}

/* Both ways to say that digits are single, and what is like them but is not. */
static void test_digit_splits(void **state)
{
    (void)state;
#define SPLIT(regex, behavior, invert)                                                                            \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"" behavior "\",\"invert\":" invert  \
    "},"
    static const struct {
        const char *part;
        int code;
        size_t tokens; /* of "19"; "1 9" is a merge */
    } known[] = {
        {"{\"type\":\"Digits\",\"individual_digits\":true},", PAL_OK, 2},
        {SPLIT("\\\\p{N}", "Isolated", "false"), PAL_OK, 2},
        {"{\"type\":\"Digits\",\"individual_digits\":false},", PAL_OK, 1},
        {SPLIT("\\\\p{N}{1,3}", "Isolated", "false"), PAL_OK, 1},
        {SPLIT("1", "Isolated", "false"), PAL_OK, 2},
        {SPLIT("[^1]", "Removed", "true"), PAL_OK, 1},
        {SPLIT("(", "Isolated", "false"), PAL_DATA, 0},
        {SPLIT("\\\\p{N}", "Removed", "false"), PAL_DATA, 0},
        {SPLIT("\\\\p{N}", "Isolated", "true"), PAL_DATA, 0},
        {"{\"type\":\"Whitespace\"},", PAL_DATA, 0},
    };
    static const char alone[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        pal_error err;
        tokenizer *t;
        char sequence[512];
        snprintf(sequence, sizeof sequence, "{\"type\":\"Sequence\",\"pretokenizers\":[%s%s]}", known[i].part,
                 alone);
        write_changed(alone, sequence);
        assert_int_equal(tokenizer_load(&t, in_folder("a.json"), &err), known[i].code);
        if (known[i].code != PAL_OK) continue;
        int32_t token[2];
        assert_int_equal(tokenizer_encode(t, "19", 2, token), known[i].tokens);
        tokenizer_destroy(t);
    }
}

static void test_save_failure(void **state)
{
    (void)state;
    pal_error err;
    tokenizer *t = trained(12, 512);
    assert_int_equal(tokenizer_save(t, in_folder("no/such/folder.json"), &err), PAL_INTERNAL);
    assert_non_null(strstr(err.text, "no/such/folder.json"));
    tokenizer_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_changes_nothing),
        cmocka_unit_test(test_any_chunking),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_decode_room),
        cmocka_unit_test(test_special_token),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_save_load),
        cmocka_unit_test(test_gpt2_layout),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_settings_of_a_call),
        cmocka_unit_test(test_all_obstacles),
        cmocka_unit_test(test_digit_splits),
        cmocka_unit_test(test_settings_of_a_call),
        cmocka_unit_test(test_all_obstacles),
        cmocka_unit_test(test_save_failure),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
