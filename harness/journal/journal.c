/* The journal file: lines with a checksum, one writer, a torn tail that is cut off. The header states the policy.
 */
#include "harness/journal/journal.h"

#include "harness/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* What closes every line, newline apart. */
#define CRC_MARK ",\"crc32\":\""
#define CRC_MEMBER CRC_MARK "%08lx\"}"
enum { CRC_SIZE = sizeof ",\"crc32\":\"01234567\"}" - 1 };

struct journal {
    int fd;
    dev_t device; /* where the open file is, to see when its path names another */
    ino_t inode;
    off_t end; /* of the last acknowledged line */
    int failed;
    char *path;
    journal_tail tail;
};

static unsigned long line_crc(const char *line, size_t size)
{
    return crc32(crc32(0, NULL, 0), (const Bytef *)line, (uInt)size);
}

static int line_intact(const char *line, size_t size)
{
    if (size < CRC_SIZE + 2 || line[0] != '{') return 0;
    char expected[CRC_SIZE + 1];
    snprintf(expected, sizeof expected, CRC_MEMBER, line_crc(line, size - CRC_SIZE));
    return memcmp(line + size - CRC_SIZE, expected, CRC_SIZE) == 0;
}

/* Whether bytes that end the file can be what a crash left of one append: they do not hold the end of a record
 * with more behind it. */
static int torn_tail(const char *tail, size_t size)
{
    const char *found = memmem(tail, size, CRC_MARK, sizeof CRC_MARK - 1);
    return !found || found + CRC_SIZE + 1 >= tail + size;
}

/* ---- What stands behind the last record ---- */

/* Whether bytes that begin the file can be the beginning of our first record. A crash may also leave zeros. */
static int our_opening(const char *data, size_t size)
{
    static const char opening[] = JOURNAL_OPENING;
    const size_t length = sizeof opening - 1 < size ? sizeof opening - 1 : size;
    size_t zeros = 0;
    while (zeros < size && data[zeros] == '\0') zeros++;
    return zeros == size || memcmp(data, opening, length) == 0;
}

/* The text of a member, or its number; "" where it is not found. The record need not be valid JSON. */
static void find_member(const char *line, size_t size, const char *mark, char *out, size_t room)
{
    const char *found = memmem(line, size, mark, strlen(mark));
    size_t used = 0;
    if (found)
        for (const char *at = found + strlen(mark); at < line + size && used + 1 < room; at++) {
            if (*at == '"' || *at == '}' || (*at == ',' && mark[strlen(mark) - 1] != '"')) break;
            out[used++] = *at >= ' ' && *at < 127 ? *at : '?';
        }
    out[used] = '\0';
}

static void describe_tail(journal_tail *tail, const char *line, size_t size)
{
    char index[16], cell[64], model[80];
    find_member(line, size, "\"index\":", index, sizeof index);
    find_member(line, size, "\"cell\":\"", cell, sizeof cell);
    find_member(line, size, "\"model\":\"", model, sizeof model);
    snprintf(tail->what, sizeof tail->what, "%s%s%s%s%s%s", index[0] ? "sample " : "", index,
             cell[0] ? (index[0] ? " of cell " : "cell ") : "", cell, model[0] ? ", model " : "", model);
}

/* Take `line`, which is not intact, for the tail; 0: it is damage in the middle. */
static int take_tail(journal_tail *tail, const char *line, size_t length, size_t left)
{
    if (length + 1 < left || !torn_tail(line, left)) return 0;
    *tail = (journal_tail){.bytes = left,
                           .whole = length < left || memmem(line, left, CRC_MARK, sizeof CRC_MARK - 1) != NULL};
    if (tail->whole) describe_tail(tail, line, length);
    return 1;
}

/* Visit the lines in data[size]; *good is where the last intact one ends. */
static int visit_lines(const char *path, char *data, size_t size, journal_visit *visit, void *arg, size_t *good,
                       journal_tail *tail, pal_error *err)
{
    *good = 0;
    *tail = (journal_tail){0};
    for (int64_t number = 1; *good < size; number++) {
        char *line = data + *good;
        char *newline = memchr(line, '\n', size - *good);
        const size_t length = newline ? (size_t)(newline - line) : size - *good;
        if (!newline || !line_intact(line, length)) {
            if (*good == 0 && !our_opening(line, size) && !memmem(line, size, CRC_MARK, sizeof CRC_MARK - 1))
                return pal_fail(
                    err, PAL_DATA,
                    "%s:1: not a journal; move the file away, or choose another directory with results=", path);
            if (take_tail(tail, line, length, size - *good)) return PAL_OK;
            return pal_fail(err, PAL_DATA,
                            "%s:%lld: the record is damaged (CRC mismatch); restore the file from a copy, or "
                            "delete that line to compute its sample again",
                            path, (long long)number);
        }
        *newline = '\0';
        if (visit) PAL_TRY(visit(arg, line, length, number, err));
        *good += length + 1;
    }
    return PAL_OK;
}

int journal_read(const char *path, journal_visit *visit, void *arg, pal_error *err)
{
    journal_tail tail;
    return journal_read_tail(path, visit, arg, &tail, err);
}

int journal_read_tail(const char *path, journal_visit *visit, void *arg, journal_tail *tail, pal_error *err)
{
    *tail = (journal_tail){0};
    if (!os_file_exists(path)) return PAL_OK;
    char *data;
    size_t size, good;
    PAL_TRY(os_read_file(path, &data, &size, err));
    const int code = visit_lines(path, data, size, visit, arg, &good, tail, err);
    free(data);
    return code;
}

/* Make the directory entry of a new file durable too. */
static int sync_directory(const char *dir, pal_error *err)
{
    const int fd = os()->open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    const int failed = fd < 0 || os()->fsync(fd) != 0;
    if (fd >= 0) close(fd);
    if (failed) return pal_fail(err, PAL_INTERNAL, "cannot sync directory %s: %s", dir, strerror(errno));
    return PAL_OK;
}

static int open_file(journal *j, pal_error *err)
{
    char *dir = strdup(j->path);
    if (!dir) return pal_fail(err, PAL_INTERNAL, "out of memory for the journal");
    char *slash = strrchr(dir, '/');
    if (slash) *slash = '\0';
    pal_error cause;
    int code = PAL_OK;
    if (slash && dir[0] && os_make_dirs(dir, &cause) != PAL_OK)
        code = pal_fail(err, cause.code, "%s; choose another directory with results=", cause.text);
    if (code == PAL_OK) {
        const int fresh = !os_file_exists(j->path);
        code = os_open_regular(j->path, O_RDWR | O_CREAT | O_APPEND, &j->fd, &cause);
        if (code != PAL_OK)
            pal_fail(err, code, "%s; make it writable or choose another directory with results=", cause.text);
        else if (fresh)
            code = sync_directory(slash ? (dir[0] ? dir : "/") : ".", err);
    }
    struct stat info;
    if (code == PAL_OK && fstat(j->fd, &info) == 0) {
        j->device = info.st_dev;
        j->inode = info.st_ino;
    }
    free(dir);
    return code;
}

int journal_open(journal **out, const char *path, journal_visit *visit, void *arg, size_t *cut, pal_error *err)
{
    journal *j = calloc(1, sizeof *j);
    if (!j || !(j->path = strdup(path))) {
        free(j);
        return pal_fail(err, PAL_INTERNAL, "out of memory for the journal");
    }
    j->fd = -1;
    char *data = NULL;
    size_t size = 0, good = 0;
    int code = open_file(j, err);
    if (code == PAL_OK && flock(j->fd, LOCK_EX | LOCK_NB) != 0)
        code = pal_fail(
            err, PAL_USAGE,
            "%s is in use by another run; wait for it to end or choose another directory with results=", path);
    if (code == PAL_OK) code = os_read_file(path, &data, &size, err);
    if (code == PAL_OK) code = visit_lines(path, data, size, visit, arg, &good, &j->tail, err);
    if (code == PAL_OK && good < size && (ftruncate(j->fd, (off_t)good) != 0 || os()->fsync(j->fd) != 0))
        code = pal_fail(err, PAL_INTERNAL, "cannot cut the torn tail of %s: %s", path, strerror(errno));
    free(data);
    if (code != PAL_OK) {
        journal_close(j);
        return code;
    }
    j->end = (off_t)good;
    *cut = size - good;
    *out = j;
    return PAL_OK;
}

void journal_close(journal *j)
{
    if (!j) return;
    if (j->fd >= 0) close(j->fd);
    free(j->path);
    free(j);
}

const journal_tail *journal_cut(const journal *j)
{
    return &j->tail;
}

/* Write what the open file holds to its path again, or beside it where there is another file now. */
static int rescue(const journal *j, char *to, size_t room, pal_error *err)
{
    struct stat info;
    char *data = fstat(j->fd, &info) == 0 ? malloc((size_t)info.st_size + 1) : NULL;
    if (!data) return pal_fail(err, PAL_INTERNAL, "out of memory for the journal");
    const size_t size = (size_t)info.st_size;
    int code = pread(j->fd, data, size, 0) == (ssize_t)size
                   ? PAL_OK
                   : pal_fail(err, PAL_INTERNAL, "cannot read %s: %s", j->path, strerror(errno));
    snprintf(to, room, "%s%s", j->path, os_file_exists(j->path) ? ".rescued" : "");
    char *dir = strdup(to), *slash = dir ? strrchr(dir, '/') : NULL;
    if (slash) *slash = '\0';
    if (code == PAL_OK && slash && dir[0]) code = os_make_dirs(dir, err);
    if (code == PAL_OK) code = os_write_file(to, data, size, err);
    free(dir);
    free(data);
    return code;
}

int journal_check(const journal *j, pal_error *err)
{
    struct stat info;
    char to[4096];
    pal_error cause;
    if (stat(j->path, &info) == 0 && info.st_dev == j->device && info.st_ino == j->inode) return PAL_OK;
    if (fstat(j->fd, &info) == 0 && info.st_nlink > 0)
        return pal_fail(err, PAL_INTERNAL,
                        "%s was moved while this run wrote it; all records are in the moved file: move it back "
                        "and run again to go on",
                        j->path);
    if (rescue(j, to, sizeof to, &cause) != PAL_OK)
        return pal_fail(err, PAL_INTERNAL, "%s was removed while this run wrote it, and %s", j->path, cause.text);
    return pal_fail(err, PAL_INTERNAL,
                    "%s was removed while this run wrote it; all records were written to %s: run again to go on",
                    j->path, to);
}

int journal_append(journal *j, const char *object, pal_error *err)
{
    const size_t size = strlen(object), body = size - 1; /* without the closing brace */
    if (j->failed) return pal_fail(err, PAL_INTERNAL, "%s: an earlier write failed", j->path);
    char *line = malloc(body + CRC_SIZE + 2);
    if (!line) return pal_fail(err, PAL_INTERNAL, "out of memory for a journal record");
    memcpy(line, object, body);
    snprintf(line + body, CRC_SIZE + 2, CRC_MEMBER "\n", line_crc(line, body));

    int code = os_write_all(j->fd, line, body + CRC_SIZE + 1, j->path, err);
    if (code == PAL_OK && os()->fsync(j->fd) != 0)
        code = pal_fail(err, PAL_INTERNAL, "cannot sync %s: %s", j->path, strerror(errno));
    free(line);
    if (code == PAL_OK) {
        j->end += (off_t)(body + CRC_SIZE + 1);
        code = journal_check(j, err);
        j->failed = code != PAL_OK;
        return code;
    }
    /* Best effort: what cannot be taken back now is a torn tail for the next open. */
    j->failed = 1;
    if (ftruncate(j->fd, j->end) != 0) return code;
    return code;
}
