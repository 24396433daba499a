/* Which rules of a tokenizer.json can be followed here: byte-level BPE split by patterns, and SentencePiece's BPE
 * that falls back to bytes. "truncation" and "padding" are settings of a call, no part of the vocabulary: they are
 * ignored. */
#ifndef PAL_TOKENIZER_RULES_H
#define PAL_TOKENIZER_RULES_H

#include "datasets/tokenizer/bpe.h"

#include <jansson.h>

/* The pattern that splits every number off. */
#define TOKENIZER_NUMBER "\\p{N}"

typedef struct tokenizer_rules {
    bpe_rules bpe;
    int normalizes;    /* a normalizer changes texts before added tokens marked as "normalized" are looked for */
    const char *begin; /* the token that post_processor puts before a text, or NULL; of the JSON value */
} tokenizer_rules;

/* PAL_DATA names all that the file asks for and this program has not. */
int tokenizer_rules_read(tokenizer_rules *out, const json_t *root, const char *path, pal_error *err);
void tokenizer_rules_free(tokenizer_rules *r);

#endif
