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

static void test_unreadable_types_have_names(void **state)
{
    (void)state;
    assert_null(block_format_find(10));
    assert_string_equal(block_type_name(10), "Q2_K");
    assert_null(block_format_find(4));
    assert_null(block_format_find(UINT32_MAX));
    assert_string_equal(block_type_name(UINT32_MAX), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expands_to_reference_bits),
        cmocka_unit_test(test_halves_are_exact),
        cmocka_unit_test(test_unreadable_types_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
