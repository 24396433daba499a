/* Tokenizers as real models have them: tokens of HuggingFace's library (golden files made by
 * tests/peer/tokenizer_golden.py), texts in pieces, arrays and llama2.c's file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/tokenizer_lab.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FOLDER "tests/golden/tokenizers/"

enum { KINDS = 3, BIG = 1 << 16 };
static const char *const kinds[KINDS] = {"llama3", "qwen", "spaced"};

static tokenizer *load(const char *name, int special)
{
    char path[128];
    pal_error err;
    tokenizer *t;
    snprintf(path, sizeof path, FOLDER "%s.json", name);
    succeed(tokenizer_load(&t, path, &err), &err);
    if (special) succeed(tokenizer_match_special(t, &err), &err);
    return t;
}

static void assert_tokens(const tokenizer *t, const char *what, const char *text, size_t size,
                          const json_t *expected)
{
    int32_t *token = malloc(tokenizer_room(t, size) * sizeof *token);
    const size_t count = tokenizer_encode_start(t, text, size, token);
    assert_true(count <= tokenizer_room(t, size));
    for (size_t i = 0; i < count || i < json_array_size(expected); i++) {
        const int32_t mine = i < count ? token[i] : -1;
        const int32_t theirs =
            i < json_array_size(expected) ? (int32_t)json_integer_value(json_array_get(expected, i)) : -1;
        if (mine != theirs) fail_msg("%s: token %zu of \"%s\" is %d, not %d", what, i, text, mine, theirs);
    }
    free(token);
}

/* Every line by every kind, names of special tokens as text and as tokens. */
static void tokens_are_those_of_huggingface(void **state)
{
    (void)state;
    tokenizer *t[KINDS][2];
    for (int k = 0; k < KINDS; k++)
        for (int special = 0; special < 2; special++) t[k][special] = load(kinds[k], special);
    FILE *f = fopen(FOLDER "lines.jsonl", "r");
    assert_non_null(f);
    char *line = NULL;
    size_t room = 0, lines = 0;
    for (ssize_t size; (size = getline(&line, &room, f)) > 0; lines++) {
        json_t *row = json_loadb(line, (size_t)size, JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        const json_t *text = json_object_get(row, "text");
        for (int k = 0; k < KINDS; k++)
            for (int special = 0; special < 2; special++) {
                char key[32];
                snprintf(key, sizeof key, "%s %s", kinds[k], special ? "token" : "text");
                assert_tokens(t[k][special], key, json_string_value(text), json_string_length(text),
                              json_object_get(row, key));
            }
        json_decref(row);
    }
    assert_true(lines > 50);
    free(line);
    fclose(f);
    for (int k = 0; k < KINDS; k++)
        for (int special = 0; special < 2; special++) tokenizer_destroy(t[k][special]);
}

static void what_files_say_of_the_begin(void **state)
{
    (void)state;
    static const int adds[KINDS] = {1, 0, 1}, begin[KINDS] = {0, 0, 1};
    for (int k = 0; k < KINDS; k++) {
        tokenizer *t = load(kinds[k], 0), *special = load(kinds[k], 1);
        pal_error err;
        assert_int_equal(tokenizer_adds_begin(t), adds[k]);
        assert_int_equal(tokenizer_begin(t), begin[k]);
        assert_string_not_equal(tokenizer_digest(t), tokenizer_digest(special));
        assert_int_equal(tokenizer_save(t, "/nowhere/t.json", &err), PAL_USAGE);
        tokenizer_destroy(t);
        tokenizer_destroy(special);
    }
}

/* ---- Pieces ---- */

static const char *const names[] = {"<think>",
                                    "<|begin_of_text|>",
                                    "<s>",
                                    "</s>",
                                    "<|endoftext|>",
                                    "<thi",
                                    "<|",
                                    "\u2581",
                                    "\u2581a",
                                    "\u0301",
                                    "e\u0302\u0323",
                                    "\u212b",
                                    "\u1100\u1161\u11a8",
                                    "123",
                                    "'LL",
                                    "\r\n",
                                    "   "};

/* Random text with names of tokens and characters that compose. */
static size_t nasty_text(rng *r, char *out, size_t most)
{
    size_t size = 0;
    while (size + 128 < most && rng_below(r, 30)) {
        size += random_text(r, out + size, 100);
        const char *name = names[rng_below(r, sizeof names / sizeof *names)];
        memcpy(out + size, name, strlen(name));
        size += strlen(name);
    }
    return size;
}

static size_t whole_characters(const char *text, size_t size, size_t at)
{
    while (at < size && ((unsigned char)text[at] & 0xc0) == 0x80) at++;
    return at;
}

/* Fed in pieces as a reader makes them, a text has the tokens of the whole; and a space in time gives some. */
static void pieces_have_the_tokens_of_the_whole(void **state)
{
    (void)state;
    char *text = malloc(BIG);
    int32_t *whole = malloc(5 * BIG * sizeof *whole), *piece = malloc(5 * BIG * sizeof *piece);
    for (int k = 0; k < KINDS; k++)
        for (int special = 0; special < 2; special++) {
            tokenizer *t = load(kinds[k], special);
            rng r = rng_make(16, "test/pieces", (uint64_t)k, (uint64_t)special);
            size_t cuts = 0;
            for (int round = 0; round < 150; round++) {
                const size_t size = nasty_text(&r, text, round % 10 ? 700 : BIG / 4);
                const size_t count = tokenizer_encode_start(t, text, size, whole);
                assert_true(count <= tokenizer_room(t, size));
                size_t done = 0, made = 0;
                for (size_t seen = 0; done < size;) {
                    seen = whole_characters(text, size, seen + 1 + rng_below(&r, round % 3 ? 60 : 3000));
                    if (seen > size) seen = size;
                    const size_t safe =
                        seen < size ? tokenizer_safe_prefix(t, text + done, seen - done) : size - done;
                    assert_true(safe <= seen - done);
                    cuts += safe > 0 && seen < size;
                    if (safe)
                        made += done ? tokenizer_encode(t, text + done, safe, piece + made)
                                     : tokenizer_encode_start(t, text, safe, piece + made);
                    done += safe;
                }
                assert_int_equal(made, count);
                assert_memory_equal(piece, whole, count * sizeof *whole);
            }
            assert_true(cuts > 300);
            tokenizer_destroy(t);
        }
    free(text);
    free(whole);
    free(piece);
}

/* Texts whose characters are not in the vocabulary, or that hold bytes of no character, do no harm. */
static void decoding_gives_the_text_back(void **state)
{
    (void)state;
    static char text[ROOM], back[4 * ROOM];
    static int32_t token[5 * ROOM];
    for (int k = 0; k < KINDS; k++) {
        tokenizer *t = load(kinds[k], 0);
        rng r = rng_make(17, "test/back", (uint64_t)k, 0);
        for (int round = 0; round < 200; round++) {
            const size_t size = random_text(&r, text, sizeof text);
            const size_t count = tokenizer_encode(t, text, size, token);
            const size_t made = tokenizer_decode(t, token, count, back, sizeof back);
            if (k == 1) continue; /* it composes characters */
            assert_int_equal(made, size);
            assert_memory_equal(back, text, size);
        }
        for (int byte = 0x80; byte < 0x100; byte++) {
            snprintf(text, sizeof text, "a %c%c b", byte, 'x');
            assert_true(tokenizer_encode(t, text, 6, token) >= 4);
            tokenizer_safe_prefix(t, text, 6);
        }
        tokenizer_destroy(t);
    }
}

/* A pattern that would try for ages ends by PCRE2's limit; one that looks behind has no place to cut. */
static void patterns_with_traps(void **state)
{
    (void)state;
    pal_error err;
    pattern_words *w;
    static char text[4096];
    size_t words = 0;
    memset(text, 'a', sizeof text);
    const pattern_rule slow = {"(a+)+$|(?:a|aa)+b", 0}, behind = {"(?<=a)b|\\p{L}", 0}, broken = {"(", 0};
    succeed(pattern_words_create(&w, &slow, 1, "slow", &err), &err);
    text[sizeof text - 1] = '.';
    (void)words;
    assert_true(pattern_words_safe(w, text, 20, NULL, NULL) <= 20);
    pattern_words_destroy(w);
    succeed(pattern_words_create(&w, &behind, 1, "behind", &err), &err);
    assert_int_equal(pattern_words_safe(w, "abababab", 8, NULL, NULL), 0);
    pattern_words_destroy(w);
    assert_int_equal(pattern_words_create(&w, &broken, 1, "t.json", &err), PAL_DATA);
    assert_non_null(strstr(err.text, "t.json: PCRE2 cannot use the pattern \"(\""));
}

/* ---- Arrays and llama2.c's file ---- */

typedef struct vocabulary {
    json_t *root;
    tokenizer_text *token, *merge;
    float *score;
    int32_t *type;
    size_t count, merges;
} vocabulary;

/* The golden SentencePiece vocabulary with scores in the order of its tokens. */
static vocabulary read_vocabulary(const char *name)
{
    char path[128];
    const char *key;
    json_t *value;
    size_t index;
    snprintf(path, sizeof path, FOLDER "%s.json", name);
    vocabulary v = {.root = json_load_file(path, 0, NULL)};
    assert_non_null(v.root);
    json_t *model = json_object_get(v.root, "model"), *merges = json_object_get(model, "merges");
    v.merges = json_array_size(merges);
    json_t *vocab = json_object_get(model, "vocab");
    v.count = json_object_size(vocab);
    v.token = calloc(v.count, sizeof *v.token);
    v.score = calloc(v.count, sizeof *v.score);
    v.type = calloc(v.count, sizeof *v.type);
    v.merge = calloc(v.merges + 1, sizeof *v.merge);
    json_object_foreach(vocab, key, value)
    {
        const size_t id = (size_t)json_integer_value(value);
        v.token[id] = (tokenizer_text){key, strlen(key)};
        v.score[id] = id < 259 ? 0 : -(float)(id - 258);
        v.type[id] = id == 0 ? TOKEN_UNKNOWN : id < 3 ? TOKEN_CONTROL : id < 259 ? TOKEN_BYTE : TOKEN_NORMAL;
    }
    json_array_foreach(merges, index, value) v.merge[index] =
        (tokenizer_text){json_string_value(value), json_string_length(value)};
    return v;
}

static void free_vocabulary(vocabulary *v)
{
    json_decref(v->root);
    free(v->token);
    free(v->merge);
    free(v->score);
    free(v->type);
}

static tokenizer_arrays arrays_of(const vocabulary *v)
{
    return (tokenizer_arrays){.name = "v.gguf",
                              .model = "llama",
                              .pre = "default",
                              .vocab = v->count,
                              .token = v->token,
                              .score = v->score,
                              .type = v->type,
                              .begin = 1,
                              .add_begin = TOKENIZER_UNSAID,
                              .add_space_prefix = TOKENIZER_UNSAID};
}

static void assert_same_tokens(const tokenizer *a, const tokenizer *b)
{
    static char text[ROOM];
    static int32_t x[5 * ROOM], y[5 * ROOM];
    rng r = rng_make(18, "test/same", 0, 0);
    for (int round = 0; round < 200; round++) {
        const size_t size = nasty_text(&r, text, 1500), count = tokenizer_encode_start(a, text, size, x);
        assert_int_equal(tokenizer_encode_start(b, text, size, y), count);
        assert_memory_equal(x, y, count * sizeof *x);
    }
}

static void scores_are_merges(void **state)
{
    (void)state;
    pal_error err;
    tokenizer *t, *json = load("spaced", 0), *bin;
    vocabulary v = read_vocabulary("spaced");
    tokenizer_arrays a = arrays_of(&v);
    succeed(tokenizer_create_arrays(&t, &a, &err), &err);
    assert_same_tokens(t, json);
    assert_int_equal(tokenizer_begin(t), 1);
    assert_true(tokenizer_adds_begin(t));
    /* llama2.c writes the same with spaces as themselves. */
    char path[] = "/tmp/test_kinds_XXXXXX.bin";
    const int fd = mkstemps(path, 4);
    FILE *f = fdopen(fd, "wb");
    assert_non_null(f);
    const uint32_t longest = 64;
    fwrite(&longest, 4, 1, f);
    for (size_t i = 0; i < v.count; i++) {
        char text[256];
        int32_t size = 0;
        for (size_t k = 0; k < v.token[i].size; k++) {
            const int block = strncmp(v.token[i].data + k, "\u2581", 3) == 0;
            text[size++] = block ? ' ' : v.token[i].data[k];
            k += block ? 2 : 0;
        }
        fwrite(&v.score[i], 4, 1, f);
        fwrite(&size, 4, 1, f);
        fwrite(text, 1, (size_t)size, f);
    }
    fclose(f);
    succeed(tokenizer_load(&bin, path, &err), &err);
    assert_same_tokens(bin, json);
    assert_int_equal(truncate(path, 3000), 0);
    tokenizer *none;
    assert_int_equal(tokenizer_load(&none, path, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "goes beyond the end"));
    unlink(path);
    tokenizer_destroy(bin);
    tokenizer_destroy(t);
    tokenizer_destroy(json);
    free_vocabulary(&v);
}

static void arrays_of_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *golden, *pre;
    } known[] = {{"llama3", "llama-bpe"}, {"qwen", "qwen2"}};
    for (int k = 0; k < 2; k++) {
        pal_error err;
        tokenizer *t, *json = load(known[k].golden, 0);
        vocabulary v = read_vocabulary(known[k].golden);
        tokenizer_arrays a = arrays_of(&v);
        for (size_t i = 0; i < v.count; i++) v.type[i] = i == 0 ? TOKEN_CONTROL : TOKEN_NORMAL;
        a.model = "gpt2";
        a.pre = known[k].pre;
        a.merge = v.merge;
        a.merges = v.merges;
        a.begin = 0;
        succeed(tokenizer_create_arrays(&t, &a, &err), &err);
        assert_int_equal(tokenizer_adds_begin(t), k == 0);
        static char text[ROOM];
        static int32_t x[5 * ROOM], y[5 * ROOM];
        rng r = rng_make(19, "test/arrays", 0, 0);
        for (int round = 0; round < 200; round++) {
            const size_t size = random_text(&r, text, 1500), count = tokenizer_encode_start(t, text, size, x);
            assert_int_equal(tokenizer_encode_start(json, text, size, y), count);
            assert_memory_equal(x, y, count * sizeof *x);
        }
        tokenizer_destroy(t);
        tokenizer_destroy(json);
        free_vocabulary(&v);
    }
}

static void arrays_that_are_refused(void **state)
{
    (void)state;
    pal_error err;
    tokenizer *t;
    vocabulary v = read_vocabulary("spaced");
    tokenizer_arrays a = arrays_of(&v);
    a.model = "rwkv";
    assert_int_equal(tokenizer_create_arrays(&t, &a, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "v.gguf: its tokenizer is of the kind \"rwkv\""));
    a.model = "gpt2";
    a.pre = "falcon";
    assert_int_equal(tokenizer_create_arrays(&t, &a, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "\"falcon\""));
    a = arrays_of(&v);
    a.begin = (int64_t)v.count;
    assert_int_equal(tokenizer_create_arrays(&t, &a, &err), PAL_DATA);
    a = arrays_of(&v);
    v.type[300] = 9;
    assert_int_equal(tokenizer_create_arrays(&t, &a, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "token 300 has type 9"));
    v.type[300] = TOKEN_NORMAL;
    v.type[13] = TOKEN_NORMAL; /* "<0x0A>" as a text leaves a byte without token */
    assert_int_equal(tokenizer_create_arrays(&t, &a, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "byte 0x0a"));
    v.type[13] = TOKEN_BYTE;
    v.score[300] = (float)strtod("nan", NULL);
    assert_int_equal(tokenizer_create_arrays(&t, &a, &err), PAL_DATA);
    a.score = NULL;
    assert_int_equal(tokenizer_create_arrays(&t, &a, &err), PAL_DATA);
    free_vocabulary(&v);
}

/* What is written of another maker's tokenizer is the same tokenizer. */
static void written_again(void **state)
{
    (void)state;
    char path[] = "/tmp/palimpsest-written-XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    for (int k = 0; k < KINDS; k++) {
        pal_error err;
        tokenizer *t = load(kinds[k], 0), *again;
        if (strcmp(kinds[k], "spaced") == 0) {
            assert_int_equal(tokenizer_export(t, path, &err), PAL_USAGE);
            assert_non_null(strstr(err.text, "only byte-level BPE"));
        } else {
            succeed(tokenizer_export(t, path, &err), &err);
            succeed(tokenizer_load(&again, path, &err), &err);
            assert_string_equal(tokenizer_digest(again), tokenizer_digest(t));
            assert_int_equal(tokenizer_begin(again), tokenizer_begin(t));
            assert_int_equal(tokenizer_adds_begin(again), tokenizer_adds_begin(t));
            succeed(tokenizer_match_special(t, &err), &err);
            succeed(tokenizer_match_special(again, &err), &err);
            assert_string_equal(tokenizer_digest(again), tokenizer_digest(t));
            tokenizer_destroy(again);
        }
        tokenizer_destroy(t);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_those_of_huggingface),
        cmocka_unit_test(what_files_say_of_the_begin),
        cmocka_unit_test(pieces_have_the_tokens_of_the_whole),
        cmocka_unit_test(decoding_gives_the_text_back),
        cmocka_unit_test(patterns_with_traps),
        cmocka_unit_test(scores_are_merges),
        cmocka_unit_test(arrays_of_bytes),
        cmocka_unit_test(arrays_that_are_refused),
        cmocka_unit_test(written_again),
    };
    return cmocka_run_group_tests_name("tokenizer_kinds", tests, NULL, NULL);
}
