/* One writer for each output file: a second run with the same path is refused instead of mixing its output in. */
#ifndef PAL_LOCK_H
#define PAL_LOCK_H

#include "harness/base/error.h"

typedef struct file_lock {
    int fd;     /* of PATH.lock while it is held */
    char *path; /* NULL: not held */
} file_lock;

/* Hold PATH.lock until lock_release; the kernel lets go of it when the process ends, however that happens.
 * PAL_USAGE: another process holds it, named by its number. PAL_INTERNAL: it cannot be made. *out starts zeroed.
 */
int lock_take(file_lock *out, const char *path, pal_error *err);
/* Remove the file and let go; does nothing when not held. */
void lock_release(file_lock *lock);

#endif
