/* Generated stories: what they tell, where, and that nothing else decides it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/story/story.h"
#include "tests/lib/tokenizer_lab.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONG = 20000, SHORT = 700 };

static pal_error err;
static tokenizer *kind[2]; /* bytes, BPE */

static int setup(void **state)
{
    (void)state;
    kind[1] = trained(3, 400);
    return tokenizer_create_bytes(&kind[0], &err);
}

static int teardown(void **state)
{
    (void)state;
    tokenizer_destroy(kind[0]);
    tokenizer_destroy(kind[1]);
    return 0;
}

/* All tokens, read in pieces of at most `piece`; malloc'ed. */
static int32_t *tokens_of(const tokenizer *t, story_key key, int64_t length, size_t piece, story *s)
{
    int32_t *tokens = malloc((size_t)length * sizeof *tokens);
    succeed(story_begin(s, t, &key, length, STORY_SPAN, &err), &err);
    size_t used = 0;
    for (size_t got = 1; got > 0; used += got) {
        const size_t left = (size_t)length - used;
        int32_t beyond[8] = {0};
        got = left ? story_read(s, tokens + used, left < piece ? left : piece) : story_read(s, beyond, 8);
    }
    assert_int_equal(used, length);
    return tokens;
}

static char *text_of(const tokenizer *t, const int32_t *tokens, int64_t length)
{
    const size_t size = tokenizer_decode(t, tokens, (size_t)length, NULL, 0);
    char *text = malloc(size + 1);
    tokenizer_decode(t, tokens, (size_t)length, text, size + 1);
    return text;
}

static char *story_text(const tokenizer *t, story_key key, int64_t length, story *s)
{
    int32_t *tokens = tokens_of(t, key, length, 1000, s);
    char *text = text_of(t, tokens, length);
    free(tokens);
    return text;
}

static int occurrences(const char *text, const char *words)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, words)); at++) count++;
    return count;
}

/* The same key gives the same tokens, however they are read; another key, or another split, other ones. */
static void test_determinism(void **state)
{
    (void)state;
    const story_key key = {5, STORY_TEST, 3, 1};
    const story_key others[] = {
        {6, STORY_TEST, 3, 1}, {5, STORY_TRAIN, 3, 1}, {5, STORY_TEST, 4, 1}, {5, STORY_TEST, 3, 2}};
    story s;
    int32_t *whole = tokens_of(kind[1], key, SHORT, SHORT, &s);
    for (size_t piece = 1; piece < 40; piece += 19) {
        int32_t *again = tokens_of(kind[1], key, SHORT, piece, &s);
        assert_memory_equal(whole, again, SHORT * sizeof *whole);
        free(again);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        int32_t *other = tokens_of(kind[1], others[i], SHORT, SHORT, &s);
        assert_memory_not_equal(whole, other, SHORT * sizeof *whole);
        free(other);
    }
    free(whole);
}

/* A story read sentence by sentence has the tokens of its text: nothing shows where sentences were joined. */
static void test_tokens_of_the_text(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        story s;
        int32_t *tokens = tokens_of(kind[k], (story_key){1, STORY_TRAIN, 0, 0}, LONG, 999, &s);
        char *text = text_of(kind[k], tokens, LONG);
        int32_t *whole = malloc((strlen(text) + 1) * sizeof *whole);
        assert_true(tokenizer_encode(kind[k], text, strlen(text), whole) > LONG - STORY_UNIT);
        assert_memory_equal(whole, tokens, (LONG - STORY_UNIT) * sizeof *whole); /* the end may be cut */
        free(whole);
        free(text);
        free(tokens);
    }
}

static void check_told_once(const char *text, const int value[STORY_SLOTS])
{
    char summary[STORY_SUMMARY];
    const size_t size = story_summary(value, summary);
    assert_int_equal(size, strlen(summary));
    assert_int_equal(occurrences(summary, "."), STORY_SLOTS);
    for (int i = 0; i < STORY_SLOTS; i++) {
        char fact[STORY_SENTENCE];
        snprintf(fact, sizeof fact, "%s%s.", story_cue(i), story_value(i, value[i]));
        assert_int_equal(occurrences(text, fact), 1);
        assert_int_equal(occurrences(text, story_cue(i)), 1);
        assert_int_equal(occurrences(summary, strchr(fact, ' ')), 1); /* its article is a capital there */
        assert_int_equal(occurrences(summary, strchr(story_cue(i), ' ')), 1);
    }
}

/* Every fact stands once in the text and once in the summary, even in a story that has room for nothing else. */
static void test_facts_are_told_once(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        for (uint64_t i = 0; i < 40; i++) {
            const story_key key = {9, (story_split)(i % 3), i, 0};
            story s;
            int value[STORY_SLOTS];
            assert_int_equal(story_begin(&s, kind[k], &key, 1, STORY_SPAN, &err), PAL_USAGE);
            const int64_t least = s.untold, length[] = {least, least + 1, least + 40, 2 * least, LONG};
            for (size_t l = 0; l < sizeof length / sizeof *length; l++) {
                char *text = story_text(kind[k], key, length[l], &s);
                story_facts(&key, value);
                assert_memory_equal(value, s.value, sizeof value);
                check_told_once(text, value);
                free(text);
            }
            assert_int_equal(story_begin(&s, kind[k], &key, least - 1, STORY_SPAN, &err), PAL_USAGE);
            assert_non_null(strstr(err.text, "too short"));
        }
    }
}

/* story_least() is enough for any story, and not much more than some need. */
static void test_least(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        const int64_t least = story_least(kind[k]);
        int64_t most = 0;
        for (uint64_t i = 0; i < 400; i++) {
            story s;
            succeed(story_begin(&s, kind[k], &(story_key){i, STORY_TRAIN, i, 0}, least, STORY_SPAN, &err), &err);
            if (s.untold > most) most = s.untold;
        }
        assert_true(most <= least && most > least * 3 / 4);
    }
}

/* A story without facts has nobody of whom facts tell, and no value behind the last word of a cue. */
static void test_idle(void **state)
{
    (void)state;
    static const char *const words[] = {"captain", "child", "gold", "king ", "ship", "ring ", "army", "lady"};
    const story_key key = {1, STORY_TEST, 0, 0};
    story s;
    int32_t *tokens = malloc(LONG * sizeof *tokens);
    story_begin_idle(&s, kind[0], &key, LONG);
    assert_int_equal(story_read(&s, tokens, LONG), LONG);
    char *text = text_of(kind[0], tokens, LONG);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char word[32];
        snprintf(word, sizeof word, " %s", words[i]);
        assert_null(strstr(text, word));
    }
    for (int i = 0; i < STORY_SLOTS; i++) {
        const char *cue = story_cue(i), *last = cue + strlen(cue) - 1;
        while (last[-1] != ' ') last--;
        for (int v = 0; v < story_choices(i); v++) {
            char pair[64];
            snprintf(pair, sizeof pair, " %s%s", last, story_value(i, v));
            assert_null(strstr(text, pair));
        }
    }
    assert_non_null(strstr(text, "\n\nChapter 2\n\n"));
    assert_ptr_equal(strstr(text, "Chapter 1\n\n"), text);
    free(text);
    free(tokens);
}

/* One fact in each eighth of what they are spread over, in an order that differs from story to story. */
static void test_spread(void **state)
{
    (void)state;
    int first[STORY_SLOTS] = {0};
    for (uint64_t i = 0; i < 64; i++) {
        const story_key key = {2, STORY_TRAIN, i, 0};
        story s;
        char *text = story_text(kind[0], key, LONG, &s);
        for (int k = 0; k < STORY_SLOTS; k++) {
            const char *at = strstr(text, story_cue(s.order[k]));
            const double part = (double)(at - text) / (0.95 * LONG) * STORY_SLOTS;
            assert_true(part > k && part < k + 1 + 0.1); /* what comes before it may end a little late */
        }
        first[s.order[0]]++;
        free(text);
    }
    for (int i = 0; i < STORY_SLOTS; i++) assert_true(first[i] > 0);
}

/* A smaller span holds all facts, as soon as there is room for them. */
static void test_span(void **state)
{
    (void)state;
    static int32_t tokens[LONG];
    for (int k = 0; k < 2; k++) {
        for (uint64_t i = 0; i < 20; i++) {
            story s;
            succeed(story_begin(&s, kind[k], &(story_key){8, STORY_TRAIN, i, 0}, LONG, 0.3, &err), &err);
            assert_int_equal(story_read(&s, tokens, LONG * 3 / 10 + STORY_UNIT), LONG * 3 / 10 + STORY_UNIT);
            assert_int_equal(s.told, STORY_SLOTS);
            assert_true(s.place[STORY_SLOTS - 1] > LONG * 0.3 * 7 / 8);
            succeed(story_begin(&s, kind[k], &(story_key){8, STORY_TRAIN, i, 0}, LONG, 0, &err), &err);
            const int64_t all = s.untold + 2 * STORY_UNIT; /* a heading and a sentence come first */
            assert_int_equal(story_read(&s, tokens, (size_t)all), all);
            assert_int_equal(s.told, STORY_SLOTS);
        }
    }
}

/* A summary belongs to one split, whatever the seed; every value of a slot is as likely as the others. */
static void test_splits(void **state)
{
    (void)state;
    enum { STORIES = 6000 };
    static int count[3][STORY_SLOTS][32];
    for (int split = 0; split < 3; split++) {
        for (uint64_t i = 0; i < STORIES; i++) {
            int value[STORY_SLOTS];
            story_facts(&(story_key){i % 7, (story_split)split, i, 0}, value);
            assert_int_equal(story_split_of(value), split);
            for (int k = 0; k < STORY_SLOTS; k++) {
                assert_in_range(value[k], 0, story_choices(k) - 1);
                count[split][k][value[k]]++;
            }
        }
        for (int k = 0; k < STORY_SLOTS; k++) {
            const int n = story_choices(k);
            const double expected = (double)STORIES / n;
            double chi = 0;
            assert_true(n >= 16);
            for (int v = 0; v < n; v++)
                chi += (count[split][k][v] - expected) * (count[split][k][v] - expected) / expected;
            /* 24 tests, mean n - 1, deviation sqrt(2(n - 1)): beyond 5 deviations is no chance. */
            assert_true(chi < n - 1 + 5 * sqrt(2.0 * (n - 1)));
        }
    }
}

/* Half a million tokens at once: all are there, and the struct is all that is needed. */
static void test_book_length(void **state)
{
    (void)state;
    enum { LENGTH = 512 << 10 };
    story s;
    const story_key key = {1, STORY_TEST, 0, 0};
    succeed(story_begin(&s, kind[0], &key, LENGTH, STORY_SPAN, &err), &err);
    int64_t total = 0;
    int32_t part[1024];
    for (size_t got; (got = story_read(&s, part, 1024)) > 0;) total += (int64_t)got;
    assert_int_equal(total, LENGTH);
    assert_int_equal(s.told, STORY_SLOTS);
    assert_true(s.chapter > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_determinism),
        cmocka_unit_test(test_tokens_of_the_text),
        cmocka_unit_test(test_facts_are_told_once),
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_span),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_book_length),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
