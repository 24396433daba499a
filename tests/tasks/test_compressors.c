/* Compressors in this process: their sizes are those of the programs, where these are installed, and their rows
 * are what sizes come to in bits. */
#include "tests/lib/corpus_fixture.h"

#include "tasks/perplexity/compressors.h"
#include "tasks/perplexity/run.h"

#include <math.h>
#include <sys/stat.h>

/* Bytes that a program makes of a file, or 0 where it is not installed. */
static uint64_t by_program(const char *words, const char *name)
{
    char command[600];
    struct stat info;
    snprintf(command, sizeof command, "%s <'%s' >'%s.out' 2>/dev/null", words, at(name), at(name));
    if (system(command) != 0) return 0;
    snprintf(command, sizeof command, "%s.out", at(name));
    assert_int_equal(stat(command, &info), 0);
    return (uint64_t)info.st_size;
}

static void sizes_are_those_of_the_programs(void **state)
{
    (void)state;
    static const char *const program[] = {"xz -9e -T1 -c", "bzip2 -9 -c"};
    static const size_t sizes[] = {0, 1, 100, 65536, 1200000};
    size_t compared = 0, size;
    char *text = random_text(900000, 11, &size);
    assert_true(size > 1200000);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        put("text", text, sizes[i]);
        for (int c = 0; c < 2; c++) {
            uint64_t mine, theirs = by_program(program[c], "text");
            assert_int_equal(compressor_size((compressor)c, text, sizes[i], &mine, &err), PAL_OK);
            if (theirs == 0) continue;
            assert_int_equal(mine, theirs);
            compared++;
        }
    }
    if (compared == 0) print_message("neither xz nor bzip2 is installed: sizes not compared\n");
    free(text);
}

/* gzip's own format by zlib: what zlib itself unpacks again, with a header of 10 bytes and a trailer of 8. */
static void gzip_is_zlibs(void **state)
{
    (void)state;
    size_t size;
    uint64_t mine;
    char *text = random_text(300000, 12, &size);
    Bytef *packed = malloc(compressBound(size) + 100);
    z_stream z = {.next_in = (Bytef *)text,
                  .avail_in = (uInt)size,
                  .next_out = packed,
                  .avail_out = (uInt)compressBound(size) + 100};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(compressor_size(COMPRESSOR_GZIP, text, size, &mine, &err), PAL_OK);
    assert_int_equal(mine, z.total_out + 18);
    deflateEnd(&z);
    free(packed);
    free(text);
}

/* The rows of a cell: each size as bits, spread over the document's tokens; asked again for a document, the same.
 */
static void rows_are_sizes_in_bits(void **state)
{
    (void)state;
    const task_module *task = task_find("perplexity");
    static const char *const name[] = {"xz -9e", "bzip2 -9", "gzip -9"};
    static char text[2][5000];
    tokenizer *t;
    for (int d = 0; d < 2; d++) {
        for (int i = 0; i < 4999; i++) text[d][i] = (char)("ab cde\n"[(i * (d + 3) + i / 7) % 7]);
        put_text(d ? "set/b.txt" : "set/a.txt", text[d]);
    }
    assert_int_equal(tokenizer_create_bytes(&t, &err), PAL_OK);
    char *request = calloc(1, task->eval->request_bytes);
    kv_pairs pairs = {0};
    assert_int_equal(kv_pairs_add(&pairs, "data", at("set"), "test", &err), PAL_OK);
    assert_int_equal(kv_defaults(task->eval->request_table, task->eval->request_count, request, &err), PAL_OK);
    assert_int_equal(kv_apply(task->eval->request_table, task->eval->request_count, request, &pairs, &err),
                     PAL_OK);
    task_run *run;
    task_rows *rows;
    const task_cell *cell;
    const task_row *row;
    size_t count;
    assert_int_equal(task->eval->begin(request, t, &run, &err), PAL_OK);
    assert_int_equal(task->eval->cells(run, &cell), 1);
    assert_int_equal(task->references->open(run, &rows, &err), PAL_OK);
    assert_int_equal(task->references->list(rows, cell, &row, &count, &err), PAL_OK);
    assert_int_equal(count, 3);
    static const int64_t order[] = {0, 1, 0};
    for (size_t k = 0; k < 3; k++)
        for (size_t r = 0; r < count; r++) {
            double value[TASK_VALUES];
            char record[1000];
            uint64_t size;
            assert_string_equal(row[r].name, name[r]);
            assert_int_equal(task->references->score(rows, r, order[k], value, record, sizeof record, &err),
                             PAL_OK);
            assert_int_equal(compressor_size((compressor)r, text[order[k]], 4999, &size, &err), PAL_OK);
            assert_true(fabs(value[PERPLEXITY_NLL] / log(2) - 8 * (double)size) < 1e-6);
            assert_true(value[PERPLEXITY_BYTES] == 4999 && value[PERPLEXITY_TOKENS] == 4999);
            assert_non_null(strstr(record, order[k] ? "\"document\":\"b\"" : "\"document\":\"a\""));
        }
    task->references->close(rows);
    task->eval->end(run);
    kv_pairs_free(&pairs);
    free(request);
    tokenizer_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(sizes_are_those_of_the_programs),
        WITH_DIR(gzip_is_zlibs),
        WITH_DIR(rows_are_sizes_in_bits),
    };
    return cmocka_run_group_tests_name("compressors", tests, NULL, NULL);
}
