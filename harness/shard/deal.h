/* Dealing an evaluation: its samples in units, and the units to parts of about equal cost. The same request gives
 * the same deal on every machine, whatever is done already. */
#ifndef PAL_SHARD_DEAL_H
#define PAL_SHARD_DEAL_H

#include "harness/eval/eval_share.h"

/* Samples that one process takes in one go. Samples of a family share a start, which a process reads once. */
typedef struct deal_unit {
    size_t part, cell; /* as in eval_unit */
    size_t count;      /* samples */
    double own, start; /* FLOPs: of its samples, and of the start that its family shares up to them */
    size_t family;
} deal_unit;

typedef struct deal {
    deal_unit *unit;
    size_t count, room, families;
    uint32_t **unit_of; /* [parts][cells x most]: the unit of each sample */
    size_t *most;       /* [parts]: samples of the cell that has most */
    size_t parts;
    double flops; /* of all units, each start read once */
} deal;

/* Units for `pieces` processes: small enough to be spread evenly, and no smaller. */
int deal_make(deal *out, const eval_whole *whole, size_t pieces, pal_error *err);
void deal_free(deal *d);
size_t deal_unit_of(const deal *d, size_t part, size_t cell, int64_t index);
/* Of the units that are free, the one that a process should take next: one of the family of the unit in hand
 * (`current`; d->count: none), as what they share is read already; else the first one of the family that has most
 * left for each process at work on it. d->count: none is free. */
typedef enum unit_state { UNIT_FREE, UNIT_HELD, UNIT_DONE } unit_state;
size_t deal_pick(const deal *d, size_t current, unit_state (*state)(const void *arg, size_t unit),
                 const void *arg);
/* Deal the units to `shards` parts: owner[d->count]; load[shards], which may be NULL: FLOPs of each. */
int deal_spread(const deal *d, size_t shards, uint32_t *owner, double *load, pal_error *err);

#endif
