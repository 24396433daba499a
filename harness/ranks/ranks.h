/* Processes of one run that were started together, as by mpirun: who this one is, and what they exchange. Without
 * MPI=1 in the build, or without a launcher, there is one. Sums are not in here: MPI's own hang on the number of
 * processes, and ours must not. */
#ifndef PAL_RANKS_H
#define PAL_RANKS_H

#include "harness/base/error.h"

#include <stddef.h>

typedef struct ranks {
    int rank, count;
} ranks;

enum { RANKS_TEXT = 512 };

/* How many processes the launcher of this program started that can be ranks: 1 where it was built without MPI. */
int ranks_launched(void);
/* Join the others; may be called again. PAL_USAGE: a launcher started several, and this program was built without
 * MPI. */
int ranks_open(ranks *out, pal_error *err);
/* Swap `bytes` bytes with another rank, which calls this at the same time. */
int ranks_swap(const ranks *r, int with, const void *mine, void *theirs, size_t bytes, pal_error *err);
/* `bytes` bytes to another rank, which receives as many; both wait for each other where that is much. */
int ranks_send(const ranks *r, int to, const void *data, size_t bytes, pal_error *err);
int ranks_receive(const ranks *r, int from, void *data, size_t bytes, pal_error *err);
/* Questions of other ranks to rank 0, which a thread of it may answer: one number for another. */
int ranks_ask(const ranks *r, long long question, long long *answer, pal_error *err);
/* Rank 0: whether somebody asks, and who and what. */
int ranks_asked(const ranks *r, int *from, long long *question, int *asked, pal_error *err);
int ranks_answer(const ranks *r, int to, long long answer, pal_error *err);
/* Wait until all have come here; costs no processor time. */
int ranks_meet(const ranks *r, pal_error *err);
/* Every rank has its own piece of `bytes` bytes in data[count * bytes], at rank * bytes; rank 0 gets all of them.
 */
int ranks_gather(const ranks *r, void *data, size_t bytes, pal_error *err);
/* The same, and every rank gets all. */
int ranks_gather_all(const ranks *r, void *data, size_t bytes, pal_error *err);
/* The same with pieces of unequal size: that of rank k is data[at[k]] to data[at[k + 1]]. */
int ranks_share(const ranks *r, void *data, const size_t *at, pal_error *err);
/* PAL_USAGE on every rank when one's text about `what` is not that of rank 0: names both. */
int ranks_agree(const ranks *r, const char *what, const char *text, const char *fix, pal_error *err);
/* To be called before an error is printed; returns the rank. What all ranks find, rank 0 says: the others wait a
 * second, in which it ends them. */
int ranks_before_error(void);
/* The end of the process, whose exit code will be `code`: with an error all others are ended too, unless a gate
 * failed, which all come to the end of. Last thing in main; does nothing in a process that joined nobody. */
void ranks_end(int code);

#endif
