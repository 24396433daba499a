/* An append-only journal: one JSON object a line, each ending in "crc32":"xxxxxxxx" (zlib's CRC-32 of the bytes of
 * the line before that member). One writer at a time.
 *
 * Policy: a record is acknowledged when journal_append returns: it was then written by one write() and synced to
 * the disk. A crash can therefore only damage the last line, the torn tail: it lacks its newline or its CRC is
 * wrong. Opening cuts it off. Damage anywhere else is reported and never repaired. */
#ifndef PAL_JOURNAL_H
#define PAL_JOURNAL_H

#include "harness/base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct journal journal;

/* How the first record of every journal begins. A file that begins otherwise is not ours, and never cut. */
#define JOURNAL_OPENING "{\"kind\":\"cell\",\"task\":\""

/* What stands behind the last intact record and is no part of the journal. */
typedef struct journal_tail {
    size_t bytes;
    int whole;      /* it looks like a whole record, but its checksum is wrong: damage, and no crash */
    char what[200]; /* of a whole one, as far as it can still be read: "sample 3 of len=1024,depth=0, model m" */
} journal_tail;

/* Called for each intact line, oldest first: the whole object, NUL-terminated, without its newline. `number`
 * counts from 1. */
typedef int journal_visit(void *arg, const char *line, size_t size, int64_t number, pal_error *err);

/* Visit the lines of the file at `path`; one that does not exist has none. A torn tail is left out. PAL_DATA: a
 * line in the middle is damaged. */
int journal_read(const char *path, journal_visit *visit, void *arg, pal_error *err);
/* The same, and what was left out at the end. */
int journal_read_tail(const char *path, journal_visit *visit, void *arg, journal_tail *tail, pal_error *err);

/* Open for appending, creating the file and its directory where needed, and visit what is there. *cut is the
 * number of bytes of torn tail that were cut off. PAL_USAGE: another run holds it; PAL_DATA as above, or a file
 * that is not ours; PAL_INTERNAL: it cannot be created or written. */
int journal_open(journal **out, const char *path, journal_visit *visit, void *arg, size_t *cut, pal_error *err);
void journal_close(journal *j);
/* What was cut off when it was opened. */
const journal_tail *journal_cut(const journal *j);
/* PAL_INTERNAL: the file is no longer at its path. A file that was removed is written again, so that nothing is
 * lost. */
int journal_check(const journal *j, pal_error *err);

/* Append a JSON object given as text on one line, "{...}" with at least one member. PAL_INTERNAL (disk full, I/O
 * error): what was there before is intact, and nothing more can be appended. So too where the file was moved or
 * removed (journal_check): the record is kept all the same. */
int journal_append(journal *j, const char *object, pal_error *err);

#endif
