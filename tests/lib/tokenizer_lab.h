/* What the suites of the tokenizer share: random texts and tokenizers trained on them. */
#ifndef PAL_TEST_TOKENIZER_LAB_H
#define PAL_TEST_TOKENIZER_LAB_H

#include "datasets/tokenizer/bpe_train.h"
#include "harness/base/rng.h"

#include <string.h>

enum { ROOM = 4096 };

static inline void succeed(int code, const pal_error *err)
{
    if (code != PAL_OK) fail_msg("%s", err->text);
}

static inline size_t put_character(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    const size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; c >>= 6) out[i] = (char)(unsigned char)(0x80 | (c & 0x3f));
    out[0] = (char)(unsigned char)((size == 2 ? 0xc0 : size == 3 ? 0xe0 : 0xf0) | c);
    return size;
}

/* Valid UTF-8 of at most `most` bytes, full of what splitting treats specially. */
static inline size_t random_text(rng *r, char *out, size_t most)
{
    static const char *const piece[] = {
        " ",      " ",      "  ",       "   ",    "\n",  "\n\n", "\r\n", "\t", "\v",       "a",       "b",
        "th",     "e",      "he",       "'",      "'s",  "'re",  "'ll",  "'r", "'l",       "''",      "'S",
        ".",      "...",    "<|",       "(",      "0",   "1",    "42",   "7",  "é",        "e\u0301", "\u00a0",
        "\u3000", "\u2003", "\xc2\x85", "漢字",   "½",   "٣٤",   "Ⅷ",    "😀",  "👍🏽", "ж",       " the",
        " of",    "\u200d", "}",        "\\frac", "x_1", "in",   "an",
    };
    size_t size = 0;
    while (size + 16 < most) {
        if (rng_below(r, 12)) {
            const char *text = piece[rng_below(r, sizeof piece / sizeof *piece)];
            memcpy(out + size, text, strlen(text));
            size += strlen(text);
        } else {
            const uint32_t c = rng_below(r, rng_below(r, 4) ? 0x800 : 0x110000);
            if (c < 0xd800 || c > 0xdfff) size += put_character(c, out + size);
        }
        if (rng_below(r, 40) == 0) break;
    }
    return size;
}

/* `vocab` tokens trained on random text. */
static inline bpe *trained_bpe(uint64_t seed, size_t vocab)
{
    pal_error err;
    bpe_words words = {0};
    rng r = rng_make(seed, "test/tokenizer", 0, 0);
    char text[ROOM];
    for (int i = 0; i < 400; i++)
        succeed(bpe_words_add(&words, text, random_text(&r, text, sizeof text), BPE_SINGLE_DIGITS, &err), &err);
    bpe *b;
    succeed(bpe_train(&b, &words, vocab, NULL, NULL, &err), &err);
    bpe_words_free(&words);
    assert_int_equal(b->vocab, vocab);
    return b;
}

static inline tokenizer *trained(uint64_t seed, size_t vocab)
{
    pal_error err;
    tokenizer *t;
    succeed(bpe_tokenizer(&t, trained_bpe(seed, vocab), &err), &err);
    return t;
}

#endif
