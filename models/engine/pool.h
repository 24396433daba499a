/* A pool of threads that runs numbered tasks. Which worker runs a task is not determined; what a task computes
 * must not depend on it, and tasks must write disjoint memory. Under that rule results have the same bits for any
 * number of threads. */
#ifndef PAL_POOL_H
#define PAL_POOL_H

#include "harness/base/error.h"

#include <stddef.h>

typedef struct pool pool;

/* `threads` counts the calling thread; 1 starts none. PAL_USAGE outside 1..POOL_MAX_THREADS. */
enum { POOL_MAX_THREADS = 64 };
int pool_create(pool **out, int threads, pal_error *err);
void pool_destroy(pool *p);
int pool_threads(const pool *p);
/* Memory for the run that the caller is about to start, valid until the next call; NULL where there is none. */
void *pool_scratch(pool *p, size_t bytes);

typedef void pool_task(void *arg, int task, int worker);
/* Run fn(arg, 0..tasks-1, worker in 0..threads-1) and return when all are done. Not reentrant; NULL: on the
 * calling thread, which may be a worker. */
void pool_run(pool *p, int tasks, pool_task *fn, void *arg);

#endif
