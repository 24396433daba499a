/* Where the processes of a shared evaluation keep what they have. */
#ifndef PAL_SHARD_FILES_H
#define PAL_SHARD_FILES_H

#include "harness/journal/cells.h"

/* RESULTS/shards/TASK */
void shard_folder(const char *results_dir, const char *task, char *out, size_t size);

typedef int shard_take_file(void *arg, const char *path, pal_error *err);
/* Hand on the path of every journal in the folder, sorted by name. A folder that is not there has none. */
int shard_each_journal(const char *folder, shard_take_file *take, void *arg, pal_error *err);
/* Take in the whole records of all of them; what a crash left unfinished at an end is passed over. */
int shard_read_journals(const char *folder, results *into, pal_error *err);

#endif
