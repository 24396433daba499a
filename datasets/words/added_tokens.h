/* Tokens beside the vocabulary of merges, each a text of its own: where they stand in a text. */
#ifndef PAL_ADDED_TOKENS_H
#define PAL_ADDED_TOKENS_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct added_token {
    const char *text;
    size_t size;
    int32_t token;
    int special;
    int odd; /* takes in what is around it, or is matched in the normalized text: not done here */
} added_token;

/* Zeroed: none. */
typedef struct added_tokens {
    added_token *token; /* those in use come first, by first byte, then the longest first */
    size_t count, capacity;
    size_t used;            /* how many are matched */
    uint32_t from[256 + 1]; /* those with first byte c are token[from[c] .. from[c + 1]) */
    size_t longest;
} added_tokens;

/* Keeps the pointer to the text. */
int added_tokens_add(added_tokens *a, const added_token *token, pal_error *err);
/* Matches those that are not special, and the special ones too when asked. PAL_DATA (PAL_USAGE when asked): one is
 * odd. */
int added_tokens_use(added_tokens *a, int special, const char *name, pal_error *err);
void added_tokens_free(added_tokens *a);

/* The first match from text[*at] on, the longest there; *at becomes its place. NULL: none. */
const added_token *added_tokens_find(const added_tokens *a, const char *text, size_t size, size_t *at);
/* Where in text[size] a match could begin that needs more text; size: nowhere. */
size_t added_tokens_open(const added_tokens *a, const char *text, size_t size);

#endif
