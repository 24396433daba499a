/* The safetensors container: files of other programs, malformed ones, and our own layout. */
#include "tests/lib/weights_lab.h"

#include "harness/base/os.h"

#include <math.h>
#include <unistd.h>

/* A file from a header and data as another program would write it, without padding. */
static void write_foreign(const char *header, const void *data, size_t size)
{
    char file[4096] = {0};
    const size_t length = strlen(header);
    assert_true(8 + length + size <= sizeof file);
    for (int i = 0; i < 8; i++) file[i] = (char)(length >> (8 * i));
    memcpy(file + 8, header, length);
    if (size) memcpy(file + 8 + length, data, size);
    write_bytes(file, 8 + length + size);
}

static void test_foreign_file(void **state)
{
    (void)state;
    pal_error err;
    st_file f;
    static const unsigned char data[] = {
        7,    255,                                /* U8 */
        0,    0,    0x80, 0x3f, 0, 0, 0x20, 0xc0, /* F32 1, -2.5 */
        0x80, 0x3f,                               /* BF16 1 */
        0xfe, 0xff, 0xff, 0xff,                   /* I32 -2 */
        0,    0,    0,    0,    0, 0, 0xf8, 0x3f, /* F64 1.5 */
        0,    0,    0,    0,    1, 0, 0,    0,    /* I64 2^32 */
    };
    write_foreign("{\"u\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                  "\"l\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[24,32]},"
                  "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[2,2]},"
                  "\"f\":{\"dtype\":\"F32\",\"shape\":[1,2,1],\"data_offsets\":[2,10]},"
                  "\"h\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[10,12]},"
                  "\"i\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[12,16]},"
                  "\"d\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[16,24]},"
                  "\"__metadata__\":{\"format\":\"pt\",\"who\":\"they\"}}  ",
                  data, sizeof data);
    must(st_read(path, &f, &err));
    assert_int_equal(f.count, 7);
    assert_true(st_value(st_find(&f, "u"), 1) == 255);
    assert_true(st_value(st_find(&f, "f"), 0) == 1);
    assert_true(st_value(st_find(&f, "f"), 1) == -2.5);
    assert_true(st_value(st_find(&f, "h"), 0) == 1);
    assert_true(st_value(st_find(&f, "i"), 0) == -2);
    assert_true(st_value(st_find(&f, "d"), 0) == 1.5);
    assert_true(st_value(st_find(&f, "l"), 0) == 4294967296.0);
    assert_int_equal(st_find(&f, "i")->dims, 0);
    assert_int_equal(st_find(&f, "f")->dims, 3);
    assert_int_equal(st_find(&f, "empty")->bytes, 0);
    assert_null(st_find(&f, "missing"));
    assert_null(f.config);
    assert_string_equal(kv_pairs_value(&f.metadata, "who"), "they");
    char hex[HASH_HEX];
    hash_hex(f.buffer, f.size, hex);
    assert_string_equal(f.digest, hex);
    st_free(&f);
}

#define ONE(dtype, shape, offsets)                                                                                \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(offsets_a, offsets_b)                                                                                 \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" offsets_a                                          \
    "},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" offsets_b "}}"

static void test_malformed_files(void **state)
{
    (void)state;
    static const struct {
        const char *header, *message;
    } cases[] = {
        {"", "the header is not JSON"},
        {"{\"t\":", "the header is not JSON"},
        {"[]", "the header is not a JSON object"},
        {"{}", "8 bytes behind the last tensor belong to none"},
        {"{\"t\":3}", "tensor \"t\" lacks a dtype, a shape or two data_offsets"},
        {"{\"__metadata__\":3}", "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"a\":3}}", "__metadata__ \"a\" is not a string"},
        {"{\"__metadata__\":{\"format\":\"palimpsest\"}}", "its SHA-256 is missing from the header"},
        {"{\"__metadata__\":{\"sha256\":\"abc\"}}", "content does not match its SHA-256"},
        {ONE("F8_E4M3", "[8]", "[0,8]"), "tensor \"t\" has dtype F8_E4M3; convert it to F32, F16 or BF16"},
        {ONE("F32", "[-2]", "[0,8]"), "tensor \"t\" has an impossible shape"},
        {ONE("F32", "[2.0]", "[0,8]"), "tensor \"t\" has an impossible shape"},
        {ONE("F32", "[4294967296,4294967296]", "[0,8]"), "tensor \"t\" has an impossible shape"},
        {ONE("F32", "[1,1,1,1,2]", "[0,8]"), "tensor \"t\" has 5 dimensions; up to 4"},
        {ONE("F32", "2", "[0,8]"), "tensor \"t\" lacks a dtype, a shape or two data_offsets"},
        {ONE("F32", "[2]", "[0]"), "tensor \"t\" lacks a dtype, a shape or two data_offsets"},
        {ONE("F32", "[2]", "[0,8,9]"), "tensor \"t\" lacks a dtype, a shape or two data_offsets"},
        {ONE("F32", "[2]", "[-8,0]"), "tensor \"t\" lacks a dtype, a shape or two data_offsets"},
        {ONE("F32", "[2]", "[8,0]"), "the file is cut short"},
        {ONE("F32", "[4]", "[0,16]"), "tensor \"t\" lies at bytes 0 to 16 of 8: the file is cut short"},
        {ONE("F32", "[3]", "[0,8]"), "tensor \"t\" has 8 bytes where its shape needs 12"},
        {ONE("U8", "[4]", "[0,4]"), "4 bytes behind the last tensor belong to none"},
        {ONE("U8", "[4]", "[4,8]"), "the data of tensor \"t\" follows a gap"},
        {TWO("[0,4]", "[2,6]"), "the data of tensor \"b\" overlaps another's"},
        {TWO("[0,4]", "[0,4]"), "overlaps another's"},
        {"{\"a\":1,\"a\":2}", "duplicate object key"},
    };
    pal_error err;
    st_file f;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_foreign(cases[i].header, "8 bytes.", 8);
        assert_int_equal(st_read(path, &f, &err), PAL_DATA);
        if (!strstr(err.text, cases[i].message)) fail_msg("%s\nwas the answer to %s", err.text, cases[i].header);
        assert_non_null(strstr(err.text, path));
    }
    char header[400], name[200];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", name);
    write_foreign(header, "8 bytes.", 8);
    assert_int_equal(st_read(path, &f, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "is longer than 127 characters"));
    write_bytes("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    assert_int_equal(st_read(path, &f, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "the file has 10: cut short, or no safetensors file"));
    assert_int_equal(st_read("/nowhere/x", &f, &err), PAL_DATA);
}

/* Half precision: signs, the smallest and largest numbers, subnormal ones. */
static void test_half_precision(void **state)
{
    (void)state;
    pal_error err;
    st_file f;
    static const uint16_t bits[] = {0x3c00, 0xc100, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x8000, 0x2e66};
    static const double values[] = {1, -2.5, 0x1p-24, 1023 * 0x1p-24, 0x1p-14, 65504, 0, 1638 * 0x1p-14};
    write_foreign("{\"t\":{\"dtype\":\"F16\",\"shape\":[2,4],\"data_offsets\":[0,16]}}", bits, sizeof bits);
    must(st_read(path, &f, &err));
    real out[8];
    st_values(st_find(&f, "t"), out);
    for (size_t i = 0; i < 8; i++) {
        assert_true(st_value(&f.tensor[0], i) == values[i]);
        assert_true((double)out[i] == values[i]);
    }
    assert_true(signbit(out[6]));
    st_free(&f);
}

/* NaN and infinities of every type, at every place, in tensors that need not be aligned. */
static void test_not_finite(void **state)
{
    (void)state;
    static const struct {
        const char *dtype;
        size_t size;
        uint64_t bits[5];
    } types[] = {
        {"F32", 4, {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffffffff}},
        {"BF16", 2, {0x7f80, 0xff80, 0x7fc0, 0x7f81, 0xffff}},
        {"F16", 2, {0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff}},
        {"F64", 8, {0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, UINT64_MAX}},
    };
    enum { N = 37 };
    pal_error err;
    st_file f;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const size_t size = types[t].size;
        char header[200], data[1 + 8 * N];
        snprintf(header, sizeof header,
                 "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                 "\"t\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[1,%zu]}}",
                 types[t].dtype, N, 1 + N * size);
        for (size_t at = 0; at <= N; at++) { /* at N: none */
            memset(data, 0x11, sizeof data);
            if (at < N) memcpy(data + 1 + at * size, &types[t].bits[at % 5], size);
            write_foreign(header, data, 1 + N * size);
            must(st_read(path, &f, &err));
            size_t index = N;
            assert_int_equal(st_finite(st_find(&f, "t"), &index), at == N);
            assert_int_equal(index, at);
            st_free(&f);
        }
    }
    /* A double too large for the model's numbers. */
    const double large[] = {1, 1e300};
    write_foreign("{\"t\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}", large, sizeof large);
    must(st_read(path, &f, &err));
    size_t index = 9;
    assert_int_equal(st_finite(&f.tensor[0], &index), sizeof(real) == sizeof(double));
    st_free(&f);
}

static size_t peak_mib(void)
{
    return (size_t)(os_peak_rss() >> 20);
}

/* What a header claims costs nothing before it is compared with the file. */
static void test_sparse_files_are_not_read(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        const char *message;
    } cases[] = {
        {NULL, "the header is not JSON"}, /* zeros all over: a header of no bytes */
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1073741824],\"data_offsets\":[0,4294967296]}}", "belong to none"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[16],\"data_offsets\":[6000000000,6000000064]}}", "follows a gap"},
    };
    pal_error err;
    st_file f;
    const size_t before = peak_mib();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_foreign(cases[i].header ? cases[i].header : "", NULL, 0);
        if (truncate(path, (off_t)6 << 30) != 0) skip(); /* a file system without sparse files */
        assert_int_equal(st_read(path, &f, &err), PAL_DATA);
        if (!strstr(err.text, cases[i].message)) fail_msg("%s", err.text);
    }
    write_bytes("\xff\xff\xff\x7f\0\0\0\0", 8); /* a header of 2 GiB, in the file but longer than headers are */
    assert_int_equal(truncate(path, (off_t)6 << 30), 0);
    assert_int_equal(st_read(path, &f, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "the header should have"));
    /* A header in order opens at once, however large the data. */
    write_foreign("{\"t\":{\"dtype\":\"U8\",\"shape\":[6442450944],\"data_offsets\":[0,6442450944]}}", NULL, 0);
    assert_int_equal(truncate(path, ((off_t)6 << 30) + 8 + 71), 0);
    if (st_open(path, &f, &err) != PAL_OK) fail_msg("%s", err.text);
    st_free(&f);
    write_bytes("", 0);
    assert_true(peak_mib() - before < 64);
}

/* What st_create lays out: aligned data, readable by any reader of the format. */
static void test_own_layout(void **state)
{
    (void)state;
    pal_error err;
    st_file f, back;
    kv_pairs metadata = {0};
    const st_tensor tensors[] = {{.name = "bytes", .dtype = ST_U8, .dims = 1, .dim = {3}},
                                 {.name = "scalar", .dtype = ST_F64, .dims = 0},
                                 {.name = "matrix", .dtype = ST_I32, .dims = 2, .dim = {2, 2}}};
    must(kv_pairs_add(&metadata, "who", "we", "test", &err));
    char config[1000];
    memset(config, 'c', sizeof config);
    config[sizeof config - 1] = 0;
    must(st_create(tensors, 3, config, &metadata, &f, &err));
    memcpy((char *)f.tensor[0].data, "\1\2\3", 3);
    const double half = 0.5;
    memcpy((char *)f.tensor[1].data, &half, sizeof half);
    const int32_t numbers[] = {1, -2, 3, -4};
    memcpy((char *)f.tensor[2].data, numbers, sizeof numbers);
    must(st_write(path, &f, &err));
    assert_int_equal(((const char *)f.tensor[0].data - f.buffer) % 64, 0);

    must(st_read(path, &back, &err));
    assert_string_equal(back.digest, f.digest);
    assert_string_equal(back.config, config);
    assert_string_equal(kv_pairs_value(&back.metadata, "who"), "we");
    assert_null(kv_pairs_value(&back.metadata, "config"));
    assert_null(kv_pairs_value(&back.metadata, "sha256"));
    assert_true(st_value(st_find(&back, "bytes"), 2) == 3);
    assert_true(st_value(st_find(&back, "scalar"), 0) == 0.5);
    assert_true(st_value(st_find(&back, "matrix"), 3) == -4);
    assert_int_equal(back.size, f.size);
    st_free(&back);

    /* Written a second time after a change, it is sealed again. */
    ((char *)f.tensor[0].data)[0] = 9;
    must(st_write(path, &f, &err));
    must(st_read(path, &back, &err));
    assert_true(st_value(st_find(&back, "bytes"), 0) == 9);
    st_free(&back);
    st_free(&f);
    kv_pairs_free(&metadata);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_file),
        cmocka_unit_test(test_malformed_files),
        cmocka_unit_test(test_half_precision),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_sparse_files_are_not_read),
        cmocka_unit_test(test_own_layout),
    };
    return cmocka_run_group_tests_name("safetensors", tests, make_directory, remove_directory);
}
