/* Numbers for words: 0, 1, 2, ... in the order in which they are first seen. */
#ifndef PAL_WORD_IDS_H
#define PAL_WORD_IDS_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct word_ids {
    char *text; /* all words, one after the other */
    size_t text_size, text_room;
    struct word_ids_entry *entry; /* [count] */
    size_t count, room;
    uint32_t *table; /* [slots] 1 + id, by hash; open addressing */
    size_t slots;    /* a power of two, or 0 */
} word_ids;

/* *id of a word, new when *id == count before the call. PAL_INTERNAL without memory or beyond 2^32 - 2 words. */
int word_ids_of(word_ids *w, const char *word, size_t size, uint32_t *id, pal_error *err);
/* Forget all words, keep the memory. */
void word_ids_clear(word_ids *w);
void word_ids_free(word_ids *w);

#endif
