/* Byte-level BPE: splitting into words, merging and training against oracles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/words/bpe_words.h"
#include "datasets/words/unicode_class.h"
#include "tests/lib/tokenizer_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Characters and words. ---- */

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unicode_class class;
        size_t length;
    } known[] = {
        {"A", UNICODE_LETTER, 1},     {"z", UNICODE_LETTER, 1},         {"@", UNICODE_OTHER, 1},
        {"[", UNICODE_OTHER, 1},      {"`", UNICODE_OTHER, 1},          {"{", UNICODE_OTHER, 1},
        {"0", UNICODE_NUMBER, 1},     {"9", UNICODE_NUMBER, 1},         {":", UNICODE_OTHER, 1},
        {"\t", UNICODE_SPACE, 1},     {"\r", UNICODE_SPACE, 1},         {"\x0e", UNICODE_OTHER, 1},
        {" ", UNICODE_SPACE, 1},      {"\x1f", UNICODE_OTHER, 1},       {"\xc2\x85", UNICODE_SPACE, 2},
        {"\u00a0", UNICODE_SPACE, 2}, {"\u00aa", UNICODE_LETTER, 2},    {"²", UNICODE_NUMBER, 2},
        {"×", UNICODE_OTHER, 2},      {"ß", UNICODE_LETTER, 2},         {"\u0301", UNICODE_OTHER, 2},
        {"٣", UNICODE_NUMBER, 2},     {"א", UNICODE_LETTER, 2},         {"\u200b", UNICODE_OTHER, 3},
        {"\u2028", UNICODE_SPACE, 3}, {"\u3000", UNICODE_SPACE, 3},     {"Ⅷ", UNICODE_NUMBER, 3},
        {"漢", UNICODE_LETTER, 3},    {"。", UNICODE_OTHER, 3},         {"한", UNICODE_LETTER, 3},
        {"\ufeff", UNICODE_OTHER, 3}, {"😀", UNICODE_OTHER, 4},          {"𝟘", UNICODE_NUMBER, 4},
        {"𝒳", UNICODE_LETTER, 4},     {"\U0010ffff", UNICODE_OTHER, 4}, {"\x80", UNICODE_OTHER, 1},
        {"\xc3", UNICODE_OTHER, 1},   {"\xe6\xbc", UNICODE_OTHER, 1},   {"\xf0\x9f\x98", UNICODE_OTHER, 1},
        {"\xff", UNICODE_OTHER, 1},   {"\xc0\x80", UNICODE_OTHER, 1},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t length;
        assert_int_equal(unicode_class_at(known[i].text, strlen(known[i].text), 0, &length), known[i].class);
        assert_int_equal(length, known[i].length);
    }
}

static void assert_words(const char *text, int single_digits, const char *expected)
{
    char joined[ROOM];
    size_t used = 0;
    const size_t size = strlen(text);
    for (size_t at = 0, end; at < size; at = end) {
        int sure;
        end = bpe_word_end(text, size, at, single_digits, &sure);
        assert_true(end > at && end <= size);
        used += (size_t)snprintf(joined + used, sizeof joined - used, "%s%.*s", at ? "|" : "", (int)(end - at),
                                 text + at);
    }
    joined[used] = '\0';
    assert_string_equal(joined, expected);
}

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *text, *together, *single;
    } known[] = {
        {"", "", ""},
        {"Hello world", "Hello| world", "Hello| world"},
        {"I'll say it's Joe's, they've; don't", "I|'ll| say| it|'s| Joe|'s|,| they|'ve|;| don|'t",
         "I|'ll| say| it|'s| Joe|'s|,| they|'ve|;| don|'t"},
        {"'say 'S 'llo \"'re", "'s|ay| '|S| '|llo| \"'|re", "'s|ay| '|S| '|llo| \"'|re"},
        {"'rest 'v", "'re|st| '|v", "'re|st| '|v"},
        {"in 1984, 3.14", "in| 1984|,| 3|.|14", "in| |1|9|8|4|,| |3|.|1|4"},
        {"a  b   \n c", "a| | b|   \n| c", "a| | b|   \n| c"},
        {"a  1", "a| | 1", "a|  |1"},
        {"a\n1", "a|\n|1", "a|\n|1"},
        {"x\n\ny", "x|\n|\n|y", "x|\n|\n|y"},
        {"end  \n", "end|  \n", "end|  \n"},
        {"a\u00a0b \u00a0c", "a|\u00a0|b| |\u00a0|c", "a|\u00a0|b| |\u00a0|c"},
        {"e\u0301t\u0301", "e|\u0301|t|\u0301", "e|\u0301|t|\u0301"},
        {"漢字、かな 漢", "漢字|、|かな| 漢", "漢字|、|かな| 漢"},
        {"x²½ ٣٤", "x|²½| ٣٤", "x|²|½| |٣|٤"},
        {"😀👍 😀", "😀👍| 😀", "😀👍| 😀"},
        {"\\frac{x_1}{2}", "\\|frac|{|x|_|1|}{|2|}", "\\|frac|{|x|_|1|}{|2|}"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_words(known[i].text, 0, known[i].together);
        assert_words(known[i].text, 1, known[i].single);
    }
}

/* For every prefix of a text and what it says is safe: the words up to there are the whole text's, with anything
 * behind the prefix, and also when the text ends there. */
static void test_safe_words(void **state)
{
    (void)state;
    static const char *const behind[] = {"", " ", "\n", "a", "'", "e", "s", "l", "1", ".", "\u00a0", "é", "  a"};
    rng r = rng_make(2, "test/safe", 0, 0);
    for (int round = 0; round < 300; round++) {
        char text[ROOM];
        const size_t size = random_text(&r, text, 60);
        for (int digits = 0; digits < 2; digits++)
            for (size_t prefix = 0; prefix <= size; prefix++) {
                if (prefix < size && (text[prefix] & 0xc0) == 0x80) continue;
                const size_t safe = bpe_words_safe(text, prefix, digits);
                assert_true(safe <= prefix);
                for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
                    char whole[ROOM];
                    memcpy(whole, text, prefix);
                    memcpy(whole + prefix, behind[i], strlen(behind[i]) + 1);
                    int sure;
                    size_t a = 0, b = 0;
                    while (a < safe) {
                        a = bpe_word_end(whole, strlen(whole), a, digits, &sure);
                        b = bpe_word_end(text, safe, b, digits, &sure);
                        assert_int_equal(a, b);
                    }
                    assert_int_equal(a, safe);
                }
            }
    }
    /* It is not merely 0. */
    assert_int_equal(bpe_words_safe("in the beginning", 16, 1), 6);
    assert_int_equal(bpe_words_safe("it's", 4, 1), 4);
    assert_int_equal(bpe_words_safe("19", 2, 1), 2);
    assert_int_equal(bpe_words_safe("19", 2, 0), 0);
    assert_int_equal(bpe_words_safe("word", 4, 0), 0);
    assert_int_equal(bpe_words_safe("a, b", 4, 0), 2);
    assert_int_equal(bpe_words_safe("", 0, 0), 0);
}

/* ---- Merging. ---- */

static int32_t slow_rank(const bpe *b, int32_t left, int32_t right)
{
    for (size_t i = 0; i < b->merges; i++)
        if (b->merge[i].left == left && b->merge[i].right == right) return (int32_t)i;
    return -1;
}

/* The definition: of all adjacent pairs the one of the lowest rank, the leftmost of equals, until none has one. */
static size_t slow_word(const bpe *b, const char *word, size_t size, int32_t *token)
{
    for (size_t i = 0; i < size; i++) token[i] = b->byte_token[(unsigned char)word[i]];
    for (;;) {
        int32_t best = -1;
        size_t at = 0;
        for (size_t i = 0; i + 1 < size; i++) {
            const int32_t rank = slow_rank(b, token[i], token[i + 1]);
            if (rank < 0 || (best >= 0 && rank >= best)) continue;
            best = rank;
            at = i;
        }
        if (best < 0) return size;
        token[at] = b->merge[best].made;
        for (size_t i = at + 1; i + 1 < size; i++) token[i] = token[i + 1];
        size--;
    }
}

static void test_encode_like_oracle(void **state)
{
    (void)state;
    bpe *b = trained_bpe(3, 700);
    rng r = rng_make(3, "test/words", 0, 0);
    for (int round = 0; round < 600; round++) {
        char word[200];
        int32_t fast[200], slow[200];
        const size_t size = 1 + rng_below(&r, round % 10 ? 20 : sizeof word);
        for (size_t i = 0; i < size; i++) word[i] = "thean"[rng_below(&r, 5)];
        const size_t count = slow_word(b, word, size, slow);
        assert_int_equal(bpe_encode(b, word, size, 0, fast), count);
        assert_memory_equal(fast, slow, count * sizeof *fast);
    }
    bpe_free(b);
}

/* ---- Training. ---- */

static void add_word(bpe_words *words, const char *word, int times)
{
    pal_error err;
    for (int i = 0; i < times; i++)
        succeed(bpe_words_add(words, word, strlen(word), BPE_SINGLE_DIGITS, &err), &err);
}

static const struct {
    const char *word;
    int times;
} sennrich[] = {{"low", 5}, {"lower", 2}, {"newest", 6}, {"widest", 3}};

/* The example of Sennrich et al. 2016, Algorithm 1 (without their end-of-word mark), worked by hand. */
static void test_train_known(void **state)
{
    (void)state;
    static const char *const made[] = {"es",     "est",  "lo",    "low",    "ew", "new",
                                       "newest", "dest", "idest", "widest", "er", "lower"};
    enum { MADE = sizeof made / sizeof *made, VOCAB = BPE_BYTES + MADE + 1 };
    for (int backwards = 0; backwards < 2; backwards++) {
        pal_error err;
        bpe_words words = {0};
        for (size_t i = 0; i < 4; i++) {
            const size_t at = backwards ? 3 - i : i;
            add_word(&words, sennrich[at].word, sennrich[at].times);
        }
        bpe *b;
        succeed(bpe_train(&b, &words, VOCAB, NULL, NULL, &err), &err);
        assert_int_equal(b->merges, MADE);
        for (size_t i = 0; i < MADE; i++) {
            const size_t token = BPE_BYTES + i;
            assert_int_equal(b->merge[i].made, token);
            assert_int_equal(b->at[token + 1] - b->at[token], strlen(made[i]));
            assert_memory_equal(b->text + b->at[token], made[i], strlen(made[i]));
        }
        assert_true(b->role[VOCAB - 1] == BPE_SPECIAL && b->role[VOCAB - 2] == BPE_TEXT);
        bpe_free(b);

        assert_int_equal(bpe_train(&b, &words, VOCAB + 1, NULL, NULL, &err), PAL_DATA);
        assert_non_null(strstr(err.text, "vocab=269"));
        assert_int_equal(bpe_train(&b, &words, BPE_BYTES, NULL, NULL, &err), PAL_USAGE);
        succeed(bpe_train(&b, &words, BPE_BYTES + 1, NULL, NULL, &err), &err);
        assert_int_equal(b->merges, 0);
        bpe_free(b);
        bpe_words_free(&words);
    }
}

enum { ORACLE_VOCAB = 400, ORACLE_WORD = 24 };

typedef struct slow_trainer {
    int32_t token[300][ORACLE_WORD];
    size_t length[300], words;
    int64_t times[300];
    size_t tokens;
    int64_t count[ORACLE_VOCAB][ORACLE_VOCAB];
} slow_trainer;

/* Counts every pair anew and takes the first of the most frequent ones in the order of (left, right). */
static bpe_merge slow_merge(slow_trainer *s)
{
    memset(s->count, 0, sizeof s->count);
    for (size_t w = 0; w < s->words; w++)
        for (size_t i = 0; i + 1 < s->length[w]; i++) s->count[s->token[w][i]][s->token[w][i + 1]] += s->times[w];
    bpe_merge m = {.left = 0};
    for (int32_t a = 0; a < (int32_t)s->tokens; a++)
        for (int32_t c = 0; c < (int32_t)s->tokens; c++)
            if (s->count[a][c] > s->count[m.left][m.right]) m = (bpe_merge){.left = a, .right = c};
    assert_true(s->count[m.left][m.right] >= 2);
    m.made = (int32_t)s->tokens++;
    for (size_t w = 0; w < s->words; w++) {
        size_t kept = 0;
        for (size_t i = 0; i < s->length[w]; i++) {
            int32_t *t = s->token[w];
            const int here = i + 1 < s->length[w] && t[i] == m.left && t[i + 1] == m.right;
            t[kept++] = here ? m.made : t[i];
            i += (size_t)here;
        }
        s->length[w] = kept;
    }
    return m;
}

static void assert_different_texts(const bpe *b)
{
    for (size_t i = 0; i < b->vocab; i++)
        for (size_t k = 0; k < i; k++) {
            const size_t size = b->at[i + 1] - b->at[i];
            assert_false(size == b->at[k + 1] - b->at[k] &&
                         memcmp(b->text + b->at[i], b->text + b->at[k], size) == 0);
        }
}

static void test_train_like_oracle(void **state)
{
    (void)state;
    slow_trainer *s = malloc(sizeof *s);
    assert_non_null(s);
    for (uint64_t seed = 0; seed < 12; seed++) {
        pal_error err;
        bpe_words words = {0};
        rng r = rng_make(seed, "test/train", 0, 0);
        for (int i = 0; i < 300; i++) {
            char word[ORACLE_WORD] = {0};
            const size_t size = 1 + rng_below(&r, ORACLE_WORD - 1);
            for (size_t k = 0; k < size; k++) word[k] = "abc"[rng_below(&r, 2 + seed % 2)];
            add_word(&words, word, 1 + (int)rng_below(&r, 9));
        }
        memset(s, 0, sizeof *s);
        s->words = words.count;
        for (size_t w = 0; w < words.count; w++) {
            s->times[w] = words.word[w].times;
            s->length[w] = words.word[w].size;
            for (size_t i = 0; i < s->length[w]; i++)
                s->token[w][i] = (unsigned char)words.text[words.word[w].at + i];
        }
        s->tokens = BPE_BYTES;
        bpe *b;
        succeed(bpe_train(&b, &words, ORACLE_VOCAB, NULL, NULL, &err), &err);
        for (size_t i = 0; i < b->merges; i++) {
            bpe_merge m = slow_merge(s);
            m.rank = (uint32_t)i;
            assert_memory_equal(&b->merge[i], &m, sizeof m);
        }
        assert_int_equal(s->tokens, ORACLE_VOCAB - 1);
        assert_different_texts(b);
        bpe_free(b);
        bpe_words_free(&words);
    }
    free(s);
}

/* A document is counted in pieces, as if it were whole. */
static void test_count_document(void **state)
{
    (void)state;
    enum { SIZE = 300000 };
    static char path[] = "/tmp/test_bpe.XXXXXX";
    const int file = mkstemp(path);
    char *text = malloc(SIZE);
    assert_true(file >= 0 && text);
    rng r = rng_make(13, "test/document", 0, 0);
    size_t size = 0;
    while (size + ROOM < SIZE) size += random_text(&r, text + size, ROOM);
    assert_int_equal(write(file, text, size), size);
    close(file);

    pal_error err;
    corpus *c;
    document *d;
    bpe_words whole = {0}, pieces = {0};
    succeed(bpe_words_add(&whole, text, size, 1, &err), &err);
    succeed(corpus_open(&c, path, "all", "test", &err), &err);
    succeed(document_open(c, 0, &d, &err), &err);
    succeed(bpe_words_add_document(&pieces, d, 1, &err), &err);
    document_close(d);
    corpus_close(c);
    assert_int_equal(pieces.count, whole.count);
    assert_int_equal(pieces.text_size, whole.text_size);
    assert_memory_equal(pieces.text, whole.text, whole.text_size);
    for (size_t i = 0; i < whole.count; i++) assert_int_equal(pieces.word[i].times, whole.word[i].times);
    bpe_words_free(&whole);
    bpe_words_free(&pieces);
    free(text);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),        cmocka_unit_test(test_words),
        cmocka_unit_test(test_safe_words),     cmocka_unit_test(test_encode_like_oracle),
        cmocka_unit_test(test_train_known),    cmocka_unit_test(test_train_like_oracle),
        cmocka_unit_test(test_count_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
