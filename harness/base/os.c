/* Files, clock, memory and processors of the machine, behind one table that tests replace.
 * Every file that the program reads or writes is opened here. */
#include "harness/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- The replaceable table. ---- */

static int system_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

static double system_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const os_table os_system = {system_open, write, fsync, rename, system_now};

static const os_table *current = &os_system; /* only tests write it, while one thread runs */

static _Atomic double latest; /* what os_now said last */

const os_table *os_use(const os_table *table)
{
    latest = 0;
    current = table ? table : &os_system;
    return current;
}

const os_table *os(void)
{
    return current;
}

double os_now(void)
{
    const double now = os()->now();
    double before = latest;
    while (now > before)
        if (atomic_compare_exchange_weak(&latest, &before, now)) return now;
    return before;
}

/* ---- Files. ---- */

/* What a path is when it is no regular file; NULL for one. */
static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return NULL;
    case S_IFDIR:
        return "a folder";
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

int os_fill_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) != -1) continue;
        /* The lowest free number is taken: this one. */
        if (open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) != fd) return -1;
    }
    return 0;
}

int os_check_regular(const char *path, pal_error *err)
{
    struct stat info;
    const char *kind = stat(path, &info) == 0 ? kind_of(info.st_mode) : NULL;
    return kind ? pal_fail(err, PAL_DATA, "%s: is %s; name a regular file", path, kind) : PAL_OK;
}

int os_open_regular(const char *path, int flags, int *fd, pal_error *err)
{
    const int writes = (flags & O_ACCMODE) != O_RDONLY;
    /* Opening a pipe without O_NONBLOCK waits for its other end; opening some devices acts on them. */
    *fd = -1;
    PAL_TRY(os_check_regular(path, err));
    *fd = os()->open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
    if (*fd < 0)
        return pal_fail(err, writes ? PAL_INTERNAL : PAL_DATA, "%s: cannot open%s: %s", path,
                        writes ? " for writing" : "", strerror(errno));
    struct stat info;
    const char *kind = fstat(*fd, &info) == 0 ? kind_of(info.st_mode) : NULL;
    if (!kind) return PAL_OK;
    close(*fd);
    *fd = -1;
    return pal_fail(err, PAL_DATA, "%s: is %s; name a regular file", path, kind);
}

int os_open_stream(const char *path, const char *mode, FILE **out, pal_error *err)
{
    const int appends = mode[0] == 'a';
    int fd;
    PAL_TRY(os_open_regular(path, appends ? O_WRONLY | O_CREAT | O_APPEND : O_RDONLY, &fd, err));
    *out = fdopen(fd, mode);
    if (*out) return PAL_OK;
    close(fd);
    return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
}

/* All that is left of `fd`; *data is malloc'ed, NUL-terminated. Returns 0, or an errno. */
static int read_rest(int fd, size_t expected, char **data, size_t *size)
{
    size_t capacity = expected + 1, used = 0; /* one more byte: the read that finds the end needs room */
    char *buffer = malloc(capacity + 1);
    if (!buffer) return ENOMEM;
    for (;;) {
        if (used == capacity) {
            capacity *= 2;
            char *grown = realloc(buffer, capacity + 1);
            if (!grown) {
                free(buffer);
                return ENOMEM;
            }
            buffer = grown;
        }
        const ssize_t got = read(fd, buffer + used, capacity - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            const int cause = errno;
            free(buffer);
            return cause;
        }
        if (got == 0) break;
        used += (size_t)got;
    }
    buffer[used] = 0;
    *data = buffer;
    *size = used;
    return 0;
}

enum { HUGE_FILE = 64 << 20 }; /* from this size on the free memory is looked up before reading */

int os_read_file(const char *path, char **data, size_t *size, pal_error *err)
{
    int fd;
    PAL_TRY(os_open_regular(path, O_RDONLY, &fd, err));
    struct stat info;
    const size_t expected = fstat(fd, &info) == 0 && info.st_size > 0 ? (size_t)info.st_size : 4095;
    /* Sparse files claim sizes that no memory holds. */
    const int huge = expected >= HUGE_FILE && expected > os_available_memory();
    const int cause = huge ? ENOMEM : read_rest(fd, expected, data, size);
    close(fd);
    if (cause == ENOMEM)
        return pal_fail(err, PAL_INTERNAL, "%s: out of memory: the file needs %zu MiB", path, expected >> 20);
    if (cause) return pal_fail(err, PAL_DATA, "%s: cannot read: %s", path, strerror(cause));
    return PAL_OK;
}

int os_map_file(const char *path, const void **data, size_t *size, pal_error *err)
{
    int fd;
    struct stat info;
    *data = NULL;
    *size = 0;
    PAL_TRY(os_open_regular(path, O_RDONLY, &fd, err));
    int code = PAL_OK;
    if (fstat(fd, &info) != 0)
        code = pal_fail(err, PAL_DATA, "%s: cannot read: %s", path, strerror(errno));
    else if (info.st_size > 0) {
        void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            code = pal_fail(err, PAL_INTERNAL, "%s: cannot be mapped: %s", path, strerror(errno));
        else {
            *data = map;
            *size = (size_t)info.st_size;
        }
    }
    close(fd);
    return code;
}

void os_unmap(const void *data, size_t size)
{
    if (size > 0) munmap((void *)data, size);
}

void os_map_forget(const void *data, size_t size)
{
    if (size > 0) madvise((void *)data, size, MADV_DONTNEED);
}

int os_write_all(int fd, const void *data, size_t size, const char *path, pal_error *err)
{
    const char *at = data;
    while (size > 0) {
        const ssize_t put = os()->write(fd, at, size);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0)
            return pal_fail(err, PAL_INTERNAL, "%s: cannot write: %s", path,
                            put < 0 ? strerror(errno) : "the device takes no more");
        at += put;
        size -= (size_t)put;
    }
    return PAL_OK;
}

/* Make the rename itself survive a power cut. The new file is complete by now whatever happens here, and some file
 * systems cannot sync a directory, so a failure is not an error. */
static void sync_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    const int fd = directory ? os()->open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) : -1;
    free(directory);
    if (fd < 0) return;
    os()->fsync(fd);
    close(fd);
}

static int write_and_rename(const char *path, const char *temporary, const void *data, size_t size, pal_error *err)
{
    const int fd = os()->open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return pal_fail(err, PAL_INTERNAL, "%s: cannot create: %s", temporary, strerror(errno));
    int code = os_write_all(fd, data, size, temporary, err);
    if (code == PAL_OK && os()->fsync(fd) != 0)
        code = pal_fail(err, PAL_INTERNAL, "%s: cannot write to the disk: %s", temporary, strerror(errno));
    if (close(fd) != 0 && code == PAL_OK)
        code = pal_fail(err, PAL_INTERNAL, "%s: cannot close: %s", temporary, strerror(errno));
    if (code == PAL_OK && os()->rename(temporary, path) != 0)
        code = pal_fail(err, PAL_INTERNAL, "%s: cannot replace: %s", path, strerror(errno));
    if (code != PAL_OK) unlink(temporary);
    return code;
}

int os_write_file(const char *path, const void *data, size_t size, pal_error *err)
{
    char *temporary = NULL;
    PAL_TRY(os_check_regular(path, err)); /* never put a file in the place of /dev/null */
    if (asprintf(&temporary, "%s.tmp", path) < 0) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    const int code = write_and_rename(path, temporary, data, size, err);
    free(temporary);
    if (code == PAL_OK) sync_directory_of(path);
    return code;
}

int os_make_dirs(const char *path, pal_error *err)
{
    char *prefix = strdup(path);
    if (!prefix) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    int code = PAL_OK;
    for (char *c = prefix; code == PAL_OK && *c; c++) {
        if (c[1] && c[1] != '/') continue; /* not at the end of a component */
        const char next = c[1];
        c[1] = 0;
        struct stat info;
        if (mkdir(prefix, 0777) != 0) {
            const int cause = errno;
            /* A root that is read-only answers EROFS or EACCES for directories that exist. */
            if (stat(prefix, &info) != 0)
                code = pal_fail(err, PAL_INTERNAL, "%s: cannot create the directory: %s", prefix, strerror(cause));
            else if (!S_ISDIR(info.st_mode))
                code = pal_fail(err, PAL_INTERNAL, "%s: not a directory; move the file away", prefix);
        }
        c[1] = next;
    }
    free(prefix);
    return code;
}

int os_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

/* ---- Memory and processors. ---- */

/* The number behind `label` at the start of a line of a small kernel file; label "" reads the first word. Returns
 * 0 when the file or the label is missing or the word is no number ("max"). */
static int read_counter(const char *path, const char *label, uint64_t *out)
{
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    char line[512];
    int found = 0;
    while (!found && fgets(line, sizeof line, file)) {
        if (strncmp(line, label, strlen(label)) != 0) continue;
        unsigned long long value;
        if (sscanf(line + strlen(label), "%llu", &value) != 1) break;
        *out = value;
        found = 1;
    }
    fclose(file);
    return found;
}

uint64_t os_peak_rss(void)
{
    uint64_t kib = 0;
    if (read_counter("/proc/self/status", "VmHWM:", &kib)) return kib << 10;
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss << 10 : 0;
}

int os_reset_peak_rss(void)
{
    const int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    const int ok = write(fd, "5", 1) == 1;
    close(fd);
    return ok ? 0 : -1;
}

/* What one control group still allows: its limit minus what it holds, page cache that can be dropped not counted.
 * `files` names limit, usage and the cache's line in memory.stat (they differ between cgroup 1 and 2). */
static uint64_t group_room(const char *directory, const char *const files[3])
{
    char path[1200];
    uint64_t limit, used, cache = 0;
    snprintf(path, sizeof path, "%s/%s", directory, files[0]);
    if (!read_counter(path, "", &limit)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s/%s", directory, files[1]);
    if (!read_counter(path, "", &used)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s/memory.stat", directory);
    read_counter(path, files[2], &cache);
    used -= cache < used ? cache : used;
    return limit > used ? limit - used : 0;
}

/* The least room in the group `name` and its parents, below the mount point `root`. In a container the name may be
 * the host's, with no directory of its own; the root is then the container's group. */
static uint64_t hierarchy_room(const char *root, const char *name, const char *const files[3])
{
    char directory[1024];
    const int length = snprintf(directory, sizeof directory, "%s%s", root, name);
    if (length < 0 || (size_t)length >= sizeof directory) return UINT64_MAX;
    uint64_t room = UINT64_MAX;
    for (;;) {
        const uint64_t here = group_room(directory, files);
        if (here < room) room = here;
        if (strlen(directory) <= strlen(root)) return room;
        *strrchr(directory, '/') = 0;
    }
}

static uint64_t cgroup_room(void)
{
    static const char *const v2[3] = {"memory.max", "memory.current", "inactive_file "};
    static const char *const v1[3] = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "};
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file) return UINT64_MAX;
    uint64_t room = UINT64_MAX;
    char line[900];
    while (fgets(line, sizeof line, file)) { /* "id:controllers:/name", no controllers in cgroup 2 */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *name = controllers ? strchr(++controllers, ':') : NULL;
        if (!name) continue;
        *name++ = 0;
        uint64_t here = UINT64_MAX;
        if (!*controllers) here = hierarchy_room("/sys/fs/cgroup", name, v2);
        if (strcmp(controllers, "memory") == 0) here = hierarchy_room("/sys/fs/cgroup/memory", name, v1);
        if (here < room) room = here;
    }
    fclose(file);
    return room;
}

uint64_t os_available_memory(void)
{
    uint64_t kib = 0;
    uint64_t room = read_counter("/proc/meminfo", "MemAvailable:", &kib) ? kib << 10 : UINT64_MAX;
    if (room == UINT64_MAX) {
        const long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        if (pages > 0 && page > 0) room = (uint64_t)pages * (uint64_t)page;
    }
    const uint64_t group = cgroup_room();
    return group < room ? group : room;
}

enum { ALIGNED = 64, HUGE_PAGE = 2 << 20, HUGE_FROM = 2 * HUGE_PAGE };

void *os_allocate(size_t bytes)
{
    const int large = bytes >= HUGE_FROM;
    void *block;
    if (bytes > PTRDIFF_MAX || posix_memalign(&block, large ? HUGE_PAGE : ALIGNED, bytes) != 0) return NULL;
    /* What is left of the last page would grow to a whole one. A refusal costs speed alone. */
    if (large) madvise(block, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return block;
}

int os_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    const long online = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than a cpu_set_t holds */
    return online > 0 ? (int)online : 1;
}
