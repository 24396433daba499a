/* The Porter stemmer (Porter 1980, "An algorithm for suffix stripping") with the changes of NLTK's default mode,
 * NLTK_EXTENSIONS, which rouge_score uses: a table of irregular forms, -ies and -ied of four letters, y -> i only
 * after a consonant, -alli first in step 2, -fulli and -logi, and a vowel-consonant pair counts as *o. */
#ifndef PAL_PORTER_STEMMER_H
#define PAL_PORTER_STEMMER_H

#include <stddef.h>

/* Stem a word of a-z and 0-9 in place and return its new size, never more than `size` and at least 1 for a word of
 * at least 1. Digits count as consonants. */
size_t porter_stem(char *word, size_t size);

#endif
