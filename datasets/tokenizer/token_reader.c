/* Reads a document piece by piece and makes tokens of what no later text can change. */
#include "datasets/tokenizer/token_reader.h"

#include "datasets/words/bpe_words.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 16, CHARACTER = 4 /* bytes of the longest */ };

struct token_reader {
    const tokenizer *tokenizer;
    document *document;
    char *text; /* text[used] is read but not yet tokens */
    size_t used, capacity;
    int32_t *token; /* token[at .. count) is next to be handed out; room for those of all the text */
    size_t at, count;
    int begun, end, in_word;
    uint64_t bytes, words;
};

/* Buffers for `capacity` bytes of text. */
static int reserve(token_reader *r, size_t capacity, pal_error *err)
{
    char *text = realloc(r->text, capacity);
    if (text) r->text = text;
    int32_t *token = realloc(r->token, tokenizer_room(r->tokenizer, capacity) * sizeof *token);
    if (token) r->token = token;
    if (!text || !token)
        return pal_fail(err, PAL_INTERNAL, "out of memory: the tokens' buffer needs %zu bytes", capacity);
    r->capacity = capacity;
    return PAL_OK;
}

int token_reader_open(token_reader **out, const corpus *c, size_t index, const tokenizer *t, pal_error *err)
{
    *out = NULL;
    token_reader *r = calloc(1, sizeof *r);
    if (!r) return pal_fail(err, PAL_INTERNAL, "out of memory for a reader of tokens");
    r->tokenizer = t;
    int code = reserve(r, CHUNK, err);
    if (code == PAL_OK) code = document_open(c, index, &r->document, err);
    if (code != PAL_OK) {
        token_reader_close(r);
        return code;
    }
    r->token[r->count++] = tokenizer_begin(t);
    *out = r;
    return PAL_OK;
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void count_words(token_reader *r, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const int in_word = !is_space(text[i]);
        r->words += (uint64_t)(in_word && !r->in_word);
        r->in_word = in_word;
    }
}

/* Read text until some of it has certain tokens, and make them. */
static int refill(token_reader *r, pal_error *err)
{
    size_t safe = 0;
    while (!r->end && safe == 0) {
        /* Double at least: what is read again and again without certain tokens stays linear in all. */
        if (r->capacity - r->used < CHARACTER) PAL_TRY(reserve(r, 2 * r->capacity, err));
        size_t got;
        PAL_TRY(document_read(r->document, r->text + r->used, r->capacity - r->used, &got, err));
        count_words(r, r->text + r->used, got);
        r->bytes += got;
        r->used += got;
        r->end = got == 0;
        safe = r->end ? r->used : tokenizer_safe_prefix(r->tokenizer, r->text, r->used);
        if (safe == 0 && r->used > BPE_WORD_MAX)
            return document_refuse_word(r->document, r->bytes - r->used, BPE_WORD_MAX, err);
    }
    r->at = 0;
    r->count = (r->begun ? tokenizer_encode : tokenizer_encode_start)(r->tokenizer, r->text, safe, r->token);
    r->begun = 1;
    r->used -= safe;
    memmove(r->text, r->text + safe, r->used);
    return PAL_OK;
}

int token_reader_read(token_reader *r, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    *got = 0;
    while (*got < max) {
        if (r->at == r->count) {
            if (r->end) break;
            PAL_TRY(refill(r, err));
        }
        const size_t left = r->count - r->at, room = max - *got, count = left < room ? left : room;
        memcpy(tokens + *got, r->token + r->at, count * sizeof *tokens);
        r->at += count;
        *got += count;
    }
    return PAL_OK;
}

uint64_t token_reader_bytes(const token_reader *r)
{
    return r->bytes;
}

uint64_t token_reader_words(const token_reader *r)
{
    return r->words;
}

void token_reader_close(token_reader *r)
{
    if (!r) return;
    document_close(r->document);
    free(r->text);
    free(r->token);
    free(r);
}
