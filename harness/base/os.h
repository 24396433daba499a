/* Files, clock and memory behind one replaceable table, so that tests can inject faults.
 * The one place that opens files: pipes, sockets, devices and folders are refused before they can hang. */
#ifndef PAL_OS_H
#define PAL_OS_H

#include "harness/base/error.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct os_table {
    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*write)(int fd, const void *data, size_t size);
    int (*fsync)(int fd);
    int (*rename)(const char *from, const char *to);
    double (*now)(void); /* monotonic seconds */
} os_table;

/* The system's own functions. */
extern const os_table os_system;
/* Replace the table for the whole process (tests only); NULL restores os_system. Returns the table now in force.
 */
const os_table *os_use(const os_table *table);
const os_table *os(void);

/* Monotonic seconds. A clock that runs backwards, as after the move of a virtual machine, seems to stand still:
 * differences are never negative. */
double os_now(void);

/* Open /dev/null wherever standard input, output or error is closed, so that no file of ours gets their numbers
 * and is overwritten by messages. First thing in main. Returns 0, or -1 when that is impossible. */
int os_fill_standard(void);

/* Open a regular file with the flags of open(2); new files get mode 0666. PAL_DATA: a folder, pipe, socket or
 * device (never waits for one), or cannot be read; PAL_INTERNAL: cannot be written. *fd is -1 on failure. */
int os_open_regular(const char *path, int flags, int *fd, pal_error *err);
/* The same as a stream; mode "r" reads, "a" appends and creates. */
int os_open_stream(const char *path, const char *mode, FILE **out, pal_error *err);
/* PAL_DATA when `path` exists and is no regular file. */
int os_check_regular(const char *path, pal_error *err);

/* Read a whole regular file; *data is malloc'ed and has a terminating NUL beyond *size. PAL_DATA names the path
 * and cause.
 */
int os_read_file(const char *path, char **data, size_t *size, pal_error *err);
/* Map a regular file for reading; an empty one gives size 0 and no mapping. PAL_DATA names the path and cause. */
int os_map_file(const char *path, const void **data, size_t *size, pal_error *err);
void os_unmap(const void *data, size_t size);
/* What was read of a mapping, from a page's border on, counts no longer as this process's memory; reading it again
 * is allowed. */
void os_map_forget(const void *data, size_t size);
/* Replace `path` atomically: write path.tmp, fsync, rename. On failure the old file is intact. */
int os_write_file(const char *path, const void *data, size_t size, pal_error *err);
/* Write all bytes, retrying short writes. PAL_INTERNAL names `path` and the cause (disk full, ...). */
int os_write_all(int fd, const void *data, size_t size, const char *path, pal_error *err);
/* Create a directory and its parents; an existing one is fine. */
int os_make_dirs(const char *path, pal_error *err);
int os_file_exists(const char *path);

/* Peak resident set of this process so far, bytes (VmHWM). os_reset_peak_rss starts a new measurement where the
 * kernel allows it; returns 0 on success. */
uint64_t os_peak_rss(void);
int os_reset_peak_rss(void);
/* Memory that can still be used without swapping, bytes (MemAvailable, lowered by a cgroup limit). */
uint64_t os_available_memory(void);
/* Memory for numbers, aligned to 64 bytes at least; for free(). Large blocks lie in huge pages where the system
 * has them: products then do not hang on where single pages happen to lie. NULL: there is none. */
void *os_allocate(size_t bytes);
/* Processors this process may run on. */
int os_processors(void);

#endif
