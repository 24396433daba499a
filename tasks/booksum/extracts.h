/* Summaries that take no model: pieces of the text itself. */
#ifndef PAL_EXTRACTS_H
#define PAL_EXTRACTS_H

#include "datasets/corpus/summary_file.h"
#include "harness/base/rng.h"

/* Words are maximal runs without ASCII white space. */
size_t extract_count_words(const char *text, size_t size);

/* A piece of a text without white space around it. Sentences end with '.', '!' or '?', closing quotes and brackets
 * behind them, before white space; and at empty lines. */
typedef struct extract_sentence {
    size_t at, size;
} extract_sentence;
/* *list[*count] is malloc'ed. PAL_INTERNAL without memory, as in all functions here. */
int extract_split(const char *text, size_t size, extract_sentence **list, size_t *count, pal_error *err);

/* Each makes out->text, which is malloc'ed; sentences stand on lines of their own, in the order of the text. */

/* The first `words` words. */
int extract_lead(const char *text, size_t size, size_t words, booksum_string *out, pal_error *err);
/* Drawn sentences, without repetition, until they have at least `words` words. */
int extract_random(const char *text, size_t size, size_t words, rng *draws, booksum_string *out, pal_error *err);
/* Sentences chosen for the summary `ref`: greedily the one that raises the F of ROUGE-2 (stemmed, bigrams within
 * sentences) most, the first of equals, as long as one does (the oracle of Nallapati et al. 2017). A text that
 * shares no bigram with it gives "". */
int extract_oracle(const char *text, size_t size, const booksum_string *ref, booksum_string *out, pal_error *err);

#endif
