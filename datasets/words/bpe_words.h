/* The words ("pre-tokens") that byte-level BPE never merges across. GPT-2's rule (Radford et al. 2019), in the
 * order of its alternatives: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ With
 * single_digits every \p{N} is cut out as a word of its own first, and the rule works on what is between. */
#ifndef PAL_BPE_WORDS_H
#define PAL_BPE_WORDS_H

#include <stddef.h>

/* A word of a document must not be longer, since it is held in memory (text without a space, such as base64). */
enum { BPE_WORD_MAX = 4 << 20 };

/* The end of the word that begins at text[at], at < size. *sure = whether it stays there whatever follows
 * text[size]. */
size_t bpe_word_end(const char *text, size_t size, size_t at, int single_digits, int *sure);
/* The last end of a word that is sure, and at which the text can be cut so that its words stay; 0: there is none.
 */
size_t bpe_words_safe(const char *text, size_t size, int single_digits);

#endif
