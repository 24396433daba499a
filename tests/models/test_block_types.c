/* GGUF's number types expand to the bits of PyPI's `gguf` (tests/golden/block_types.txt), and halves are exact.
 * The golden file is made by tests/peer/block_types.py. */
#include "models/files/block_types.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LINE_MAX_BYTES = 1 << 15, DATA_MAX = 4096 };

static size_t read_hex(const char *text, uint8_t *out)
{
    size_t count = 0;
    unsigned byte;
    for (; sscanf(text + 2 * count, "%2x", &byte) == 1; count++) {
        assert_true(count < DATA_MAX);
        out[count] = (uint8_t)byte;
    }
    return count;
}

static void test_expands_to_reference_bits(void **state)
{
    (void)state;
    FILE *golden = fopen("tests/golden/block_types.txt", "r");
    assert_non_null(golden);
    static char line[LINE_MAX_BYTES], name[8], in[LINE_MAX_BYTES], out[LINE_MAX_BYTES];
    static uint8_t data[DATA_MAX], expected[DATA_MAX];
    static float values[DATA_MAX / sizeof(float)];
    unsigned type;
    int types = 0;
    for (; fgets(line, sizeof line, golden); types++) {
        assert_int_equal(sscanf(line, "%7s %u %32767s %32767s", name, &type, in, out), 4);
        const block_format *format = block_format_find(type);
        assert_non_null(format);
        assert_string_equal(format->name, name);
        assert_string_equal(block_type_name(type), name);
        const size_t bytes = read_hex(in, data), count = bytes / format->bytes * format->values;
        assert_int_equal(read_hex(out, expected), count * sizeof(float));
        block_expand(format, data, count, values);
        assert_memory_equal(values, expected, count * sizeof(float));
    }
    fclose(golden);
    assert_int_equal(types, 10);
}

static void test_halves_are_exact(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        const int exponent = bits >> 10 & 31, fraction = bits & 1023;
        const float value = half_value((uint16_t)bits);
        double exact = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        if (bits & 0x8000) exact = -exact;
        if (exponent == 31 && fraction)
            assert_true(isnan(value));
        else if (exponent == 31)
            assert_true(isinf(value) && (value < 0) == (bits >= 0x8000));
        else
            assert_true(value == exact && !signbit(value) == !signbit(exact));
    }
}

/* At any length and place: a bf16 number is the upper half of a float. */
static void test_bf16_is_half_a_float(void **state)
{
    (void)state;
    enum { MOST = 53 };
    uint8_t data[2 * MOST + 1];
    float out[MOST + 1];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 89 + 7);
    for (size_t count = 0; count <= MOST; count++)
        for (size_t at = 0; at < 2 && at + 2 * count <= sizeof data; at++) {
            out[count] = 77;
            block_expand(block_format_find(BLOCK_BF16), data + at, count, out);
            for (size_t i = 0; i < count; i++) {
                uint32_t bits;
                memcpy(&bits, &out[i], sizeof bits);
                assert_int_equal(bits, (uint32_t)data[at + 2 * i] << 16 | (uint32_t)data[at + 2 * i + 1] << 24);
            }
            assert_true(out[count] == 77);
        }
}

static void test_unreadable_types_have_names(void **state)
{
    (void)state;
    assert_null(block_format_find(10));
    assert_string_equal(block_type_name(10), "Q2_K");
    assert_null(block_format_find(4));
    assert_null(block_format_find(UINT32_MAX));
    assert_string_equal(block_type_name(UINT32_MAX), "unknown");
}

/* The first block that expands to a number that is not finite, by expanding all. */
static size_t first_wild(const block_format *format, const uint8_t *data, size_t count)
{
    static float values[DATA_MAX];
    block_expand(format, data, count, values);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return i / format->values * format->values;
    return count;
}

/* Whatever two bytes of a block say: infinity, a NaN, the largest half, or nothing of the kind. */
static void test_numbers_that_are_none_are_found_unexpanded(void **state)
{
    (void)state;
    static const uint16_t bits[] = {0x7c00, 0xfc01, 0x7bff, 0x7f80, 0xffc0, 0x3c00};
    enum { BLOCKS = 3 };
    int found = 0;
    for (uint32_t type = 0; type < 40; type++) {
        const block_format *format = block_format_find(type);
        if (!format) continue;
        uint8_t data[BLOCKS * 256] = {0};
        const size_t count = BLOCKS * format->values;
        for (size_t b = 0; b < sizeof bits / sizeof bits[0]; b++)
            for (size_t at = 0; at + 2 <= BLOCKS * format->bytes; at += 2) {
                memset(data, 0x11, sizeof data);
                memcpy(data + at, &bits[b], sizeof bits[b]);
                const size_t wild = first_wild(format, data, count);
                assert_int_equal(block_first_wild(format, data, count), wild);
                found += wild < count;
            }
    }
    assert_true(found > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expands_to_reference_bits),
        cmocka_unit_test(test_halves_are_exact),
        cmocka_unit_test(test_bf16_is_half_a_float),
        cmocka_unit_test(test_unreadable_types_have_names),
        cmocka_unit_test(test_numbers_that_are_none_are_found_unexpanded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
