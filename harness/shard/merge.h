/* Taking the journals of a shared evaluation into the one that tables are made from. */
#ifndef PAL_SHARD_MERGE_H
#define PAL_SHARD_MERGE_H

#include "harness/cli/command.h"
#include "harness/journal/cells.h"

#include <stdio.h>

extern const pal_command merge_command;

typedef struct merge_outcome {
    int64_t taken;   /* samples that the main journal did not have */
    int64_t twice;   /* samples that were there more than once, and alike */
    int64_t missing; /* samples that nobody has */
} merge_outcome;

/* Merge RESULTS/shards/TASK into RESULTS/TASK-journal.jsonl: cells in the order of one machine, samples by number,
 * each once. Holes are named on `log`, with the part that has them. Nothing is changed unless everything fits
 * together; the new journal replaces the old one at once. When nothing is missing, the shards are removed. *found:
 * 0 when there are none. PAL_DATA: two journals contradict each other, one is damaged or of another run;
 * PAL_USAGE: a run writes the main journal; PAL_INTERNAL: a full disk, after which nothing has changed. */
int merge_task(const char *results_dir, const task_module *task, FILE *log, int *found, merge_outcome *out,
               pal_error *err);

#endif
