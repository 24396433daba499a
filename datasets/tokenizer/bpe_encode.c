/* Encodes a text: takes it apart at added tokens, brings it into the form that the vocabulary wants, and encodes
 * its words, those seen before from a cache. */
#include "datasets/tokenizer/bpe.h"

#include "datasets/words/bpe_words.h"
#include "datasets/words/normal_form.h"
#include "harness/base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum {
    CACHED_WORD = 32,  /* bytes; longer words are rarely seen again */
    CACHE_TEXT = 4096, /* bytes of text from which the cache pays for being cleared */
    CACHE_SIZE = 2048
};

/* ---- Words of a section. ---- */

/* A word that this call has encoded before: where it stood, and where its tokens are. */
typedef struct seen {
    size_t text, tokens;
    uint32_t size, count; /* size 0: none */
} seen;

typedef struct encoder {
    const bpe *b;
    const char *text;
    int32_t *out;
    size_t count, cached;
    seen cache[CACHE_SIZE];
} encoder;

static inline void put_word(encoder *e, size_t from, size_t to)
{
    const size_t length = to - from;
    const char *word = e->text + from;
    if (length > e->cached) {
        e->count += bpe_encode_word(e->b, word, length, 0, e->out + e->count);
        return;
    }
    seen *s = &e->cache[bpe_text_hash(word, length) % CACHE_SIZE];
    if (s->size != length || memcmp(e->text + s->text, word, length) != 0)
        *s = (seen){from, e->count, (uint32_t)length,
                    (uint32_t)bpe_encode_word(e->b, word, length, 0, e->out + e->count)};
    else
        memmove(e->out + e->count, e->out + s->tokens, s->count * sizeof *e->out);
    e->count += s->count;
}

static void take_word(void *context, size_t from, size_t to)
{
    put_word(context, from, to);
}

static void put_gpt2_words(encoder *e, size_t size)
{
    for (size_t at = 0, end; at < size; at = end) {
        int sure;
        end = bpe_word_end(e->text, size, at, e->b->rules.single_digits, &sure);
        put_word(e, at, end);
    }
}

/* The end of SentencePiece's word: spaces, then what is none. */
static size_t spaced_word_end(const bpe *b, const char *text, size_t size, size_t at)
{
    if (!b->rules.split_spaces && !b->whole_words) return size;
    const size_t most = b->rules.split_spaces && at < size ? at + 1 : size;
    while (at < most && text[at] == ' ') at++;
    while (at < size && text[at] != ' ') at++;
    return at;
}

static void put_spaced_words(encoder *e, size_t size, int start)
{
    const bpe_prefix prefix = e->b->rules.prefix;
    size_t at = 0;
    if (start && (prefix == BPE_PREFIX_ALWAYS || (prefix == BPE_PREFIX_UNLESS_SPACE && e->text[0] != ' '))) {
        at = spaced_word_end(e->b, e->text, size, 0);
        e->count += bpe_encode_word(e->b, e->text, at, 1, e->out);
    }
    for (size_t end; at < size; at = end) {
        end = spaced_word_end(e->b, e->text, size, at);
        put_word(e, at, end);
    }
}

/* Stretches of whole characters, and bytes that are of none, each a word. */
static void put_pattern_words(encoder *e, size_t size)
{
    const char *text = e->text;
    for (size_t at = 0; at < size;) {
        int broken;
        const size_t valid = utf8_valid(text + at, size - at, &broken);
        e->text = text + at; /* words seen before keep their places */
        if (valid) {
            if (at && e->cached) memset(e->cache, 0, sizeof e->cache);
            pattern_words_each(e->b->rules.words, e->text, valid, take_word, e);
        }
        at += valid;
        if (at < size) e->count += bpe_encode_word(e->b, text + at++, 1, 0, e->out + e->count);
    }
}

/* ---- Sections: what is between added tokens. ---- */

static const char lower_block[] = "\xe2\x96\x81"; /* U+2581, SentencePiece's space */
enum { LOWER_BLOCK = 3 };

static const char *find_lower_block(const char *text, size_t size)
{
    return memmem(text, size, lower_block, LOWER_BLOCK);
}

static size_t replace_lower_blocks(const char *text, size_t size, char *out)
{
    size_t made = 0;
    for (size_t at = 0; at < size;) {
        const char *next = find_lower_block(text + at, size - at);
        const size_t plain = next ? (size_t)(next - text) - at : size - at;
        memcpy(out + made, text + at, plain);
        made += plain;
        at += plain;
        if (!next) break;
        out[made++] = ' ';
        at += LOWER_BLOCK;
    }
    return made;
}

/* What must be changed in a text is written to the end of out[bpe_room], which its tokens never reach before they
 * are made: a text that grows threefold has four places a byte, one that shrinks three. */
static size_t encode_section(const bpe *b, const char *text, size_t size, int start, int32_t *out)
{
    encoder e;
    e.b = b;
    e.text = text;
    e.out = out;
    e.count = 0;
    char *end = (char *)(out + bpe_room(b, size));
    if (b->rules.compose && !normal_form_plain(text, size)) {
        char *composed = end - NORMAL_FORM_GROWTH * size;
        size = normal_form_compose(text, size, composed);
        e.text = composed;
    } else if (b->rules.kind == BPE_OF_CHARACTERS && find_lower_block(text, size)) {
        char *replaced = end - size;
        size = replace_lower_blocks(text, size, replaced);
        e.text = replaced;
    }
    e.cached = size < CACHE_TEXT ? 0 : CACHED_WORD;
    if (e.cached) memset(e.cache, 0, sizeof e.cache);
    if (b->rules.kind == BPE_OF_CHARACTERS)
        put_spaced_words(&e, size, start);
    else if (b->rules.words)
        put_pattern_words(&e, size);
    else
        put_gpt2_words(&e, size);
    return e.count;
}

size_t bpe_room(const bpe *b, size_t size)
{
    if (b->rules.compose) return (NORMAL_FORM_GROWTH + 1) * size + 1;
    return b->rules.kind == BPE_OF_CHARACTERS ? 3 * size + 4 : size + 1;
}

size_t bpe_encode(const bpe *b, const char *text, size_t size, int start, int32_t *out)
{
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        size_t place = at;
        const added_token *t = added_tokens_find(&b->added, text, size, &place);
        const size_t end = t ? place : size;
        if (end > at) count += encode_section(b, text + at, end - at, start, out + count);
        if (!t) break;
        out[count++] = t->token;
        at = place + t->size;
        start = b->rules.prefix_sections;
    }
    return count;
}

/* ---- Where a text can be cut. ---- */

static size_t spaced_safe(const bpe *b, const char *text, size_t size)
{
    if (!b->rules.split_spaces && !b->whole_words) return 0;
    for (size_t at = size; at-- > 1;) {
        if (text[at] != ' ' || text[at - 1] == ' ') continue;
        if (at < LOWER_BLOCK || memcmp(text + at - LOWER_BLOCK, lower_block, LOWER_BLOCK) != 0) return at;
    }
    return 0;
}

/* A text in normal form C, and from which place of the raw text each of its stretches comes. */
typedef struct composed {
    char *text;
    uint32_t *raw; /* [size + 1]: 1 + the place, 0: no stretch begins there */
    size_t size;
} composed;

static int may_cut(const void *context, size_t at)
{
    const composed *c = context;
    return c->raw ? c->raw[at] != 0 : at < c->size && normal_form_border(c->text, at);
}

/* Of a text that ends at a border. */
static size_t safe_of_raw(const bpe *b, const char *text, size_t size)
{
    composed c = {.text = malloc(NORMAL_FORM_GROWTH * size + 1),
                  .raw = calloc(NORMAL_FORM_GROWTH * size + 1, sizeof *c.raw)};
    size_t safe = 0;
    if (c.text && c.raw && size < UINT32_MAX) {
        for (size_t at = 0, end; at < size; at = end) {
            end = at + 1;
            while (end < size && !normal_form_border(text, end)) end++;
            c.raw[c.size] = (uint32_t)at + 1;
            c.size += normal_form_compose(text + at, end - at, c.text + c.size);
        }
        c.raw[c.size] = (uint32_t)size + 1;
        safe = pattern_words_safe(b->rules.words, c.text, c.size, may_cut, &c);
        if (safe) safe = c.raw[safe] - 1;
    }
    free(c.text);
    free(c.raw);
    return safe;
}

static size_t composed_safe(const bpe *b, const char *text, size_t size)
{
    composed plain = {.size = size};
    if (normal_form_plain(text, size)) {
        plain.text = (char *)text;
        return pattern_words_safe(b->rules.words, text, size, may_cut, &plain);
    }
    size_t border = size ? size - 1 : 0;
    while (border > 0 && !normal_form_border(text, border)) border--;
    return border ? safe_of_raw(b, text, border) : 0;
}

static size_t section_safe(const bpe *b, const char *text, size_t size)
{
    int broken;
    if (b->rules.kind == BPE_OF_CHARACTERS) return spaced_safe(b, text, size);
    if (!b->rules.words) return bpe_words_safe(text, size, b->rules.single_digits);
    size = utf8_valid(text, size, &broken);
    return b->rules.compose ? composed_safe(b, text, size)
                            : pattern_words_safe(b->rules.words, text, size, NULL, NULL);
}

size_t bpe_safe(const bpe *b, const char *text, size_t size)
{
    const size_t open = added_tokens_open(&b->added, text, size);
    const int prefixed = b->rules.prefix_sections && b->rules.prefix != BPE_PREFIX_NONE;
    size_t from = 0, cut = 0; /* where the last section begins, and the last cut beside an added token */
    for (;;) {
        size_t place = from;
        const added_token *t = added_tokens_find(&b->added, text, size, &place);
        if (!t || place >= open) break;
        from = place + t->size;
        cut = prefixed ? place : from; /* what begins behind the token would miss its space */
    }
    const size_t safe = from < open ? section_safe(b, text + from, open - from) : 0;
    return safe ? from + safe : cut;
}
