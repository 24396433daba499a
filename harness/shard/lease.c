/* Lease files: looking at the folder, making the next generation, touching what is held.
 * Ages are measured by this process's own clock: clocks of machines differ. */
#include "harness/shard/lease.h"

#include "harness/base/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What a holder writes that ends without being done. */
#define GIVEN_BACK "given back\n"

enum { LEASE_PATH = 4400, LEASE_LINE = 512, LEASE_BEATS = 4 };

/* What was seen of a unit. */
typedef struct watched {
    long generation; /* the highest; 0: none */
    int done, stale;
    struct timespec touched; /* of the file, by whatever clock */
    double since;            /* by our clock: the file has looked like this */
    host_id holder;
    int known, back; /* holder was read; it has given the unit back */
} watched;

struct leases {
    char *dir;
    size_t count;
    double seconds;
    watched *unit;
    host_id self;
    /* What is held, and the thread that touches it. */
    size_t held;
    long generation;
    int fd; /* -1: nothing is held */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int running;
};

static void path_of(const leases *l, size_t unit, long generation, char out[LEASE_PATH])
{
    if (generation)
        snprintf(out, LEASE_PATH, "%s/%zu.%ld", l->dir, unit, generation);
    else
        snprintf(out, LEASE_PATH, "%s/%zu.done", l->dir, unit);
}

/* ---- Looking ---- */

/* *back: its holder has given it back. */
static int read_holder(const char *path, host_id *out, int *back)
{
    char line[LEASE_LINE] = "";
    FILE *in = fopen(path, "re");
    const int got = in && fgets(line, sizeof line, in) != NULL;
    if (in) fclose(in);
    *out = (host_id){0};
    *back = got && strcmp(line, GIVEN_BACK) == 0;
    return got && sscanf(line, "%71s %63s %lld %lld", out->name, out->machine, &out->process, &out->began) == 4;
}

static int same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Opening a file makes a shared file system tell what is new of it. */
static void look_at(leases *l, size_t unit)
{
    watched *w = &l->unit[unit];
    char path[LEASE_PATH];
    struct stat info;
    path_of(l, unit, w->generation, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    const int seen = fd >= 0 && fstat(fd, &info) == 0;
    if (fd >= 0) close(fd);
    if (seen && (!same_time(info.st_mtim, w->touched) || w->since < 0)) {
        w->touched = info.st_mtim;
        w->since = os_now();
        w->known = read_holder(path, &w->holder, &w->back);
    }
    w->stale = !seen || w->back || os_now() - w->since > l->seconds || (w->known && host_is_gone(&w->holder));
}

static void take_name(leases *l, const char *name)
{
    char *end;
    const unsigned long unit = strtoul(name, &end, 10);
    if (end == name || *end != '.' || unit >= l->count) return;
    watched *w = &l->unit[unit];
    if (strcmp(end, ".done") == 0) {
        w->done = 1;
        return;
    }
    const long generation = strtol(end + 1, &end, 10);
    if (*end || generation <= w->generation) return;
    *w = (watched){.generation = generation, .done = w->done, .since = -1};
}

int leases_look(leases *l, pal_error *err)
{
    DIR *dir = opendir(l->dir);
    if (!dir) return pal_fail(err, PAL_INTERNAL, "cannot read %s: %s", l->dir, strerror(errno));
    for (size_t i = 0; i < l->count; i++) l->unit[i].done = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) take_name(l, entry->d_name);
    closedir(dir);
    for (size_t i = 0; i < l->count; i++)
        if (l->unit[i].generation && !l->unit[i].done) look_at(l, i);
    return PAL_OK;
}

lease_state leases_state(const leases *l, size_t unit)
{
    const watched *w = &l->unit[unit];
    if (w->done) return LEASE_DONE;
    return w->generation && !w->stale ? LEASE_HELD : LEASE_FREE;
}

const char *leases_holder(const leases *l, size_t unit, char out[HOST_PROCESS + 16])
{
    const watched *w = &l->unit[unit];
    if (w->known)
        snprintf(out, HOST_PROCESS + 16, "%s, process %lld", w->holder.name, w->holder.process);
    else
        snprintf(out, HOST_PROCESS + 16, "a process that gave no name");
    return out;
}

/* ---- Holding ---- */

static void *beat(void *arg)
{
    leases *l = arg;
    pthread_mutex_lock(&l->lock);
    while (l->running) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        const double pause = l->seconds / LEASE_BEATS;
        until.tv_sec += (time_t)pause;
        until.tv_nsec += (long)((pause - (double)(time_t)pause) * 1e9);
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&l->wake, &l->lock, &until);
        if (l->running) futimens(l->fd, NULL);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static int begin_holding(leases *l, size_t unit, long generation, int fd, pal_error *err)
{
    l->held = unit;
    l->generation = generation;
    l->fd = fd;
    l->running = 1;
    if (pthread_create(&l->thread, NULL, beat, l) == 0) return PAL_OK;
    l->running = 0;
    return pal_fail(err, PAL_INTERNAL, "cannot start a thread for the lease in %s", l->dir);
}

static void end_holding(leases *l)
{
    if (l->running) {
        pthread_mutex_lock(&l->lock);
        l->running = 0;
        pthread_cond_signal(&l->wake);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    close(l->fd);
    l->fd = -1;
}

static void give_back(int fd)
{
    static const char text[] = GIVEN_BACK;
    /* Best effort: a lease that stays goes stale. */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, text, sizeof text - 1, 0) < 0) return;
}

int leases_take(leases *l, size_t unit, int *taken, int *from, pal_error *err)
{
    char path[LEASE_PATH], line[LEASE_LINE];
    const watched *w = &l->unit[unit];
    const long generation = w->generation + 1;
    *from = w->generation > 0;
    *taken = 0;
    path_of(l, unit, generation, path);
    const int fd = os()->open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) return PAL_OK;
    if (fd < 0) return pal_fail(err, PAL_INTERNAL, "cannot create %s: %s", path, strerror(errno));
    const int size = snprintf(line, sizeof line, "%s %s %lld %lld\n", l->self.name,
                              l->self.machine[0] ? l->self.machine : "-", l->self.process, l->self.began);
    int code = os_write_all(fd, line, (size_t)size, path, err);
    char done[LEASE_PATH];
    path_of(l, unit, 0, done);
    if (code == PAL_OK && !os_file_exists(done)) {
        code = begin_holding(l, unit, generation, fd, err);
        *taken = code == PAL_OK;
        if (*taken) return PAL_OK;
    }
    give_back(fd);
    close(fd);
    return code;
}

int leases_done(leases *l, int *lost, pal_error *err)
{
    char path[LEASE_PATH], line[LEASE_LINE];
    path_of(l, l->held, l->generation + 1, path);
    *lost = os_file_exists(path);
    end_holding(l);
    path_of(l, l->held, 0, path);
    const int size = snprintf(line, sizeof line, "%s %lld\n", l->self.name, l->self.process);
    const int fd = os()->open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST)
        return pal_fail(err, PAL_INTERNAL, "cannot create %s: %s", path, strerror(errno));
    const int code = fd >= 0 ? os_write_all(fd, line, (size_t)size, path, err) : PAL_OK;
    if (fd >= 0) close(fd);
    return code;
}

int leases_reopen(leases *l, size_t unit, pal_error *err)
{
    char path[LEASE_PATH];
    path_of(l, unit, 0, path);
    if (unlink(path) != 0 && errno != ENOENT)
        return pal_fail(err, PAL_INTERNAL, "cannot remove %s: %s", path, strerror(errno));
    l->unit[unit].done = 0;
    return PAL_OK;
}

int leases_open(leases **out, const char *dir, size_t count, double seconds, pal_error *err)
{
    PAL_TRY(os_make_dirs(dir, err));
    leases *l = calloc(1, sizeof *l);
    *out = l;
    if (l) l->fd = -1;
    if (!l || !(l->dir = strdup(dir)) || !(l->unit = calloc(count + 1, sizeof *l->unit)))
        return pal_fail(err, PAL_INTERNAL, "out of memory for the leases");
    l->count = count;
    l->seconds = seconds;
    l->self = host_self();
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    return leases_look(l, err);
}

void leases_close(leases *l)
{
    if (!l) return;
    if (l->fd >= 0) {
        give_back(l->fd);
        end_holding(l);
    }
    free(l->dir);
    free(l->unit);
    free(l);
}
