/* Which documents change their sign in the index-th flip: all sets where they are few, else drawn ones. The test
 * of one row and that of a family take the same. */
#ifndef PAL_FLIPS_H
#define PAL_FLIPS_H

#include <stddef.h>

/* How many sets stand for all. A set and its complement give sums of one size, so one of the two will do: exactly
 * 2^(documents - 1) of them, or STATS_DRAWS of which the first is the empty set. */
size_t flips_count(size_t documents);
/* flipped[documents]: 1 where the document changes its sign; index from 0, which flips none. */
void flips_set(size_t documents, size_t index, unsigned char *flipped);

#endif
