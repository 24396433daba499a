/* Words of the project's own: adjectives and nouns, alone and in pairs such as "brave-otter". RULER takes its
 * words from a Python package. */
#ifndef PAL_RULER_WORDS_H
#define PAL_RULER_WORDS_H

#include <stddef.h>
#include <stdint.h>

enum { WORD_TEXT = 64 };

/* How many single words and pairs there are. */
uint64_t words_single(void);
uint64_t words_pairs(void);
/* Of the single words the last so many are nouns. */
uint64_t words_nouns(void);
/* The index-th, into out[WORD_TEXT]; returns its size. */
size_t words_single_at(uint64_t index, char *out);
size_t words_pair_at(uint64_t index, char *out);

#endif
