/* Names that are not UTF-8, and whole text files with and without a byte order mark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void names_are_shown_so_that_they_differ(void **state)
{
    (void)state;
    static const struct {
        const char *name, *shown;
        int valid;
    } all[] = {
        {"plain name.txt", "plain name.txt", 1}, {"\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9", 1},
        {"ol\xe9.txt", "ol\\xe9.txt", 0},        {"\xff\xfe", "\\xff\\xfe", 0},
        {"cut \xe2\x80", "cut \\xe2\\x80", 0},   {"a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f", 1},
        {"\xc2\x85", "\\xc2\\x85", 1},           {"back\\slash", "back\\x5cslash", 1},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", 0},  {"", "", 1},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char out[UTF8_ESCAPED];
        pal_error err;
        assert_string_equal(utf8_escape(all[i].name, out, sizeof out), all[i].shown);
        assert_int_equal(utf8_check_name("the argument", all[i].name, PAL_USAGE, &err),
                         all[i].valid ? PAL_OK : PAL_USAGE);
        if (all[i].valid) continue;
        snprintf(out, sizeof out, "%s: the argument is not UTF-8; rename it", all[i].shown);
        assert_string_equal(err.text, out);
    }
    char small[6];
    assert_string_equal(utf8_escape("abcdefgh", small, sizeof small), "abcde");
    assert_string_equal(utf8_escape("abc\xe9zz", small, sizeof small), "abc");
    assert_string_equal(utf8_escape("abcd\xc3\xa9", small, sizeof small), "abcd");
}

static void whole_files_follow_the_rule(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        const char *text, *said;
    } all[] = {
        {"a = 1\n", 6, "a = 1\n", NULL},
        {"\xEF\xBB\xBF"
         "a = 1\n",
         9, "a = 1\n", NULL},
        {"\xEF\xBB\xBF\xEF\xBB\xBF", 6, "\xEF\xBB\xBF", NULL},
        {"", 0, "", NULL},
        {"\xEF\xBB\xBF"
         "ab\xE9",
         6, NULL, "byte offset 5: not UTF-8"},
        {"ab\xC3", 3, NULL, "byte offset 2: not UTF-8"},
        {"\xFF\xFE"
         "a\0",
         4, NULL, "is UTF-16"},
        {"\xFE\xFF"
         "\0a",
         4, NULL, "is UTF-16"},
    };
    char path[] = "/tmp/palimpsest-utf8-XXXXXX";
    assert_true(mkstemp(path) >= 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        pal_error err;
        char *text;
        size_t size;
        assert_int_equal(os_write_file(path, all[i].data, all[i].size, &err), PAL_OK);
        const int code = utf8_read_file(path, &text, &size, &err);
        assert_int_equal(code, all[i].text ? PAL_OK : PAL_DATA);
        if (code != PAL_OK) {
            assert_non_null(strstr(err.text, all[i].said));
            assert_non_null(strstr(err.text, path));
            continue;
        }
        assert_int_equal(size, strlen(all[i].text));
        assert_string_equal(text, all[i].text);
        free(text);
    }
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_shown_so_that_they_differ),
        cmocka_unit_test(whole_files_follow_the_rule),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
