/* Units of an evaluation that the ranks of mpirun share: rank 0 deals them, one at a time, to whoever is ready. */
#ifndef PAL_SHARD_DEALER_H
#define PAL_SHARD_DEALER_H

#include "harness/ranks/ranks.h"
#include "harness/shard/deal.h"

typedef struct dealer dealer;

/* Rank 0 starts a thread that answers the others. left[d->count]: samples of each unit that no journal has. Both
 * stay until dealer_close. */
int dealer_open(dealer **out, const ranks *r, const deal *d, const size_t *left, pal_error *err);
/* The next unit of this rank. *more: 0 when there is none left. */
int dealer_next(dealer *s, size_t *unit, int *more, pal_error *err);
/* Rank 0 waits until the others have been told that nothing is left, unless it gives up. */
void dealer_close(dealer *s, int gives_up);

#endif
