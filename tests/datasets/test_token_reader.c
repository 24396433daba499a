#include "tests/lib/corpus_fixture.h"

#include "datasets/tokenizer/bpe.h"
#include "datasets/tokenizer/bpe_train.h"
#include "datasets/tokenizer/token_reader.h"
#include "datasets/words/bpe_words.h"

#include <unistd.h>

static uint64_t naive_words(const char *text)
{
    char *copy = strdup(text), *rest = NULL;
    uint64_t words = 0;
    for (char *word = strtok_r(copy, " \t\n\v\f\r", &rest); word; word = strtok_r(NULL, " \t\n\v\f\r", &rest))
        words++;
    free(copy);
    return words;
}

/* The tokens of document 0 by reads of at most `max`; returns how many. */
static size_t read_tokens(const corpus *c, const tokenizer *t, size_t max, int32_t *tokens, uint64_t *bytes,
                          uint64_t *words)
{
    token_reader *r;
    assert_int_equal(token_reader_open(&r, c, 0, t, &err), PAL_OK);
    assert_int_equal(token_reader_bytes(r), 0);
    size_t count = 0, got;
    do {
        assert_int_equal(token_reader_read(r, tokens + count, max, &got, &err), PAL_OK);
        assert_true(got <= max);
        count += got;
    } while (got > 0);
    *bytes = token_reader_bytes(r);
    *words = token_reader_words(r);
    token_reader_close(r);
    return count;
}

static void check_tokens(const tokenizer *t, const char *text, size_t size)
{
    put("t.txt", text, size);
    corpus *c = open_corpus("t.txt", "all");
    int32_t *expected = malloc((size + 1) * sizeof *expected), *tokens = malloc((size + 2) * sizeof *tokens);
    const size_t count = tokenizer_encode(t, text, size, expected);
    static const size_t reads[] = {1, 3, 128, 65535, 1 << 20};
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        uint64_t bytes, words;
        const size_t max = reads[i] < size + 1 ? reads[i] : size + 1;
        assert_int_equal(read_tokens(c, t, max, tokens, &bytes, &words), count + 1);
        assert_int_equal(tokens[0], tokenizer_begin(t));
        assert_memory_equal(tokens + 1, expected, count * sizeof *tokens);
        assert_int_equal(bytes, size);
        assert_int_equal(words, naive_words(text));
    }
    free(expected);
    free(tokens);
    corpus_close(c);
}

static void tokens_do_not_depend_on_reads(void **state)
{
    (void)state;
    tokenizer *t;
    assert_int_equal(tokenizer_create_bytes(&t, &err), PAL_OK);
    check_tokens(t, "x", 1);
    check_tokens(t, " two words\n", 11);
    size_t size;
    char *text = random_text(90000, 4, &size);
    check_tokens(t, text, size);
    free(text);
    tokenizer_destroy(t);
}

/* A BPE of 512 tokens from this text, so that words of several tokens come out. */
static tokenizer *train_bpe(const char *text, size_t size)
{
    bpe_words words = {0};
    bpe *b;
    tokenizer *t;
    put("train.txt", text, size);
    corpus *c = open_corpus("train.txt", "all");
    document *d;
    assert_int_equal(document_open(c, 0, &d, &err), PAL_OK);
    assert_int_equal(bpe_words_add_document(&words, d, BPE_SINGLE_DIGITS, &err), PAL_OK);
    document_close(d);
    corpus_close(c);
    if (bpe_train(&b, &words, BPE_VOCAB_MIN, NULL, NULL, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(bpe_tokenizer(&t, b, &err), PAL_OK);
    bpe_words_free(&words);
    return t;
}

/* Pieces end within words, runs of white space and characters, and before what would have been merged. */
static void tokens_of_pieces_are_those_of_the_whole(void **state)
{
    (void)state;
    size_t size;
    char *text = random_text(200000, 5, &size);
    tokenizer *t = train_bpe(text, size);
    check_tokens(t, text, size);
    free(text);
    tokenizer_destroy(t);
}

/* Longer than any buffer that is there at first. */
static void a_word_of_any_length_is_one_piece(void **state)
{
    (void)state;
    size_t size;
    char *text = random_text(50000, 6, &size);
    tokenizer *t = train_bpe(text, size);
    static const char fill[] = {'a', ' ', '\n', '.'};
    for (size_t i = 0; i < sizeof fill; i++) {
        enum { RUN = 150000 };
        char *whole = malloc(size + RUN + 2);
        memset(whole, fill[i], RUN);
        whole[RUN] = 'b';
        memcpy(whole + RUN + 1, text, size + 1);
        check_tokens(t, whole, size + RUN + 1);
        check_tokens(t, strcpy(whole, "\n\n"), 2);
        free(whole);
    }
    free(text);
    tokenizer_destroy(t);
}

/* A word is held in memory, so it has a limit; with bytes as tokens there are no words. */
static void a_word_has_a_limit(void **state)
{
    (void)state;
    const size_t size = BPE_WORD_MAX + (1 << 17);
    char *text = malloc(size + 1);
    tokenizer *bytes, *t;
    size_t got, small;
    int32_t tokens[256];
    char *sample = random_text(50000, 7, &small);
    t = train_bpe(sample, small);
    free(sample);
    assert_int_equal(tokenizer_create_bytes(&bytes, &err), PAL_OK);
    memset(text, 'x', size);
    memcpy(text, "ok ", 3);
    put("wide.txt.gz", text, size);
    free(text);
    corpus *c = open_corpus("wide.txt.gz", "");
    for (int plain = 0; plain < 2; plain++) {
        token_reader *r;
        uint64_t all = 0;
        int code = token_reader_open(&r, c, 0, plain ? bytes : t, &err);
        for (got = 1; code == PAL_OK && got > 0; all += got) code = token_reader_read(r, tokens, 256, &got, &err);
        assert_int_equal(code, plain ? PAL_OK : PAL_DATA);
        if (plain) assert_int_equal(all, size + 1);
        if (!plain) assert_said("wide.txt.gz: document 'wide': the text at byte 2 goes on for more than 4 MiB");
        token_reader_close(r);
    }
    document *d;
    bpe_words words = {0};
    assert_int_equal(document_open(c, 0, &d, &err), PAL_OK);
    assert_int_equal(bpe_words_add_document(&words, d, BPE_SINGLE_DIGITS, &err), PAL_DATA);
    assert_said("the text at byte 2 goes on");
    document_close(d);
    bpe_words_free(&words);
    corpus_close(c);
    tokenizer_destroy(t);
    tokenizer_destroy(bytes);
}

static void counts_are_of_what_was_read_so_far(void **state)
{
    (void)state;
    size_t size, got;
    char *text = random_text(300000, 7, &size);
    tokenizer *t;
    assert_int_equal(tokenizer_create_bytes(&t, &err), PAL_OK);
    put("t.txt.gz", text, size);
    corpus *c = open_corpus("t.txt.gz", "all");
    token_reader *r;
    assert_int_equal(token_reader_open(&r, c, 0, t, &err), PAL_OK);
    uint64_t tokens = 0;
    int32_t some[4096];
    do {
        assert_int_equal(token_reader_read(r, some, 4096, &got, &err), PAL_OK);
        tokens += got;
        const uint64_t bytes = token_reader_bytes(r);
        assert_in_range(bytes, tokens - 1, size);
        const char next = text[bytes];
        text[bytes] = '\0';
        assert_int_equal(token_reader_words(r), naive_words(text));
        text[bytes] = next;
    } while (got > 0);
    assert_int_equal(tokens, size + 1);
    token_reader_close(r);
    corpus_close(c);
    tokenizer_destroy(t);
    free(text);
}

static void a_reader_passes_errors_on(void **state)
{
    (void)state;
    tokenizer *t;
    assert_int_equal(tokenizer_create_bytes(&t, &err), PAL_OK);
    put_text("bad.txt", "good \xFF");
    corpus *c = open_corpus("bad.txt", "all");
    token_reader *r;
    int32_t tokens[16];
    size_t got;
    assert_int_equal(token_reader_open(&r, c, 0, t, &err), PAL_OK);
    assert_int_equal(token_reader_read(r, tokens, 16, &got, &err), PAL_DATA);
    assert_said("bad.txt: byte offset 5: not UTF-8");
    token_reader_close(r);
    unlink(at("bad.txt"));
    assert_int_equal(token_reader_open(&r, c, 0, t, &err), PAL_DATA);
    assert_null(r);
    assert_said("bad.txt: cannot open: No such file or directory");
    corpus_close(c);
    tokenizer_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(tokens_do_not_depend_on_reads),      WITH_DIR(tokens_of_pieces_are_those_of_the_whole),
        WITH_DIR(a_word_of_any_length_is_one_piece),  WITH_DIR(a_word_has_a_limit),
        WITH_DIR(counts_are_of_what_was_read_so_far), WITH_DIR(a_reader_passes_errors_on),
    };
    return cmocka_run_group_tests_name("token_reader", tests, NULL, NULL);
}
