/* GGUF files made here byte by byte: what is read from good ones, and that every kind of damage is refused.
 * Each flipped or missing byte must give an error or a readable file, never a read outside of it. */
#include "models/files/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct bytes {
    uint8_t data[4096];
    size_t size;
} bytes;

static void put(bytes *b, uint64_t value, int count)
{
    for (int i = 0; i < count; i++) b->data[b->size++] = (uint8_t)(value >> 8 * i);
}

static void put_text(bytes *b, const char *text)
{
    put(b, strlen(text), 8);
    memcpy(b->data + b->size, text, strlen(text));
    b->size += strlen(text);
}

static void put_key(bytes *b, const char *key, int type)
{
    put_text(b, key);
    put(b, (uint64_t)type, 4);
}

static void put_tensor(bytes *b, const char *name, int dims, const uint64_t *dim, uint32_t type, uint64_t offset)
{
    put_text(b, name);
    put(b, (uint64_t)dims, 4);
    for (int i = 0; i < dims; i++) put(b, dim[i], 8);
    put(b, type, 4);
    put(b, offset, 8);
}

/* Six entries and two tensors: a Q8_0 matrix of 2 x 32 and a vector of three floats. */
static void good_file(bytes *b)
{
    const uint64_t matrix[2] = {32, 2}, vector[1] = {3};
    *b = (bytes){0};
    memcpy(b->data, "GGUF", 4);
    b->size = 4;
    put(b, 3, 4);
    put(b, 2, 8);
    put(b, 6, 8);
    put_key(b, "general.architecture", 8);
    put_text(b, "llama");
    put_key(b, "llama.block_count", 4);
    put(b, 30, 4);
    put_key(b, "eps", 6);
    put(b, 0x3727c5ac, 4); /* 1e-5f */
    put_key(b, "add_bos", 7);
    put(b, 1, 1);
    put_key(b, "tokens", 9);
    put(b, 8, 4);
    put(b, 2, 8);
    put_text(b, "a");
    put_text(b, "\xc4\xa0the");
    put_key(b, "types", 9);
    put(b, 5, 4);
    put(b, 2, 8);
    put(b, (uint32_t)-7, 4);
    put(b, 6, 4);
    put_tensor(b, "w", 2, matrix, BLOCK_Q8_0, 0);
    put_tensor(b, "norm", 1, vector, BLOCK_F32, 96);
    while (b->size % 32) put(b, 0, 1);
    for (int row = 0; row < 2; row++) {
        put(b, 0x3c00, 2); /* 1.0 */
        for (int i = 0; i < 32; i++) put(b, (uint64_t)(row ? -i : i), 1);
    }
    while (b->size % 32) put(b, 0, 1);
    put(b, 0x3f800000, 4);
    put(b, 0x40000000, 4);
    put(b, 0x40400000, 4);
}

static void test_reads_values_and_tensors(void **state)
{
    (void)state;
    bytes b;
    gguf_file f;
    pal_error err;
    gguf_value item;
    good_file(&b);
    assert_int_equal(gguf_parse(&f, b.data, b.size, "x.gguf", &err), PAL_OK);
    assert_int_equal(f.version, 3);
    assert_int_equal(gguf_uint(&f, "llama.block_count", 0), 30);
    assert_true((float)gguf_real(&f, "eps", 0) == 1e-5f);
    assert_int_equal(gguf_uint(&f, "add_bos", 0), 1);
    assert_int_equal(gguf_uint(&f, "missing", 17), 17);
    assert_int_equal(gguf_uint(&f, "eps", 17), 17);
    assert_null(gguf_find(&f, "token"));
    const gguf_value *architecture = gguf_find(&f, "general.architecture");
    assert_int_equal(architecture->text.size, 5);
    assert_memory_equal(architecture->text.data, "llama", 5);

    gguf_items tokens = gguf_items_of(gguf_find(&f, "tokens"));
    assert_int_equal(gguf_next(&tokens, &item), 1);
    assert_int_equal(gguf_next(&tokens, &item), 1);
    assert_int_equal(item.text.size, 5);
    assert_memory_equal(item.text.data, "\xc4\xa0the", 5);
    assert_int_equal(gguf_next(&tokens, &item), 0);
    gguf_items types = gguf_items_of(gguf_find(&f, "types"));
    assert_int_equal(gguf_next(&types, &item), 1);
    assert_int_equal(item.integer, -7);

    float row[64];
    const gguf_tensor *w = gguf_find_tensor(&f, "w");
    assert_int_equal(w->dims, 2);
    assert_int_equal(w->values, 64);
    block_expand(w->format, w->data, 64, row);
    assert_true(row[31] == 31 && row[32 + 5] == -5);
    const gguf_tensor *norm = gguf_find_tensor(&f, "norm");
    block_expand(norm->format, norm->data, 3, row);
    assert_true(row[0] == 1 && row[1] == 2 && row[2] == 3);
    assert_null(gguf_find_tensor(&f, "v"));
    gguf_close(&f);
}

static void test_opens_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/palimpsest-gguf-XXXXXX";
    const int fd = mkstemp(path);
    bytes b;
    gguf_file f;
    pal_error err;
    good_file(&b);
    assert_int_equal(write(fd, b.data, b.size), b.size);
    assert_int_equal(gguf_open(&f, path, &err), PAL_OK);
    assert_int_equal(f.tensors, 2);
    gguf_close(&f);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(gguf_open(&f, path, &err), PAL_DATA);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(gguf_open(&f, "/tmp", &err), PAL_DATA);
    close(fd);
    unlink(path);
}

/* Read everything that a parsed file promises, so that a sanitizer sees a promise that lies. */
static double touch(const gguf_file *f)
{
    double sum = 0;
    float block[256];
    gguf_value item;
    for (size_t i = 0; i < f->entries; i++) {
        const gguf_value *v = &f->entry[i].value;
        if (v->kind == GGUF_TEXT)
            for (size_t j = 0; j < v->text.size; j++) sum += v->text.data[j];
        for (gguf_items items = gguf_items_of(v); gguf_next(&items, &item);)
            sum += item.kind == GGUF_TEXT && item.text.size ? item.text.data[item.text.size - 1] : 0;
    }
    for (size_t i = 0; i < f->tensors; i++) {
        const gguf_tensor *t = &f->tensor[i];
        const uint8_t *at = t->data;
        for (uint64_t left = t->values; left > 0; left -= t->format->values, at += t->format->bytes) {
            block_expand(t->format, at, t->format->values, block);
            sum += (double)block[0];
        }
    }
    return sum;
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    bytes b;
    gguf_file f;
    pal_error err;
    good_file(&b);
    for (size_t size = 0; size < b.size; size++) {
        uint8_t *copy = malloc(size + 1); /* of its own size: a sanitizer sees one byte too many */
        memcpy(copy, b.data, size);
        assert_int_equal(gguf_parse(&f, copy, size, "x.gguf", &err), PAL_DATA);
        free(copy);
    }
}

static void test_every_flip_is_harmless(void **state)
{
    (void)state;
    bytes b;
    gguf_file f;
    pal_error err;
    good_file(&b);
    uint8_t *copy = malloc(b.size);
    int refused = 0;
    double sum = 0;
    for (size_t at = 0; at < b.size; at++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, b.data, b.size);
            copy[at] ^= (uint8_t)(1 << bit);
            const int code = gguf_parse(&f, copy, b.size, "x.gguf", &err);
            assert_true(code == PAL_OK || code == PAL_DATA);
            if (code == PAL_OK) sum += touch(&f);
            refused += code == PAL_DATA;
            gguf_close(&f);
        }
    free(copy);
    assert_true(refused > 1000);
    assert_false(sum == 0);
}

static void check_refused(const bytes *b, const char *cause)
{
    gguf_file f;
    pal_error err;
    assert_int_equal(gguf_parse(&f, b->data, b->size, "x.gguf", &err), PAL_DATA);
    assert_memory_equal(err.text, "x.gguf: ", 8);
    if (!strstr(err.text, cause)) fail_msg("\"%s\" does not say \"%s\"", err.text, cause);
}

static void begin(bytes *b, uint64_t tensors, uint64_t entries)
{
    *b = (bytes){0};
    memcpy(b->data, "GGUF", 4);
    b->size = 4;
    put(b, 3, 4);
    put(b, tensors, 8);
    put(b, entries, 8);
}

static void test_lies_are_named(void **state)
{
    (void)state;
    const uint64_t huge[4] = {1ull << 40, 1ull << 40, 1, 1}, odd[1] = {33};
    bytes b;
    begin(&b, 1ull << 60, 0);
    check_refused(&b, "more tensors");
    begin(&b, 0, 1ull << 60);
    check_refused(&b, "more metadata");
    begin(&b, 0, 1);
    put_key(&b, "k", 9);
    put(&b, 10, 4);
    put(&b, 1ull << 62, 8);
    check_refused(&b, "longer than any file");
    begin(&b, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_key(&b, "same", 0);
        put(&b, 1, 1);
    }
    check_refused(&b, "twice");
    begin(&b, 1, 0);
    put_tensor(&b, "w", 2, huge, BLOCK_F32, 0);
    check_refused(&b, "impossible shape");
    begin(&b, 1, 0);
    put_tensor(&b, "w", 1, odd, BLOCK_Q4_0, 0);
    check_refused(&b, "whole number of blocks");
    begin(&b, 1, 0);
    put_tensor(&b, "w", 1, odd, 10, 0);
    check_refused(&b, "Q2_K");
    begin(&b, 1, 0);
    put_tensor(&b, "w", 1, odd, BLOCK_F32, 0);
    check_refused(&b, "outside of the file");
    begin(&b, 0, 0);
    b.data[4] = 9;
    check_refused(&b, "version 9");
    b.data[0] = 'g';
    check_refused(&b, "no GGUF file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_values_and_tensors), cmocka_unit_test(test_opens_a_file),
        cmocka_unit_test(test_every_cut_is_refused),     cmocka_unit_test(test_every_flip_is_harmless),
        cmocka_unit_test(test_lies_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
