/* The different words of a text and how often each stands there: all that training a BPE looks at. */
#ifndef PAL_BPE_COUNT_H
#define PAL_BPE_COUNT_H

#include "datasets/corpus/corpus.h"

#include <stddef.h>
#include <stdint.h>

typedef struct bpe_word {
    size_t at; /* in text */
    size_t size;
    int64_t times;
} bpe_word;

typedef struct bpe_words {
    char *text; /* every different word once, in the order of their first appearance */
    size_t text_size, text_room;
    bpe_word *word;
    size_t count, room;
    size_t *bucket; /* [buckets] index + 1 of a word, by its hash; 0: none */
    size_t buckets;
} bpe_words;

/* Counts the words of text, which begins and ends at borders of words; *w starts zeroed. PAL_INTERNAL: no memory.
 */
int bpe_words_add(bpe_words *w, const char *text, size_t size, int single_digits, pal_error *err);
/* Counts all words of the rest of a document. Errors: document_read's, and no memory. */
int bpe_words_add_document(bpe_words *w, document *d, int single_digits, pal_error *err);
void bpe_words_free(bpe_words *w);

/* Room for `need` items of `size` bytes: the array, perhaps moved; NULL, and the old one stays, without memory. */
void *bpe_grow(void *items, size_t *room, size_t need, size_t size);

#endif
