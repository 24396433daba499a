/* Running another program. It gets its words as they are: no shell reads them. */
#ifndef PAL_PROCESS_H
#define PAL_PROCESS_H

#include "harness/base/error.h"

#include <stddef.h>

/* What became of a program: its exit status, or one of these. */
enum { PROCESS_MISSING = -1, PROCESS_KILLED = 128 };

/* Run word[0], found on PATH, with the NULL-terminated words, in the directory `folder` (NULL: the caller's), and
 * wait. It reads nothing, and what it writes to stdout is dropped. said[size]: the first bytes that it wrote to
 * stderr, or
 * "". PAL_INTERNAL: the machine could not start it. */
int process_run(const char *const *word, const char *folder, int *status, char *said, size_t size, pal_error *err);

#endif
