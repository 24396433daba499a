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
#define CRC_MEMBER ",\"crc32\":\"%08lx\"}"
enum { CRC_SIZE = sizeof ",\"crc32\":\"01234567\"}" - 1 };

struct journal {
    int fd;
    off_t end; /* of the last acknowledged line */
    int failed;
    char *path;
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
    static const char mark[] = ",\"crc32\":\"";
    const char *found = memmem(tail, size, mark, sizeof mark - 1);
    return !found || found + CRC_SIZE + 1 >= tail + size;
}

/* Visit the lines in data[size]; *good is where the last intact one ends. */
static int visit_lines(const char *path, char *data, size_t size, journal_visit *visit, void *arg, size_t *good,
                       pal_error *err)
{
    *good = 0;
    for (int64_t number = 1; *good < size; number++) {
        char *line = data + *good;
        char *newline = memchr(line, '\n', size - *good);
        const size_t length = newline ? (size_t)(newline - line) : size - *good;
        if (!newline || !line_intact(line, length)) {
            if (*good + length + 1 >= size && torn_tail(line, size - *good)) return PAL_OK;
            return pal_fail(
                err, PAL_DATA,
                "%s:%lld: the record is damaged (CRC mismatch); restore the file from a copy, or delete "
                "that line to compute its sample again",
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
    if (!os_file_exists(path)) return PAL_OK;
    char *data;
    size_t size, good;
    PAL_TRY(os_read_file(path, &data, &size, err));
    const int code = visit_lines(path, data, size, visit, arg, &good, err);
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
    if (code == PAL_OK) code = visit_lines(path, data, size, visit, arg, &good, err);
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
        return PAL_OK;
    }
    /* Best effort: what cannot be taken back now is a torn tail for the next open. */
    j->failed = 1;
    if (ftruncate(j->fd, j->end) != 0) return code;
    return code;
}
