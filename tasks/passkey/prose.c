/* Documents of a corpus as an endless haystack, streamed for evaluation, held in memory for training. */
#include "tasks/passkey/prose.h"

#include "datasets/tokenizer/token_reader.h"

#include <stdlib.h>
#include <string.h>

struct passkey_prose {
    const corpus *corpus;
    const tokenizer *tokenizer;
    size_t document;
    token_reader *reader; /* NULL between documents */
};

int passkey_prose_open(passkey_prose **out, const corpus *c, const tokenizer *t, size_t first, pal_error *err)
{
    passkey_prose *p = malloc(sizeof *p);
    if (!p) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for the prose");
    *p = (passkey_prose){c, t, first, NULL};
    *out = p;
    return PAL_OK;
}

/* The next tokens of the document that is open; at its end *got is 0 and the next document is due. */
static int read_document(passkey_prose *p, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    PAL_TRY(token_reader_read(p->reader, tokens, max, got, err));
    if (*got > 0) return PAL_OK;
    token_reader_close(p->reader);
    p->reader = NULL;
    p->document = (p->document + 1) % corpus_count(p->corpus);
    return PAL_OK;
}

int passkey_prose_read(passkey_prose *p, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    *got = 0;
    while (*got == 0 && max > 0) { /* every document has its begin token, so this ends */
        if (!p->reader) PAL_TRY(token_reader_open(&p->reader, p->corpus, p->document, p->tokenizer, err));
        PAL_TRY(read_document(p, tokens, max, got, err));
    }
    return PAL_OK;
}

void passkey_prose_close(passkey_prose *p)
{
    if (!p) return;
    if (p->reader) token_reader_close(p->reader);
    free(p);
}

/* ---- Training ---- */

static int grow(passkey_tokens *p, size_t *room, size_t max, pal_error *err)
{
    size_t wanted = *room ? 2 * *room : 1 << 16;
    if (wanted > max) wanted = max;
    int32_t *token = realloc(p->token, wanted * sizeof *token);
    if (!token) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for the prose");
    p->token = token;
    *room = wanted;
    return PAL_OK;
}

static int load_document(passkey_tokens *p, token_reader *reader, size_t *room, size_t max, pal_error *err)
{
    for (size_t got; p->count < max; p->count += got) {
        if (p->count == *room) PAL_TRY(grow(p, room, max, err));
        PAL_TRY(token_reader_read(reader, p->token + p->count, *room - p->count, &got, err));
        if (got == 0) break;
    }
    return PAL_OK;
}

static int load_corpus(passkey_tokens *p, const corpus *c, const tokenizer *t, size_t max, pal_error *err)
{
    size_t room = 0;
    for (size_t i = 0; i < corpus_count(c) && p->count < max; i++) {
        token_reader *reader;
        PAL_TRY(token_reader_open(&reader, c, i, t, err));
        const int code = load_document(p, reader, &room, max, err);
        token_reader_close(reader);
        PAL_TRY(code);
    }
    return PAL_OK;
}

int passkey_tokens_load(passkey_tokens *out, const char *path, const char *split, const tokenizer *t, size_t max,
                        pal_error *err)
{
    *out = (passkey_tokens){0};
    corpus *c;
    PAL_TRY(corpus_open(&c, path, strcmp(split, "train") == 0 ? "" : split, "train", err));
    const int code = load_corpus(out, c, t, max, err);
    corpus_close(c);
    if (code != PAL_OK) passkey_tokens_free(out);
    return code;
}

void passkey_tokens_free(passkey_tokens *p)
{
    free(p->token);
    *p = (passkey_tokens){0};
}
