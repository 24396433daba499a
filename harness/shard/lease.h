/* Leases: which process of several works on which unit, as files in a folder that all of them see. A file is made
 * with O_EXCL, so one process gets it; its holder touches it while it works. One that stands still for too long is
 * stale, and whoever makes the next generation's file takes the unit over: nothing is ever removed under a
 * holder's feet.
 *
 *   UNIT.1, UNIT.2, ...   the holder, in one line; the highest one counts
 *   UNIT.done             the unit is in the journals */
#ifndef PAL_SHARD_LEASE_H
#define PAL_SHARD_LEASE_H

#include "harness/shard/host.h"

#include "harness/base/error.h"

#include <stddef.h>

typedef enum lease_state { LEASE_FREE, LEASE_HELD, LEASE_DONE } lease_state;

typedef struct leases leases;

/* Units 0 to count - 1 in the folder `dir`, which is made. A lease that its holder has not touched for `seconds`
 * is stale, as far as this process has watched; one whose holder is known to be gone is stale at once. */
int leases_open(leases **out, const char *dir, size_t count, double seconds, pal_error *err);
/* Gives back what is held. */
void leases_close(leases *l);
/* Look at the folder again. */
int leases_look(leases *l, pal_error *err);
/* As of the last look. A stale lease is free. */
lease_state leases_state(const leases *l, size_t unit);
/* Who holds it, or held it last: "node7, process 1234". Returns out. */
const char *leases_holder(const leases *l, size_t unit, char out[HOST_PROCESS + 16]);
/* Take a free unit. *taken: 0 when another was faster. *from: whether it was another's that had gone stale. One
 * unit is held at a time; it is touched by a thread until it is done or given back. */
int leases_take(leases *l, size_t unit, int *taken, int *from, pal_error *err);
/* The unit in hand is done. *lost: another process had taken it over meanwhile; what it does is the same to the
 * bit. */
int leases_done(leases *l, int *lost, pal_error *err);
/* A unit was marked done whose samples are not there: it is free again. */
int leases_reopen(leases *l, size_t unit, pal_error *err);

#endif
