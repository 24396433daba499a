/* An evaluation that several processes share: by a deal that is fixed beforehand, or by leases. What is kept is in
 * RESULTS/shards/TASK/:
 *
 *   run.json          what all processes must agree on, and the deal (manifest.h)
 *   2-of-4.jsonl      the journal of part 2; of a process of shard=auto: auto-HOST-PROCESS.jsonl
 *   leases/           of shard=auto (lease.h)
 *
 * `merge` (merge.h) takes the journals into RESULTS/TASK-journal.jsonl. */
#ifndef PAL_SHARD_SHARE_H
#define PAL_SHARD_SHARE_H

#include "harness/eval/eval.h"
#include "harness/shard/choose.h"

typedef struct shared shared;

/* Prepare this process's part of the request. `lease`: seconds; only SHARD_AUTO has leases. */
int shared_open(shared **out, const eval_request *r, const shard_choice *choice, double lease, pal_error *err);
void shared_close(shared *s);
/* To be given to eval_run. */
eval_share *shared_view(shared *s);
/* One line of how it ended, and what to type next. */
void shared_say(const shared *s, FILE *out);

#endif
