/* Locks for output files, as files beside them that are flock'ed while the output is written.
 * Only the lock counts: a file that a killed run left behind is taken over. */
#include "harness/base/lock.h"

#include "harness/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the file that is open is still the one at the path: its holder may have removed it meanwhile. */
static int is_current(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

static int in_use(int fd, const char *path, pal_error *err)
{
    char holder[24] = "";
    const ssize_t got = pread(fd, holder, sizeof holder - 1, 0);
    holder[got > 0 ? strspn(holder, "0123456789") : 0] = '\0';
    return pal_fail(err, PAL_USAGE,
                    "%s is being written by another run%s%s; wait for it to end or choose another file", path,
                    holder[0] ? ", process " : "", holder);
}

static int try_once(file_lock *lock, const char *file, const char *path, int *again, pal_error *err)
{
    PAL_TRY(os_open_regular(file, O_RDWR | O_CREAT, &lock->fd, err));
    if (flock(lock->fd, LOCK_EX | LOCK_NB) == 0) {
        *again = !is_current(lock->fd, file);
        if (*again) close(lock->fd);
        return PAL_OK;
    }
    const int cause = errno;
    const int code = cause == EWOULDBLOCK
                         ? in_use(lock->fd, path, err)
                         : pal_fail(err, PAL_INTERNAL, "%s: cannot lock: %s", file, strerror(cause));
    close(lock->fd);
    return code;
}

int lock_take(file_lock *out, const char *path, pal_error *err)
{
    char *file = NULL;
    PAL_TRY(os_check_regular(path, err));
    if (asprintf(&file, "%s.lock", path) < 0) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    int again = 1, code = PAL_OK;
    while (code == PAL_OK && again) code = try_once(out, file, path, &again, err);
    if (code != PAL_OK) {
        free(file);
        return code;
    }
    out->path = file;
    /* For messages alone: a lock without a number holds as well. */
    char number[24];
    const int size = snprintf(number, sizeof number, "%lld\n", (long long)getpid());
    if (ftruncate(out->fd, 0) == 0 && pwrite(out->fd, number, (size_t)size, 0) < 0) return PAL_OK;
    return PAL_OK;
}

void lock_release(file_lock *lock)
{
    if (!lock->path) return;
    unlink(lock->path); /* while it is held: nobody else can have taken this one */
    close(lock->fd);
    free(lock->path);
    *lock = (file_lock){0};
}
