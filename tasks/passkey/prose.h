/* Real prose as a haystack: an endless stream of tokens over the documents of a corpus, one after the other and
 * from the first again after the last, each with its begin token. */
#ifndef PAL_PASSKEY_PROSE_H
#define PAL_PASSKEY_PROSE_H

#include "datasets/corpus/corpus.h"
#include "datasets/tokenizer/tokenizer.h"

/* ---- For evaluation: read as it goes, in constant memory ---- */

typedef struct passkey_prose passkey_prose;

/* From the start of document `first`. Keeps the pointers; nothing is opened before the first read. */
int passkey_prose_open(passkey_prose **out, const corpus *c, const tokenizer *t, size_t first, pal_error *err);
/* 1 to max tokens; errors are document_read's. */
int passkey_prose_read(passkey_prose *p, int32_t *tokens, size_t max, size_t *got, pal_error *err);
void passkey_prose_close(passkey_prose *p);

/* ---- For training: at random places, from memory ---- */

typedef struct passkey_tokens {
    int32_t *token;
    size_t count;
} passkey_tokens;

/* The first `max` tokens of the stream over the corpus at `path`, or all of it once. */
int passkey_tokens_load(passkey_tokens *out, const char *path, const char *split, const tokenizer *t, size_t max,
                        pal_error *err);
void passkey_tokens_free(passkey_tokens *p);

#endif
