/* What the fuzz harnesses share: a scratch folder in memory, files in it, and checks that hold whatever the input.
 * Every harness defines LLVMFuzzerTestOneInput; libFuzzer supplies main(). */
#ifndef PAL_FUZZ_H
#define PAL_FUZZ_H

#include "harness/base/error.h"
#include "harness/base/os.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FUZZ_PATH = 128 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char fuzz_folder[64];

static inline int fuzz_no_sync(int fd)
{
    (void)fd;
    return 0;
}

static inline void fuzz_clean(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", fuzz_folder);
    if (system(command) != 0) fputs("fuzz: the scratch folder stays\n", stderr);
}

/* The folder of this process. Nothing in it needs to survive a crash of the machine. */
static inline const char *fuzz_dir(void)
{
    static os_table table;
    if (fuzz_folder[0]) return fuzz_folder;
    strcpy(fuzz_folder, "/dev/shm/palimpsest-fuzz-XXXXXX");
    if (!mkdtemp(fuzz_folder)) {
        strcpy(fuzz_folder, "/tmp/palimpsest-fuzz-XXXXXX");
        if (!mkdtemp(fuzz_folder)) abort();
    }
    atexit(fuzz_clean);
    table = *os();
    table.fsync = fuzz_no_sync;
    os_use(&table);
    return fuzz_folder;
}

/* DIR/name; valid until eight more were asked for. */
static inline const char *fuzz_path(const char *name)
{
    static char path[8][FUZZ_PATH];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], FUZZ_PATH, "%s/%s", fuzz_dir(), name);
    return path[next];
}

/* Write a file into the folder; returns its path. */
static inline const char *fuzz_file(const char *name, const void *data, size_t size)
{
    const char *path = fuzz_path(name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    close(fd);
    return path;
}

/* The first byte of the input, or 0; what follows is left. */
static inline unsigned fuzz_byte(const uint8_t **data, size_t *size)
{
    if (*size == 0) return 0;
    (*size)--;
    return *(*data)++;
}

/* A refusal is one line that says something. */
static inline void fuzz_check(int code, const pal_error *err)
{
    if (code != PAL_OK && (!err->text[0] || strchr(err->text, '\n'))) {
        fprintf(stderr, "fuzz: code %d with the message \"%s\"\n", code, err->text);
        abort();
    }
}

#define FUZZ_ASSERT(what)                                                                                         \
    do {                                                                                                          \
        if (!(what)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                                    \
            abort();                                                                                              \
        }                                                                                                         \
    } while (0)

/* A stream that nobody reads. */
static inline FILE *fuzz_sink(void)
{
    static FILE *sink;
    if (!sink) sink = fopen("/dev/null", "w");
    if (!sink) abort();
    return sink;
}

#endif
