#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "harness/journal/journal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], path[128];
static pal_error err;

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/palimpsest-journal-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(path, sizeof path, "%s/sub/j.jsonl", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    os_use(NULL);
    char sub[128];
    snprintf(sub, sizeof sub, "%s/sub", dir);
    unlink(path);
    rmdir(sub);
    return rmdir(dir);
}

/* Record i has a text whose length varies. */
static void record(int i, char out[160])
{
    int used = snprintf(out, 160, JOURNAL_OPENING "t\",\"index\":%d,\"text\":\"", i);
    for (int k = 0; k < 5 + i * 13 % 90; k++) out[used++] = (char)('a' + (i + k) % 26);
    strcpy(out + used, "\"}");
}

/* Visit: the lines must be records 0, 1, 2, ... */
static int count_lines(void *arg, const char *line, size_t size, int64_t number, pal_error *e)
{
    (void)e;
    char expected[160];
    record(*(int *)arg, expected);
    assert_memory_equal(line, expected, strlen(expected) - 1);
    assert_int_equal(strlen(line), size);
    assert_int_equal(number, *(int *)arg + 1);
    ++*(int *)arg;
    return PAL_OK;
}

static journal *open_counted(int *lines, size_t *cut)
{
    journal *j = NULL;
    *lines = 0;
    *cut = 12345;
    assert_int_equal(journal_open(&j, path, count_lines, lines, cut, &err), PAL_OK);
    return j;
}

static void append(journal *j, int i)
{
    char text[160];
    record(i, text);
    assert_int_equal(journal_append(j, text, &err), PAL_OK);
}

static void write_records(int count)
{
    int lines;
    size_t cut;
    unlink(path);
    journal *j = open_counted(&lines, &cut);
    assert_int_equal(lines, 0);
    for (int i = 0; i < count; i++) append(j, i);
    journal_close(j);
}

static void slurp(char **data, size_t *size)
{
    assert_int_equal(os_read_file(path, data, size, &err), PAL_OK);
}

static void spill(const char *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

static void test_append_and_read(void **state)
{
    (void)state;
    int lines = 0;
    assert_int_equal(journal_read(path, count_lines, &lines, &err), PAL_OK); /* no file yet */
    assert_int_equal(lines, 0);
    write_records(20);
    assert_int_equal(journal_read(path, count_lines, &lines, &err), PAL_OK);
    assert_int_equal(lines, 20);
    size_t cut;
    journal *j = open_counted(&lines, &cut);
    assert_int_equal(lines, 20);
    assert_int_equal(cut, 0);
    append(j, 20);
    journal_close(j);
    lines = 0;
    assert_int_equal(journal_read(path, count_lines, &lines, &err), PAL_OK);
    assert_int_equal(lines, 21);

    /* The CRC is zlib's of the bytes before its member: known answer from Python's zlib.crc32. */
    unlink(path);
    j = open_counted(&lines, &cut);
    assert_int_equal(journal_append(j, "{\"a\":1}", &err), PAL_OK);
    journal_close(j);
    char *data;
    size_t size;
    slurp(&data, &size);
    assert_string_equal(data, "{\"a\":1,\"crc32\":\"a702fc6e\"}\n");
    free(data);
}

/* The last record cut at every byte: it alone is lost, and the journal goes on. */
static void test_torn_tail(void **state)
{
    (void)state;
    write_records(4);
    char *data;
    size_t size, whole;
    slurp(&data, &size);
    whole = size - 1;
    while (data[whole - 1] != '\n') whole--; /* where the last record begins */
    for (size_t keep = whole; keep < size; keep++) {
        spill(data, keep);
        int lines = 0;
        assert_int_equal(journal_read(path, count_lines, &lines, &err), PAL_OK);
        assert_int_equal(lines, 3);
        size_t cut;
        journal *j = open_counted(&lines, &cut);
        assert_int_equal(lines, 3);
        assert_int_equal(cut, keep - whole);
        append(j, 3);
        journal_close(j);
        char *again;
        size_t again_size;
        slurp(&again, &again_size);
        assert_int_equal(again_size, size);
        assert_memory_equal(again, data, size);
        free(again);
    }
    /* Blocks that never reached the disk read as zeros, and a flipped bit in the last line counts as torn too. */
    memset(data + size - 10, 0, 10);
    spill(data, size);
    int lines;
    size_t cut;
    journal_close(open_counted(&lines, &cut));
    assert_int_equal(lines, 3);
    assert_int_equal(cut, size - whole);
    free(data);
}

/* Any byte flipped before the last record is damage: nothing is cut, and the line is named. */
static void test_flipped_byte(void **state)
{
    (void)state;
    write_records(4);
    char *data;
    size_t size;
    slurp(&data, &size);
    size_t last = size - 1;
    while (data[last - 1] != '\n') last--;
    int line = 1;
    for (size_t at = 0; at < last; at++) {
        data[at] ^= 0x04;
        spill(data, size);
        journal *j = NULL;
        size_t cut;
        assert_int_equal(journal_open(&j, path, NULL, NULL, &cut, &err), PAL_DATA);
        char place[160];
        snprintf(place, sizeof place, "%s:%d:", path, line);
        assert_non_null(strstr(err.text, place));
        assert_int_equal(journal_read(path, NULL, NULL, &err), PAL_DATA);
        char *again;
        size_t again_size;
        slurp(&again, &again_size);
        assert_int_equal(again_size, size);
        assert_memory_equal(again, data, size);
        free(again);
        data[at] ^= 0x04;
        if (data[at] == '\n') line++;
    }
    free(data);
}

static void test_one_writer(void **state)
{
    (void)state;
    write_records(2);
    int lines;
    size_t cut;
    journal *first = open_counted(&lines, &cut), *second = NULL;
    assert_int_equal(journal_open(&second, path, NULL, NULL, &cut, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "in use"));
    assert_int_equal(journal_read(path, NULL, NULL, &err), PAL_OK); /* reading needs no lock */
    append(first, 2);
    journal_close(first);
    journal_close(open_counted(&lines, &cut));
    assert_int_equal(lines, 3);
}

/* ---- Faults ---- */

static size_t room;  /* bytes the disk still takes */
static size_t slice; /* bytes one write takes at most */
static int refuse_open, refuse_sync, slow;

static int faulty_open(const char *name, int flags, mode_t mode)
{
    if (refuse_open && strstr(name, "j.jsonl")) {
        errno = EROFS;
        return -1;
    }
    return os_system.open(name, flags, mode);
}

static ssize_t faulty_write(int fd, const void *data, size_t size)
{
    if (room == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (size > room) size = room;
    if (size > slice) size = slice;
    room -= size;
    if (slow) usleep(100);
    return os_system.write(fd, data, size);
}

static int faulty_sync(int fd)
{
    if (!refuse_sync) return os_system.fsync(fd);
    errno = EIO;
    return -1;
}

static os_table faulty(void)
{
    os_table table = os_system;
    table.open = faulty_open;
    table.write = faulty_write;
    table.fsync = faulty_sync;
    room = slice = SIZE_MAX;
    refuse_open = refuse_sync = slow = 0;
    return table;
}

static void test_disk_full(void **state)
{
    (void)state;
    const os_table table = faulty();
    char text[160];
    record(2, text);
    const size_t size = strlen(text) + 20;
    for (size_t budget = 0; budget < size; budget += 7) {
        write_records(2);
        int lines;
        size_t cut;
        journal *j = open_counted(&lines, &cut);
        os_use(&table);
        room = budget;
        assert_int_equal(journal_append(j, text, &err), PAL_INTERNAL);
        assert_non_null(strstr(err.text, "No space"));
        room = SIZE_MAX;
        assert_int_equal(journal_append(j, text, &err), PAL_INTERNAL); /* it stays closed to writing */
        os_use(NULL);
        journal_close(j);
        j = open_counted(&lines, &cut);
        assert_int_equal(lines, 2);
        assert_int_equal(cut, 0);
        append(j, 2);
        journal_close(j);
    }
}

static void test_read_only_and_io_error(void **state)
{
    (void)state;
    write_records(2);
    const os_table table = faulty();
    os_use(&table);
    refuse_open = 1;
    journal *j = NULL;
    size_t cut;
    assert_int_equal(journal_open(&j, path, NULL, NULL, &cut, &err), PAL_INTERNAL);
    assert_non_null(strstr(err.text, "Read-only"));
    assert_non_null(strstr(err.text, "results="));
    refuse_open = 0;
    int lines;
    j = open_counted(&lines, &cut);
    refuse_sync = 1;
    char text[160];
    record(2, text);
    assert_int_equal(journal_append(j, text, &err), PAL_INTERNAL);
    journal_close(j);
    os_use(NULL);
    journal_close(open_counted(&lines, &cut));
    assert_int_equal(lines, 2);
}

/* ---- kill -9 ---- */

/* Append records from `first` on for ever, telling the pipe of each that is acknowledged. Writes come in slow
 * small slices, so that the kill often falls inside a record. */
static void append_until_killed(int pipe_end, int first)
{
    const os_table table = faulty();
    os_use(&table);
    slice = 11;
    slow = 1;
    journal *j = NULL;
    size_t cut;
    if (journal_open(&j, path, NULL, NULL, &cut, &err) != PAL_OK) _exit(1);
    for (int i = first;; i++) {
        char text[160];
        record(i, text);
        if (journal_append(j, text, &err) != PAL_OK || write(pipe_end, &i, sizeof i) != sizeof i) _exit(1);
    }
}

static void test_kill(void **state)
{
    (void)state;
    unlink(path);
    rng draw = rng_make(11, "kill", 0, 0);
    int lines = 0, torn = 0;
    size_t cut;
    journal_close(open_counted(&lines, &cut));
    for (int round = 0; round < 60; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) append_until_killed(ends[1], lines);
        close(ends[1]);
        int acknowledged = -1, i;
        if (read(ends[0], &i, sizeof i) == sizeof i) acknowledged = i; /* it is under way */
        usleep(rng_below(&draw, 8000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while (read(ends[0], &i, sizeof i) == sizeof i) acknowledged = i;
        close(ends[0]);
        journal_close(open_counted(&lines, &cut)); /* asserts that records are whole and in order */
        assert_true(acknowledged >= 0 && lines >= acknowledged + 1);
        torn += cut > 0;
    }
    assert_true(lines >= 60);
    assert_true(torn > 0); /* otherwise the test did not test much */
}

/* ---- What is not ours, and what is damaged ---- */

static void check_refused(const char *data, size_t size)
{
    journal *j = NULL;
    size_t cut;
    spill(data, size);
    assert_int_equal(journal_open(&j, path, NULL, NULL, &cut, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "not a journal"));
    assert_int_equal(journal_read(path, NULL, NULL, &err), PAL_DATA);
    char *again;
    size_t again_size;
    slurp(&again, &again_size);
    assert_int_equal(again_size, size);
    assert_memory_equal(again, data, size);
    free(again);
}

/* A file of another program at the journal's name is never emptied. */
static void test_foreign_file(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "my notes", "one line\n", "{\"results\": [1, 2]}", "{\"kind\":\"List\",\"items\":[]}\n", "a,b\n1,2\n",
        "{",        "\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i], "{") != 0) check_refused(texts[i], strlen(texts[i]));
    /* What a crash may leave of the first record: its beginning, or zeros. */
    int lines;
    size_t cut;
    spill("{", 1);
    journal_close(open_counted(&lines, &cut));
    assert_int_equal(cut, 1);
    spill("\0\0\0\0", 4);
    journal_close(open_counted(&lines, &cut));
    assert_int_equal(cut, 4);
}

/* A last record that is whole but damaged is named; one that is torn is counted. */
static void test_damaged_tail(void **state)
{
    (void)state;
    int lines;
    size_t cut;
    write_records(2);
    journal *j = open_counted(&lines, &cut);
    assert_int_equal(journal_append(j,
                                    "{\"kind\":\"sample\",\"model\":\"my model\",\"cell\":\"len=1024,depth=0\","
                                    "\"index\":7,\"values\":{}}",
                                    &err),
                     PAL_OK);
    journal_close(j);
    char *data;
    size_t size;
    slurp(&data, &size);
    data[size - 4] ^= 1;
    spill(data, size);
    journal_tail tail;
    lines = 0;
    assert_int_equal(journal_read_tail(path, count_lines, &lines, &tail, &err), PAL_OK);
    assert_int_equal(lines, 2);
    assert_true(tail.whole);
    assert_string_equal(tail.what, "sample 7 of cell len=1024,depth=0, model my model");
    data[size - 4] ^= 1;
    spill(data, size - 9);
    lines = 0;
    assert_int_equal(journal_read_tail(path, count_lines, &lines, &tail, &err), PAL_OK);
    assert_false(tail.whole && tail.what[0] == '\0');
    assert_true(tail.bytes > 0);
    spill(data, size - 60);
    lines = 0;
    assert_int_equal(journal_read_tail(path, count_lines, &lines, &tail, &err), PAL_OK);
    assert_false(tail.whole);
    j = open_counted(&lines, &cut);
    assert_int_equal(journal_cut(j)->bytes, cut);
    assert_true(cut > 0);
    journal_close(j);
    free(data);
}

/* A directory that is moved or removed under a run: one line, and nothing is lost. */
static void test_moved(void **state)
{
    (void)state;
    char moved[160], text[160], *data;
    size_t cut, size;
    int lines;
    snprintf(moved, sizeof moved, "%s.moved", path);
    write_records(2);
    journal *j = open_counted(&lines, &cut);
    assert_int_equal(rename(path, moved), 0);
    record(2, text);
    assert_int_equal(journal_append(j, text, &err), PAL_INTERNAL);
    assert_non_null(strstr(err.text, "was moved"));
    assert_int_equal(journal_append(j, text, &err), PAL_INTERNAL);
    journal_close(j);
    assert_int_equal(rename(moved, path), 0);
    j = open_counted(&lines, &cut);
    assert_int_equal(lines, 3);
    assert_int_equal(cut, 0);

    assert_int_equal(unlink(path), 0);
    record(3, text);
    assert_int_equal(journal_append(j, text, &err), PAL_INTERNAL);
    assert_non_null(strstr(err.text, "was removed"));
    journal_close(j);
    j = open_counted(&lines, &cut);
    assert_int_equal(lines, 4);

    /* Removed, and another file in its place: that stays as it is. */
    assert_int_equal(unlink(path), 0);
    spill("somebody else's", 15);
    record(4, text);
    assert_int_equal(journal_append(j, text, &err), PAL_INTERNAL);
    assert_non_null(strstr(err.text, ".rescued"));
    journal_close(j);
    slurp(&data, &size);
    assert_int_equal(size, 15);
    free(data);
    snprintf(moved, sizeof moved, "%s.rescued", path);
    assert_int_equal(rename(moved, path), 0);
    journal_close(open_counted(&lines, &cut));
    assert_int_equal(lines, 5);
}

static void test_pipe(void **state)
{
    (void)state;
    journal *j = NULL;
    size_t cut;
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(journal_open(&j, path, NULL, NULL, &cut, &err), PAL_DATA);
    assert_int_equal(journal_read(path, NULL, NULL, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "a pipe"));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_read),
        cmocka_unit_test(test_torn_tail),
        cmocka_unit_test(test_flipped_byte),
        cmocka_unit_test(test_one_writer),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_read_only_and_io_error),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_foreign_file),
        cmocka_unit_test(test_damaged_tail),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_pipe),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
