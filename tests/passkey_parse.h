/* Reads passkey text back by the grammar
 *
 *   [header] filler needle { filler question answer ". " } filler question answer
 *
 * with its own copy of the paper's sentences. Shared by test_passkey.c and test_passkey_train.c. */
#ifndef PAL_TEST_PASSKEY_PARSE_H
#define PAL_TEST_PASSKEY_PARSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/keyval.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER                                                                                                    \
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz "  \
    "you about the important information there. "
#define QUESTION "What is the pass key? The pass key is"

enum { PARSE_QUESTIONS = 2048 };

static const char *const sentences[5] = {"The grass is green. ", "The sky is blue. ", "The sun is yellow. ",
                                         "Here we go. ", "There and back again. "};

typedef struct parsed {
    int header; /* present */
    char key[6];
    int64_t needle;                  /* offset of the needle */
    int64_t questions;               /* how many */
    int64_t answer[PARSE_QUESTIONS]; /* offset of each answer's first digit */
    int64_t gap[PARSE_QUESTIONS];    /* filler before each question */
} parsed;

static inline int at(const char *text, int64_t size, int64_t i, const char *what)
{
    const int64_t n = (int64_t)strlen(what);
    return i + n <= size && memcmp(text + i, what, (size_t)n) == 0;
}

/* Whole sentences in the cycle's order, from i on; the end of the last. They must close a cycle. */
static inline int64_t parse_sentences(const char *text, int64_t size, int64_t i)
{
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

/* Fails the test where `text` does not follow the grammar, or ends before or after `size`. */
static inline void parse_passkey(const char *text, int64_t size, parsed *p)
{
    char cycle[128] = "", expected[128];
    for (int s = 0; s < 5; s++) strcat(cycle, sentences[s]);
    const int64_t period = (int64_t)strlen(cycle);

    p->header = at(text, size, 0, HEADER);
    const int64_t start = p->header ? (int64_t)strlen(HEADER) : 0;
    int64_t i = start;
    while (i < size && !at(text, size, i, "The pass key is ")) i++;
    assert_true(i < size);
    p->needle = i;
    for (int64_t j = i - 1, back = period - 1; j >= start; j--, back = (back + period - 1) % period)
        assert_int_equal(text[j], cycle[back]);

    memcpy(p->key, text + i + strlen("The pass key is "), 5);
    p->key[5] = '\0';
    for (int d = 0; d < 5; d++) assert_in_range(p->key[d], '0', '9');
    snprintf(expected, sizeof expected, "The pass key is %s. Remember it. %s is the pass key. ", p->key, p->key);
    assert_true(at(text, size, i, expected));
    i += (int64_t)strlen(expected);

    snprintf(expected, sizeof expected, QUESTION " %s", p->key);
    p->questions = 0;
    for (;;) {
        const int64_t from = i;
        i = parse_sentences(text, size, i);
        assert_true(at(text, size, i, expected));
        assert_true(p->questions < PARSE_QUESTIONS);
        p->gap[p->questions] = i - from;
        p->answer[p->questions++] = i + (int64_t)strlen(expected) - 5;
        i += (int64_t)strlen(expected);
        if (i == size) return;
        assert_true(at(text, size, i, ". "));
        i += 2;
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

#endif
