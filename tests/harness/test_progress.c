/* The lines of what takes long: times, shares and rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/cli/progress.h"

#include <string.h>

static void test_times(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(progress_format_time(12.4, text), "12 s");
    assert_string_equal(progress_format_time(200, text), "3 min 20 s");
    assert_string_equal(progress_format_time(3900, text), "1 h 05 min");
}

/* Whatever was done, no more than all of it, in a time that is not negative. */
static void test_progress(void **state)
{
    (void)state;
    static const struct {
        double start, done, now;
        const char *name, *unit, *shown;
    } cases[] = {{0, 0, 100, NULL, NULL, "  0.0 %  ? left  note"},
                 {0, 0, 110, NULL, NULL, "  0.0 %  ? left  note"},
                 {0, 50, 110, NULL, NULL, " 25.0 %  30 s left  note"},
                 {50, 100, 110, "eval", "tokens", " 50.0 %  eval  5 tokens/s  20 s left  note"},
                 {0, 200, 110, NULL, NULL, "100.0 %  0 s left  note"},
                 {0, 500, 110, NULL, "tokens", "100.0 %  50 tokens/s  0 s left  note"},
                 {0, 50, 90, NULL, NULL, " 25.0 %  ? left  note"}};
    char text[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const progress p = {.name = cases[i].name,
                            .unit = cases[i].unit,
                            .began = 100,
                            .total = 200,
                            .start = cases[i].start,
                            .done = cases[i].done};
        progress_format(&p, cases[i].now, "note", text, sizeof text);
        assert_string_equal(text, cases[i].shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
