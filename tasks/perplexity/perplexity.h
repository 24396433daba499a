/* Perplexity of whole documents: what a model makes of every token of a text that it reads from its beginning. */
#ifndef PAL_PERPLEXITY_H
#define PAL_PERPLEXITY_H

#include "tasks/task.h"

/* Loss by position in the document, in ranges that double: [0, 256), [256, 512), ... [512K, infinity). */
enum { PERPLEXITY_RANGES = 13, PERPLEXITY_FIRST_RANGE = 256 };

/* The range of a document's token, counted from 0. */
int perplexity_range(uint64_t position);

#endif
