/* A pool of threads: workers take numbered tasks until there are none.
 * They spin a moment between runs, then sleep. */
#include "models/engine/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "harness/base/os.h"

#if defined(__x86_64__)
#define cpu_relax() __builtin_ia32_pause()
#else
#define cpu_relax() ((void)0)
#endif

/* Operators last some tens of microseconds, a futex wake-up costs about as much: workers spin this many turns
 * before they sleep. */
enum { SPIN_TURNS = 20000 };

struct pool {
    int threads;
    pthread_t thread[POOL_MAX_THREADS];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_uint generation; /* odd or even does not matter: a change starts a run */
    atomic_int sleepers;
    /* The run in hand: how many tasks (high half) and which is next (low half), in one word, so that a worker that
     * wakes late either gets a task of this run or learns that there is none. It is never waited for: on a busy
     * machine it may not have a processor for a long time. */
    atomic_ullong ticket;
    atomic_int done;
    /* Read by whoever holds a task that is not done: they cannot change meanwhile. */
    pool_task *fn;
    void *arg;
    atomic_bool stop;
    void *scratch;
    size_t scratch_bytes;
};

typedef struct seat {
    pool *p;
    int worker;
} seat;

static void take_tasks(pool *p, int worker)
{
    for (;;) {
        const unsigned long long ticket = atomic_fetch_add_explicit(&p->ticket, 1, memory_order_acq_rel);
        const uint32_t task = (uint32_t)ticket;
        if (task >= ticket >> 32) return;
        p->fn(p->arg, (int)task, worker);
        atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
    }
}

static void *worker_main(void *arg)
{
    const seat me = *(seat *)arg;
    free(arg);
    pool *p = me.p;
    unsigned seen = 0;
    for (;;) {
        int turns = 0;
        while (atomic_load_explicit(&p->generation, memory_order_acquire) == seen) {
            if (++turns < SPIN_TURNS) {
                cpu_relax();
                continue;
            }
            pthread_mutex_lock(&p->lock);
            atomic_fetch_add(&p->sleepers, 1);
            while (atomic_load(&p->generation) == seen) pthread_cond_wait(&p->wake, &p->lock);
            atomic_fetch_sub(&p->sleepers, 1);
            pthread_mutex_unlock(&p->lock);
        }
        seen = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (atomic_load(&p->stop)) return NULL;
        take_tasks(p, me.worker);
    }
}

static void start_generation(pool *p)
{
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
}

int pool_create(pool **out, int threads, pal_error *err)
{
    if (threads < 1 || threads > POOL_MAX_THREADS)
        return pal_fail(err, PAL_USAGE, "threads=%d is out of range; use 1 to %d", threads, POOL_MAX_THREADS);
    pool *p = calloc(1, sizeof *p);
    if (!p) return pal_fail(err, PAL_INTERNAL, "out of memory for the thread pool");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->threads = 1;
    for (int i = 1; i < threads; i++) {
        seat *s = malloc(sizeof *s);
        if (s) *s = (seat){p, i};
        if (!s || pthread_create(&p->thread[i], NULL, worker_main, s) != 0) {
            free(s);
            pool_destroy(p);
            return pal_fail(err, PAL_INTERNAL, "cannot start thread %d of %d; try threads=1", i + 1, threads);
        }
        p->threads = i + 1;
    }
    *out = p;
    return PAL_OK;
}

void pool_destroy(pool *p)
{
    if (!p) return;
    atomic_store(&p->stop, true);
    start_generation(p);
    for (int i = 1; i < p->threads; i++) pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->scratch);
    free(p);
}

int pool_threads(const pool *p)
{
    return p->threads;
}

void *pool_scratch(pool *p, size_t bytes)
{
    if (bytes > p->scratch_bytes) {
        free(p->scratch);
        p->scratch = os_allocate(bytes);
        p->scratch_bytes = p->scratch ? bytes : 0;
    }
    return p->scratch;
}

void pool_run(pool *p, int tasks, pool_task *fn, void *arg)
{
    if (!p || p->threads == 1 || tasks == 1) {
        for (int task = 0; task < tasks; task++) fn(arg, task, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    atomic_store_explicit(&p->ticket, (unsigned long long)tasks << 32, memory_order_release);
    start_generation(p);
    take_tasks(p, 0);
    for (int turns = 0; atomic_load_explicit(&p->done, memory_order_acquire) < tasks; turns++) {
        if (turns < SPIN_TURNS)
            cpu_relax();
        else
            sched_yield();
    }
}
