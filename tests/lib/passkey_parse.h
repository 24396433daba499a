/* Reads passkey text back by the grammar
 *
 *   [header] filler needle { filler needle } { filler question answer "." } filler question answer
 *
 * with its own copy of the paper's sentences; all places are in bytes. Shared by the passkey suites, as are the
 * tokenizers below. */
#ifndef PAL_TEST_PASSKEY_PARSE_H
#define PAL_TEST_PASSKEY_PARSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/tokenizer/bpe.h"
#include "datasets/tokenizer/bpe_train.h"
#include "harness/base/keyval.h"
#include "tasks/passkey/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER                                                                                                    \
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz "  \
    "you about the important information there."
#define NEEDLE " The pass key"
#define QUESTION " What is the pass key"

enum { PARSE_QUESTIONS = 2048, PARSE_NEEDLES = 32 };

static const char *const sentences[5] = {" The grass is green.", " The sky is blue.", " The sun is yellow.",
                                         " Here we go.", " There and back again."};

typedef struct parsed {
    int header;     /* present */
    int64_t phase;  /* where in the cycle the first filler starts: the least that fits */
    int64_t before; /* filler before the first needle */
    int needles;
    int64_t needle[PARSE_NEEDLES]; /* offset of each */
    int64_t between[PARSE_NEEDLES];
    char key[PARSE_NEEDLES][6], name[PARSE_NEEDLES][16]; /* name "": none */
    int64_t questions;                                   /* how many */
    int64_t answer[PARSE_QUESTIONS];                     /* offset of each answer's first digit */
    int64_t question[PARSE_QUESTIONS];                   /* offset of the question */
    int64_t gap[PARSE_QUESTIONS];                        /* filler before it */
    int asked[PARSE_QUESTIONS];                          /* which needle */
} parsed;

static inline int at(const char *text, int64_t size, int64_t i, const char *what)
{
    const int64_t n = (int64_t)strlen(what);
    return i + n <= size && memcmp(text + i, what, (size_t)n) == 0;
}

static inline int64_t find(const char *text, int64_t size, int64_t i, const char *what)
{
    while (i < size && !at(text, size, i, what)) i++;
    assert_true(i < size);
    return i;
}

/* The least phase at which text[0, size) stands in the endless cycle, or -1. */
static inline int64_t cycle_phase(const char *text, int64_t size)
{
    char cycle[128] = "";
    for (int s = 0; s < 5; s++) strcat(cycle, sentences[s]);
    const int64_t period = (int64_t)strlen(cycle);
    for (int64_t phase = 0; phase < period; phase++) {
        int64_t i = 0;
        while (i < size && text[i] == cycle[(phase + i) % period]) i++;
        if (i == size) return phase;
    }
    return -1;
}

/* Whole sentences in the cycle's order, from i on; the end of the last. They must close a cycle. Prose: anything
 * up to a needle or question. Short filler may begin inside a sentence. */
static inline int64_t parse_filler(const char *text, int64_t size, int64_t i, int prose)
{
    int64_t end = i;
    while (end < size && !at(text, size, end, NEEDLE) && !at(text, size, end, QUESTION)) end++;
    if (prose) return end;
    int whole = end == i;
    for (int s = 0; s < 5; s++) whole |= at(text, size, i, sentences[s]);
    if (!whole) {
        assert_true(end - i < 20 * 22);
        assert_true(cycle_phase(text + i, end - i) >= 0);
        assert_true(at(text, size, end - (int64_t)strlen(sentences[4]), sentences[4]) ||
                    end - i < (int64_t)strlen(sentences[4]));
        return end;
    }
    int next = -1;
    for (int found = 1; found;) {
        found = 0;
        for (int s = 0; s < 5 && !found; s++) {
            if ((next >= 0 && s != next) || !at(text, size, i, sentences[s])) continue;
            found = 1;
            next = (s + 1) % 5;
            i += (int64_t)strlen(sentences[s]);
        }
    }
    assert_true(next <= 0);
    return i;
}

/* The needle at i; its end. */
static inline int64_t parse_needle(const char *text, int64_t size, int64_t i, parsed *p)
{
    const int n = p->needles++;
    char expected[256], of[32] = "";
    assert_true(n < PARSE_NEEDLES);
    p->needle[n] = i;
    if (sscanf(text + i, NEEDLE " of %15[a-z] is %5[0-9].", p->name[n], p->key[n]) == 2)
        snprintf(of, sizeof of, " of %s", p->name[n]);
    else
        assert_int_equal(sscanf(text + i, NEEDLE " is %5[0-9].", p->key[n]), 1);
    assert_int_equal(strlen(p->key[n]), 5);
    snprintf(expected, sizeof expected, NEEDLE "%s is %s. Remember it. %s is the pass key%s.", of, p->key[n],
             p->key[n], of);
    assert_true(at(text, size, i, expected));
    return i + (int64_t)strlen(expected);
}

/* The question at i, with its answer; its end. */
static inline int64_t parse_question(const char *text, int64_t size, int64_t i, parsed *p)
{
    const int64_t q = p->questions++;
    char expected[256], name[16] = "", of[32] = "";
    assert_true(q < PARSE_QUESTIONS);
    p->question[q] = i;
    if (sscanf(text + i, QUESTION " of %15[a-z]?", name) == 1) snprintf(of, sizeof of, " of %s", name);
    p->asked[q] = 0;
    while (p->asked[q] < p->needles && strcmp(p->name[p->asked[q]], name) != 0) p->asked[q]++;
    assert_true(p->asked[q] < p->needles);
    snprintf(expected, sizeof expected, QUESTION "%s? The pass key%s is %s", of, of, p->key[p->asked[q]]);
    assert_true(at(text, size, i, expected));
    i += (int64_t)strlen(expected);
    p->answer[q] = i - 5;
    return i;
}

/* Fails the test where `text` does not follow the grammar, or ends before or after `size`. */
static inline void parse_passkey(const char *text, int64_t size, int prose, parsed *p)
{
    *p = (parsed){.header = at(text, size, 0, HEADER)};
    const int64_t start = p->header ? (int64_t)strlen(HEADER) : 0;
    int64_t i = find(text, size, start, NEEDLE);
    p->before = i - start;
    p->phase = prose ? 0 : cycle_phase(text + start, p->before);
    assert_true(p->phase >= 0);
    i = parse_needle(text, size, i, p);
    for (;;) {
        const int64_t from = i;
        i = parse_filler(text, size, i, prose);
        if (p->questions == 0 && at(text, size, i, NEEDLE)) {
            p->between[p->needles - 1] = i - from;
            i = parse_needle(text, size, i, p);
            continue;
        }
        p->gap[p->questions] = i - from;
        i = parse_question(text, size, i, p);
        if (i == size) break;
        assert_true(at(text, size, i, "."));
        i++;
    }
    for (int a = 0; a < p->needles; a++)
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(p->key[a], p->key[b]);
            assert_string_not_equal(p->name[a], p->name[b]);
        }
}

/* A struct of settings: the table's defaults, changed by the words "key=value" up to NULL. */
static inline void *settings(const kv_spec *table, size_t count, size_t bytes, const char *const *words)
{
    pal_error err = {0};
    void *base = calloc(1, bytes);
    assert_int_equal(kv_defaults(table, count, base, &err), PAL_OK);
    for (; *words; words++) {
        char key[64];
        const char *equals = strchr(*words, '=');
        snprintf(key, sizeof key, "%.*s", (int)(equals - *words), *words);
        const kv_spec *spec = kv_find(table, count, key);
        assert_non_null(spec);
        assert_int_equal(kv_set(spec, base, equals + 1, &err), PAL_OK);
    }
    return base;
}

/* ---- Tokenizers ---- */

static inline tokenizer *byte_tokenizer(void)
{
    tokenizer *t = NULL;
    pal_error err = {0};
    assert_int_equal(tokenizer_create_bytes(&t, &err), PAL_OK);
    return t;
}

/* The fixture of the suites: the tokenizer of plain bytes. */
static tokenizer *bytes;

static inline int open_bytes(void **state)
{
    (void)state;
    bytes = byte_tokenizer();
    return 0;
}

static inline int close_bytes(void **state)
{
    (void)state;
    tokenizer_destroy(bytes);
    return 0;
}

/* BPE with single digits, trained on the task's own words: some of them are one token, others several. */
static inline tokenizer *bpe_tokenizer_of_passkey(void)
{
    char text[8192] = HEADER;
    for (int s = 0; s < 5; s++) strcat(text, sentences[s]);
    strcat(text, NEEDLE " is. Remember it. What is the pass key?");
    for (int i = 0; i < PASSKEY_NAMES; i++)
        sprintf(text + strlen(text), " %s %sish", passkey_name(i), passkey_name(i) + 1);
    bpe_words words = {0};
    pal_error err = {0};
    bpe *b = NULL;
    tokenizer *t = NULL;
    for (int i = 0; i < 2; i++) assert_int_equal(bpe_words_add(&words, text, strlen(text), 1, &err), PAL_OK);
    assert_int_equal(bpe_train(&b, &words, 512, NULL, NULL, &err), PAL_OK);
    assert_int_equal(bpe_tokenizer(&t, b, &err), PAL_OK);
    bpe_words_free(&words);
    return t;
}

/* BPE of the bytes and the single merge left + right, digits not split. */
static inline tokenizer *bpe_of_one_merge(char left, char right)
{
    bpe *b = bpe_alloc(257, 1, 258);
    assert_non_null(b);
    for (int i = 0; i < 256; i++) b->text[i] = (char)i;
    for (size_t i = 0; i <= 256; i++) b->at[i] = i;
    b->text[256] = left;
    b->text[257] = right;
    b->at[257] = 258;
    b->merge[0] = (bpe_merge){(unsigned char)left, (unsigned char)right, 256, 0};
    tokenizer *t = NULL;
    pal_error err = {0};
    assert_int_equal(bpe_finish(b, "one merge", &err), PAL_OK);
    assert_int_equal(bpe_tokenizer(&t, b, &err), PAL_OK);
    return t;
}

/* The token at whose first byte the text's byte `offset` is. */
static inline int64_t token_at(const tokenizer *t, const int32_t *tokens, int64_t offset)
{
    char text[256];
    int64_t i = 0, byte = 0;
    for (; byte < offset; i++) byte += (int64_t)tokenizer_token_text(t, tokens[i], text, sizeof text);
    assert_int_equal(byte, offset);
    return i;
}

#endif
