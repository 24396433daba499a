/* Dealing units to ranks: a thread of rank 0 answers questions while rank 0 computes like the others.
 * Looking for a question now and then costs less than waiting in MPI, which takes a whole processor. */
#include "harness/shard/dealer.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* Nanoseconds between looks: what a rank waits for its next unit at most. */
enum { LOOK = 1000000 };

struct dealer {
    ranks r;
    const deal *d;
    unsigned char *taken; /* [d->count] units that are dealt, or were done before */
    size_t *current;      /* [ranks] the unit in hand; d->count: none yet */
    int told;             /* ranks that know that nothing is left */
    int stop, running;
    pthread_mutex_t lock;
    pthread_t thread;
    pal_error error; /* of the thread */
};

static unit_state state_of(const void *arg, size_t unit)
{
    const dealer *s = arg;
    if (!s->taken[unit]) return UNIT_FREE;
    /* Dealt is held until its rank has another one. */
    for (int i = 0; i < s->r.count; i++)
        if (s->current[i] == unit) return UNIT_HELD;
    return UNIT_DONE;
}

/* d->count: nothing is left. */
static size_t deal_to(dealer *s, int rank)
{
    pthread_mutex_lock(&s->lock);
    const size_t unit = deal_pick(s->d, s->current[rank], state_of, s);
    if (unit < s->d->count) s->taken[unit] = 1;
    s->current[rank] = unit;
    pthread_mutex_unlock(&s->lock);
    return unit;
}

static int serve_one(dealer *s, int *asked)
{
    int from;
    long long question;
    PAL_TRY(ranks_asked(&s->r, &from, &question, asked, &s->error));
    if (!*asked) return PAL_OK;
    const size_t unit = deal_to(s, from);
    PAL_TRY(ranks_answer(&s->r, from, (long long)unit, &s->error));
    s->told += unit == s->d->count;
    return PAL_OK;
}

static int stopped(dealer *s)
{
    pthread_mutex_lock(&s->lock);
    const int stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static void *serve(void *arg)
{
    dealer *s = arg;
    while (s->told + 1 < s->r.count && !stopped(s)) {
        int asked = 0;
        if (serve_one(s, &asked) != PAL_OK) break;
        if (!asked) nanosleep(&(struct timespec){.tv_nsec = LOOK}, NULL);
    }
    return NULL;
}

static int begin(dealer *s, const size_t *left, pal_error *err)
{
    s->taken = calloc(s->d->count + 1, 1);
    s->current = calloc((size_t)s->r.count, sizeof *s->current);
    if (!s->taken || !s->current) return pal_fail(err, PAL_INTERNAL, "out of memory for the deal");
    for (size_t i = 0; i < s->d->count; i++) s->taken[i] = left[i] == 0;
    for (int i = 0; i < s->r.count; i++) s->current[i] = s->d->count;
    if (s->r.rank > 0) return PAL_OK;
    s->running = pthread_create(&s->thread, NULL, serve, s) == 0;
    return s->running ? PAL_OK : pal_fail(err, PAL_INTERNAL, "cannot start a thread that deals");
}

int dealer_open(dealer **out, const ranks *r, const deal *d, const size_t *left, pal_error *err)
{
    dealer *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "out of memory for the deal");
    s->r = *r;
    s->d = d;
    pthread_mutex_init(&s->lock, NULL);
    const int code = begin(s, left, err);
    if (code == PAL_OK)
        *out = s;
    else
        dealer_close(s, 1);
    return code;
}

int dealer_next(dealer *s, size_t *unit, int *more, pal_error *err)
{
    long long answer;
    if (s->r.rank == 0) {
        *unit = deal_to(s, 0);
    } else {
        PAL_TRY(ranks_ask(&s->r, 0, &answer, err));
        if (answer < 0 || (unsigned long long)answer > s->d->count)
            return pal_fail(err, PAL_INTERNAL, "rank 0 deals a unit that there is not");
        *unit = (size_t)answer;
    }
    *more = *unit < s->d->count;
    return PAL_OK;
}

void dealer_close(dealer *s, int gives_up)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->stop = gives_up;
    pthread_mutex_unlock(&s->lock);
    if (s->running) pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    free(s->taken);
    free(s->current);
    free(s);
}
