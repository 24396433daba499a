/* The ground floor: random numbers, hash, files under injected faults, memory figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/hash.h"
#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "harness/base/version.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- Random numbers. ---- */

/* The vectors of Random123's kat_vectors for philox4x32-10. */
static void test_philox_known_answers(void **state)
{
    (void)state;
    static const uint32_t known[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
         0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
         0x5001e420, 0x24126ea1},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        philox4x32(known[i], known[i] + 4, out);
        assert_memory_equal(out, known[i] + 6, sizeof out);
    }
}

static void test_rng_stream_is_its_blocks(void **state)
{
    (void)state;
    rng r = rng_make(7, "passkey", (UINT64_C(5) << 32) + 9, 3);
    const rng start = r;
    for (uint32_t block = 0; block < 3; block++) {
        const uint32_t counter[4] = {block, 9, 5, 3};
        uint32_t expected[4];
        philox4x32(counter, start.key, expected);
        for (int i = 0; i < 4; i++) assert_int_equal(rng_u32(&r), expected[i]);
    }
}

static void test_rng_streams_differ(void **state)
{
    (void)state;
    rng streams[] = {rng_make(1, "a", 1, 1), rng_make(2, "a", 1, 1), rng_make(1, "b", 1, 1),
                     rng_make(1, "a", 2, 1), rng_make(1, "a", 1, 2), rng_make(1, "a", UINT64_C(1) << 32, 1)};
    enum { STREAMS = sizeof streams / sizeof *streams };
    uint64_t first[STREAMS];
    for (int i = 0; i < STREAMS; i++) {
        first[i] = (uint64_t)rng_u32(&streams[i]) << 32;
        first[i] |= rng_u32(&streams[i]);
    }
    for (int i = 0; i < STREAMS; i++)
        for (int j = 0; j < i; j++) assert_true(first[i] != first[j]);
}

static void test_rng_below_is_uniform(void **state)
{
    (void)state;
    enum { CELLS = 10, DRAWS = 100000 };
    rng r = rng_make(1, "test", 0, 0);
    double count[CELLS] = {0};
    for (int i = 0; i < DRAWS; i++) {
        const uint32_t draw = rng_below(&r, CELLS);
        assert_true(draw < CELLS);
        count[draw]++;
    }
    double chi2 = 0;
    for (int i = 0; i < CELLS; i++)
        chi2 += (count[i] - DRAWS / CELLS) * (count[i] - DRAWS / CELLS) * CELLS / DRAWS;
    assert_true(chi2 < 27.9); /* 0.1 % point with 9 degrees of freedom */
}

/* A plain modulo would put half of all draws into the first third. */
static void test_rng_below_has_no_modulo_bias(void **state)
{
    (void)state;
    enum { DRAWS = 20000 };
    rng r = rng_make(2, "test", 0, 0);
    int low = 0;
    for (int i = 0; i < DRAWS; i++) low += rng_below(&r, UINT64_C(3) << 30) < UINT32_C(1) << 30;
    assert_true(fabs(low / (double)DRAWS - 1.0 / 3) < 0.015);
}

static void test_rng_below_bounds(void **state)
{
    (void)state;
    rng r = rng_make(3, "test", 0, 0), plain = r;
    for (int i = 0; i < 100; i++) assert_int_equal(rng_below(&r, 1), 0);
    r = plain;
    for (int i = 0; i < 100; i++) assert_int_equal(rng_below(&r, UINT64_C(1) << 32), rng_u32(&plain));
}

static void test_rng_moments(void **state)
{
    (void)state;
    enum { DRAWS = 200000 };
    rng r = rng_make(4, "test", 0, 0);
    double sum = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double u = rng_uniform(&r);
        assert_true(u >= 0 && u < 1);
        sum += u;
    }
    assert_true(fabs(sum / DRAWS - 0.5) < 4 * sqrt(1 / 12.0 / DRAWS));
    double moment[5] = {0};
    for (int i = 0; i < DRAWS; i++) {
        const double x = rng_normal(&r);
        for (int k = 1; k <= 4; k++) moment[k] += pow(x, k) / DRAWS;
    }
    assert_true(fabs(moment[1]) < 0.01);
    assert_true(fabs(moment[2] - 1) < 0.02);
    assert_true(fabs(moment[3]) < 0.04);
    assert_true(fabs(moment[4] - 3) < 0.1);
}

/* ---- Hash. ---- */

static void test_hash_known_answers(void **state)
{
    (void)state;
    /* The test vectors of Fowler, Noll & Vo for 64-bit FNV-1a. */
    assert_true(hash_fnv(HASH_FNV_BEGIN, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(hash_fnv(HASH_FNV_BEGIN, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(hash_fnv(HASH_FNV_BEGIN, "foobar", 6) == UINT64_C(0x85944171f73967e8));
    assert_true(hash_fnv(hash_fnv(HASH_FNV_BEGIN, "foo", 3), "bar", 3) == UINT64_C(0x85944171f73967e8));
    char hex[HASH_HEX];
    hash_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    hash_hex(million, 1000000, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

/* ---- Files. ---- */

static char directory[64]; /* of this run, removed at the end */

static const char *in_directory(const char *name)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/palimpsest-base-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

static void assert_content(const char *path, const char *expected)
{
    pal_error err;
    char *data;
    size_t size;
    if (os_read_file(path, &data, &size, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(data, expected);
    free(data);
}

static void test_read_file(void **state)
{
    (void)state;
    pal_error err;
    char *data;
    size_t size;
    const char *path = in_directory("read");
    char *big = malloc(100001);
    for (int i = 0; i < 100000; i++) big[i] = (char)('a' + i % 26);
    big[100000] = 0;
    assert_int_equal(os_write_file(path, big, 100000, &err), PAL_OK);
    assert_content(path, big);
    free(big);
    assert_int_equal(os_write_file(path, "", 0, &err), PAL_OK);
    assert_content(path, "");
    /* A file of the kernel: its size is not known beforehand. */
    assert_int_equal(os_read_file("/proc/self/maps", &data, &size, &err), PAL_OK);
    assert_true(size > 0 && strlen(data) == size);
    assert_non_null(strstr(data, "[stack]"));
    free(data);
}

static void test_read_file_errors(void **state)
{
    (void)state;
    pal_error err;
    char *data;
    size_t size;
    assert_int_equal(os_read_file("/nowhere/x.conf", &data, &size, &err), PAL_DATA);
    assert_string_equal(err.text, "/nowhere/x.conf: cannot open: No such file or directory");
    assert_int_equal(os_read_file(directory, &data, &size, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "is a folder; name a regular file"));
}

/* Whatever is no regular file is refused without waiting for it, to read and to write. */
static void test_only_regular_files_are_opened(void **state)
{
    (void)state;
    char pipe_path[200], socket_path[200], link_path[200];
    snprintf(pipe_path, sizeof pipe_path, "%s", in_directory("pipe"));
    snprintf(socket_path, sizeof socket_path, "%s", in_directory("socket"));
    snprintf(link_path, sizeof link_path, "%s", in_directory("link"));
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", socket_path);
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(symlink(pipe_path, link_path), 0);
    const struct {
        const char *path, *kind;
    } bad[] = {{pipe_path, "is a pipe"},
               {link_path, "is a pipe"},
               {socket_path, "is a socket"},
               {"/dev/null", "is a device"},
               {directory, "is a folder"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pal_error err;
        char *data;
        size_t size;
        int fd;
        FILE *stream;
        alarm(5); /* a hang is a failure */
        assert_int_equal(os_read_file(bad[i].path, &data, &size, &err), PAL_DATA);
        assert_non_null(strstr(err.text, bad[i].kind));
        assert_non_null(strstr(err.text, bad[i].path));
        assert_int_equal(os_open_regular(bad[i].path, O_RDONLY, &fd, &err), PAL_DATA);
        assert_int_equal(fd, -1);
        assert_int_equal(os_open_regular(bad[i].path, O_RDWR | O_CREAT, &fd, &err), PAL_DATA);
        assert_int_equal(os_open_stream(bad[i].path, "a", &stream, &err), PAL_DATA);
        assert_int_equal(os_write_file(bad[i].path, "x", 1, &err), PAL_DATA);
        alarm(0);
    }
    struct stat info;
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    close(listener);
}

static void test_streams_read_and_append(void **state)
{
    (void)state;
    pal_error err;
    char path[200], line[16];
    snprintf(path, sizeof path, "%s", in_directory("stream"));
    FILE *file;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(os_open_stream(path, "a", &file, &err), PAL_OK);
        fputs("ab\n", file);
        assert_int_equal(fclose(file), 0);
    }
    assert_content(path, "ab\nab\n");
    assert_int_equal(os_open_stream(path, "r", &file, &err), PAL_OK);
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "ab\n");
    fclose(file);
}

/* A file that claims more than the machine's memory is refused before any of it is read. */
static void test_a_sparse_file_is_not_read(void **state)
{
    (void)state;
    pal_error err;
    char path[200], *data;
    size_t size;
    snprintf(path, sizeof path, "%s", in_directory("sparse"));
    const int fd = open(path, O_WRONLY | O_CREAT, 0600);
    const int held = ftruncate(fd, (off_t)1 << 43) == 0;
    close(fd);
    if (held) {
        assert_int_equal(os_read_file(path, &data, &size, &err), PAL_INTERNAL);
        assert_non_null(strstr(err.text, "out of memory"));
    }
    unlink(path);
}

/* ---- Injected faults: each call is counted, and fails when its fault says so. ---- */

static struct fault {
    int open_errno, fsync_errno, rename_errno;
    size_t write_room;  /* bytes until the disk is full */
    size_t write_chunk; /* bytes a write takes at most */
    int interrupt;      /* every other write is interrupted */
    int writes, syncs;
} fault;

static int faulty_open(const char *path, int flags, mode_t mode)
{
    if (fault.open_errno && (flags & O_CREAT)) {
        errno = fault.open_errno;
        return -1;
    }
    return open(path, flags, mode);
}

static ssize_t faulty_write(int fd, const void *data, size_t size)
{
    if (fault.interrupt && fault.writes++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    if (fault.write_room == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (size > fault.write_chunk) size = fault.write_chunk;
    if (size > fault.write_room) size = fault.write_room;
    fault.write_room -= size;
    return write(fd, data, size);
}

static int faulty_fsync(int fd)
{
    fault.syncs++;
    if (fault.fsync_errno) {
        errno = fault.fsync_errno;
        return -1;
    }
    return fsync(fd);
}

static int faulty_rename(const char *from, const char *to)
{
    if (fault.rename_errno) {
        errno = fault.rename_errno;
        return -1;
    }
    return rename(from, to);
}

static double frozen_now(void)
{
    return 12.5;
}

static const os_table faulty = {faulty_open, faulty_write, faulty_fsync, faulty_rename, frozen_now};
static const struct fault no_fault = {.write_room = SIZE_MAX, .write_chunk = SIZE_MAX};

static int restore_os(void **state)
{
    (void)state;
    os_use(NULL);
    return 0;
}

/* Names and data out of files are quoted in messages: they must not break the line or steer a terminal. */
static void test_a_message_is_one_line(void **state)
{
    (void)state;
    pal_error err = {0};
    assert_int_equal(pal_fail(&err, PAL_DATA, "%s: bad", "a\nb\x1b[2Jc\x7f\td"), PAL_DATA);
    assert_string_equal(err.text, "a?b?[2Jc??d: bad");
    pal_fail(&err, PAL_DATA, "%s", "\xc3\xa9t\xc3\xa9 stays");
    assert_string_equal(err.text, "\xc3\xa9t\xc3\xa9 stays");
}

static void test_write_file_survives_faults(void **state)
{
    (void)state;
    static const struct {
        struct fault fault;
        const char *cause;
    } cases[] = {
        {{.open_errno = EACCES, .write_room = SIZE_MAX, .write_chunk = SIZE_MAX}, "Permission denied"},
        {{.write_room = 0, .write_chunk = SIZE_MAX}, "No space left on device"},
        {{.write_room = 1, .write_chunk = SIZE_MAX}, "No space left on device"},
        {{.write_room = 11, .write_chunk = 2}, "No space left on device"},
        {{.write_room = SIZE_MAX, .write_chunk = 0}, "the device takes no more"},
        {{.fsync_errno = EIO, .write_room = SIZE_MAX, .write_chunk = SIZE_MAX}, "Input/output error"},
        {{.rename_errno = EROFS, .write_room = SIZE_MAX, .write_chunk = SIZE_MAX}, "Read-only file system"},
    };
    pal_error err;
    const char *path = in_directory("atomic");
    assert_int_equal(os_write_file(path, "the old one", 11, &err), PAL_OK);
    os_use(&faulty);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fault = cases[i].fault;
        assert_int_equal(os_write_file(path, "the new one!", 12, &err), PAL_INTERNAL);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, cases[i].cause));
        assert_content(path, "the old one");
        assert_false(os_file_exists(in_directory("atomic.tmp")));
        path = in_directory("atomic");
    }
    fault = no_fault;
    fault.write_chunk = 3;
    fault.interrupt = 1;
    assert_int_equal(os_write_file(path, "the new one!", 12, &err), PAL_OK);
    assert_content(path, "the new one!");
    assert_true(fault.syncs >= 1); /* before the rename */
}

static void test_os_table(void **state)
{
    (void)state;
    assert_ptr_equal(os(), &os_system);
    assert_ptr_equal(os_use(&faulty), &faulty);
    assert_true(os()->now() == 12.5);
    assert_ptr_equal(os_use(NULL), &os_system);
    const double before = os()->now();
    usleep(2000);
    const double passed = os()->now() - before;
    assert_true(passed >= 0.002 && passed < 60);
}

static double hand; /* of the clock below */

static double moved_by_hand(void)
{
    return hand;
}

/* A clock that runs backwards stands still; afterwards it goes on. */
static void test_time_never_runs_backwards(void **state)
{
    (void)state;
    const os_table clock = {os_system.open, write, fsync, rename, moved_by_hand};
    static const double shown[][2] = {{10, 10}, {12, 12}, {3, 12}, {-5, 12}, {11.9, 12}, {12.5, 12.5}, {1e9, 1e9}};
    os_use(&clock);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        hand = shown[i][0];
        assert_true(os_now() == shown[i][1]);
    }
    os_use(NULL);
    const double before = os_now(); /* a new table has its own time */
    assert_true(before < 1e9 && os_now() >= before);
}

static void test_make_dirs(void **state)
{
    (void)state;
    pal_error err;
    struct stat info;
    assert_int_equal(os_make_dirs(in_directory("a/b//c/"), &err), PAL_OK);
    assert_int_equal(stat(in_directory("a/b/c"), &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(os_make_dirs(in_directory("a/b/c"), &err), PAL_OK);
    assert_int_equal(os_make_dirs("/", &err), PAL_OK);
    assert_int_equal(os_write_file(in_directory("a/file"), "x", 1, &err), PAL_OK);
    assert_int_equal(os_make_dirs(in_directory("a/file/d"), &err), PAL_INTERNAL);
    assert_non_null(strstr(err.text, "a/file: not a directory"));
}

/* ---- Memory and processors. ---- */

static void touch_memory(size_t bytes)
{
    char *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(block != MAP_FAILED);
    for (size_t i = 0; i < bytes; i += 4096) ((volatile char *)block)[i] = 1;
    munmap(block, bytes);
}

static void test_peak_rss(void **state)
{
    (void)state;
    const size_t block = (size_t)64 << 20;
    const uint64_t before = os_peak_rss();
    assert_true(before > 0);
    touch_memory(2 * block);
    const uint64_t after = os_peak_rss();
    assert_true(after >= 2 * block);
    if (os_reset_peak_rss() != 0) return; /* the kernel may forbid it */
    assert_true(os_peak_rss() + block < after);
    touch_memory(block);
    assert_true(os_peak_rss() >= block);
}

/* Large ones begin with a huge page, and all their bytes are there. */
static void test_blocks_are_aligned(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 64, 4 << 20, (8 << 20) + 100};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *block = os_allocate(sizes[i]);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 64, 0);
        if (sizes[i] >= 4 << 20) assert_int_equal((uintptr_t)block % (2 << 20), 0);
        memset(block, 1, sizes[i]);
        free(block);
    }
    assert_null(os_allocate(SIZE_MAX));
}

static void test_machine_figures(void **state)
{
    (void)state;
    const uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    assert_true(os_available_memory() > 0 && os_available_memory() <= total);
    assert_true(os_processors() >= 1 && os_processors() <= (int)sysconf(_SC_NPROCESSORS_CONF));
}

/* The Makefile passes it in: a release tag, and behind it what git knows. */
static void test_version(void **state)
{
    (void)state;
    int major, minor, patch;
    assert_int_equal(sscanf(pal_version(), "v%d.%d.%d", &major, &minor, &patch), 3);
    assert_null(strpbrk(pal_version(), " \t\n\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_rng_stream_is_its_blocks),
        cmocka_unit_test(test_rng_streams_differ),
        cmocka_unit_test(test_rng_below_is_uniform),
        cmocka_unit_test(test_rng_below_has_no_modulo_bias),
        cmocka_unit_test(test_rng_below_bounds),
        cmocka_unit_test(test_rng_moments),
        cmocka_unit_test(test_hash_known_answers),
        cmocka_unit_test(test_read_file),
        cmocka_unit_test(test_read_file_errors),
        cmocka_unit_test(test_only_regular_files_are_opened),
        cmocka_unit_test(test_streams_read_and_append),
        cmocka_unit_test(test_a_sparse_file_is_not_read),
        cmocka_unit_test(test_a_message_is_one_line),
        cmocka_unit_test_teardown(test_write_file_survives_faults, restore_os),
        cmocka_unit_test_teardown(test_os_table, restore_os),
        cmocka_unit_test_teardown(test_time_never_runs_backwards, restore_os),
        cmocka_unit_test(test_make_dirs),
        cmocka_unit_test(test_peak_rss),
        cmocka_unit_test(test_blocks_are_aligned),
        cmocka_unit_test(test_machine_figures),
        cmocka_unit_test(test_version),
    };
    return cmocka_run_group_tests_name("base", tests, make_directory, remove_directory);
}
