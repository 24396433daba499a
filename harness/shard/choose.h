/* Which part of an evaluation a process takes: by the word shard=, or by what a launcher of many processes put
 * into its environment. */
#ifndef PAL_SHARD_CHOOSE_H
#define PAL_SHARD_CHOOSE_H

#include "harness/base/error.h"

#include <stdint.h>

typedef enum shard_kind {
    SHARD_NONE,  /* all of it */
    SHARD_FIXED, /* part `index` of `count`, dealt beforehand */
    SHARD_AUTO,  /* whatever is free, by leases in a shared directory */
    SHARD_RANKS  /* what rank 0 deals to the ranks of mpirun (harness/ranks/) */
} shard_kind;

enum { SHARD_MOST = 4096, SHARD_NAME = 160 };

typedef struct shard_choice {
    shard_kind kind;
    int64_t index, count; /* from 0; of SHARD_RANKS set by whoever joins the ranks */
    char from[128];       /* the variables that said so; "": the word itself */
} shard_choice;

/* `word`: "I/N" counts from 1; "auto"; "none"; "env" asks, in this order, a Slurm array (SLURM_ARRAY_TASK_ID and
 * _COUNT, with the tasks of an srun step inside it), Open MPI, PMI (MPICH, Intel MPI), and an srun step. A program
 * with MPI that mpirun started several of is SHARD_RANKS. One process alone is SHARD_NONE. PAL_USAGE: no such
 * part, or an array whose numbers leave gaps. */
int shard_choose(const char *word, shard_choice *out, pal_error *err);
/* "shard 2/4", "shard auto". Returns out. */
const char *shard_name(const shard_choice *c, char out[SHARD_NAME]);

#endif
