/* Quoting: every language's function, on names that try to leave their field. Running programs: their words reach
 * them as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/csv.h"
#include "harness/base/os.h"
#include "harness/base/process.h"
#include "harness/base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void put(FILE *, const char *);

static void expect(put *quote, const char *text, const char *wanted)
{
    char *got = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&got, &size);
    assert_non_null(out);
    quote(out, text);
    fclose(out);
    assert_string_equal(got, wanted);
    free(got);
}

static void test_csv(void **state)
{
    (void)state;
    expect(text_csv, "", "");
    expect(text_csv, "plain name", "plain name");
    expect(text_csv, "a,b", "\"a,b\"");
    expect(text_csv, "say \"x\"", "\"say \"\"x\"\"\"");
    expect(text_csv, "two\nlines", "\"two\nlines\"");
    expect(text_csv, "cr\rhere", "\"cr\rhere\"");
    expect(text_csv, "=1+1", "'=1+1");
    expect(text_csv, "+1", "'+1");
    expect(text_csv, "-rf", "'-rf");
    expect(text_csv, "@SUM(A1)", "'@SUM(A1)");
    expect(text_csv, "\t=1", "'\t=1");
    expect(text_csv, "'quoted", "''quoted"); /* so that one apostrophe can always be taken away again */
    expect(text_csv, "=a,b", "\"'=a,b\"");
    expect(text_csv, "a=b", "a=b");
}

static void test_json(void **state)
{
    (void)state;
    expect(text_json, "a\"b\\c", "\"a\\\"b\\\\c\"");
    expect(text_json, "\n\t\x01", "\"\\u000a\\u0009\\u0001\"");
    expect(text_json, "ä\xFFz", "\"ä\xEF\xBF\xBDz\"");
    expect(text_json, "\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""); /* a surrogate */
    expect(text_json, "\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");                 /* an overlong '/' */
}

static void test_markup(void **state)
{
    (void)state;
    expect(text_markdown, "a|b*c_<d>\n`", "a\\|b\\*c\\_\\<d\\> \\`");
    expect(text_markdown, "[x](y) ~~z~~ &amp; $1$", "\\[x\\](y) \\~\\~z\\~\\~ \\&amp; \\$1\\$");
    expect(text_latex, "\\input{x} 5% a_b #1 $x^2$ ~ <>|",
           "\\textbackslash{}input\\{x\\} 5\\% a\\_b \\#1 "
           "\\$x\\textasciicircum{}2\\$ \\textasciitilde{} "
           "\\textless{}\\textgreater{}\\textbar{}");
    expect(text_html, "<b onclick=\"x\" a='y'>&\x01", "&lt;b onclick=&quot;x&quot; a=&#39;y&#39;&gt;&amp;?");
}

static void test_plot_fields(void **state)
{
    (void)state;
    expect(text_plot, "a\tb\nc",
           "\"a\xE2\x90\x89"
           "b\xE2\x90\x8A"
           "c\"");
    expect(text_plot, "say \"x\" # no", "\"say \xE2\x80\x9Dx\xE2\x80\x9D # no\"");
    expect(text_plot, "a\\n", "\"a\\\\n\"");
    expect(text_plot, "\x7F\xFF", "\"\xE2\x90\xA1\xEF\xBF\xBD\"");
}

static void test_numbers(void **state)
{
    (void)state;
    char *got = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&got, &size);
    text_number(out, 0.1);
    text_number(out, NAN);
    text_number(out, INFINITY);
    text_bytes(out, 1023);
    text_bytes(out, 1536 * 1024.0);
    fclose(out);
    assert_string_equal(got, "0.11023 B1.5 MiB");
    free(got);
}

static void expect_id(const char *name, const char *wanted)
{
    char out[TEXT_ID];
    assert_string_equal(text_id(name, out), wanted);
}

static void test_file_names(void **state)
{
    (void)state;
    expect_id("novels/test", "novels-test");
    expect_id("infini-delta_2.k", "infini-delta_2.k");
    /* Whatever else there is gives way, and the name's hash keeps such names apart. */
    static const char *const hostile[] = {"a b",  "a'b",  "a\"b", "a$(touch x)b", "a`b`", "a;b",
                                          "a\nb", "a,b",  "a|b",  "a&b",          "a=b",  "-a",
                                          "<a",   "../a", "/a",   "a/b/c",        ".a",   ""};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        char id[TEXT_ID], other[TEXT_ID];
        text_id(hostile[i], id);
        assert_true(strlen(id) > 0);
        assert_int_equal(strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789.-_"), strlen(id));
        assert_null(strchr(".-", id[0]));
        for (size_t k = 0; k < i; k++) assert_string_not_equal(id, text_id(hostile[k], other));
    }
    char many[300];
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    char id[TEXT_ID], other[TEXT_ID];
    text_id(many, id);
    many[sizeof many - 2] = 'y';
    assert_string_not_equal(id, text_id(many, other));
    assert_true(strlen(id) < TEXT_ID);
}

/* ---- CSV that is read back ---- */

static int read_csv(csv_table *t, const char *text, pal_error *err)
{
    char path[] = "/tmp/pal-csv-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(os_write_file(path, text, strlen(text), err), PAL_OK);
    const int code = csv_read(t, path, err);
    unlink(path);
    return code;
}

/* What text_csv writes comes back as it was, whatever it holds. */
static void test_csv_round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = {"plain", "a,b", "say \"x\"", "two\nlines", "=1+1", "'quoted",
                                        "''",    "-x",  "@y",        "\t",         ""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *written = NULL;
        size_t size = 0;
        csv_table t;
        pal_error err;
        FILE *out = open_memstream(&written, &size);
        fputs("first,name,last\n1,", out);
        text_csv(out, texts[i]);
        fputs(",2.5\n", out);
        fclose(out);
        assert_int_equal(read_csv(&t, written, &err), PAL_OK);
        assert_int_equal(t.rows, 1);
        assert_string_equal(csv_text(&t, 0, csv_column(&t, "name")), texts[i]);
        assert_true(csv_number(&t, 0, csv_column(&t, "last")) == 2.5);
        assert_true(isnan(csv_number(&t, 0, csv_column(&t, "none"))));
        assert_string_equal(csv_text(&t, 1, 0), "");
        csv_free(&t);
        free(written);
    }
}

static void test_csv_forms(void **state)
{
    (void)state;
    csv_table t;
    pal_error err;
    assert_int_equal(read_csv(&t, "a,b\r\n1,\"2\"\r\n3,", &err), PAL_OK); /* CR LF, and no newline at the end */
    assert_int_equal(t.rows, 2);
    assert_string_equal(csv_text(&t, 0, csv_column(&t, "b")), "2");
    assert_string_equal(csv_text(&t, 1, 1), "");
    csv_free(&t);
    assert_int_equal(read_csv(&t, "", &err), PAL_OK);
    assert_int_equal(t.rows, 0);
    csv_free(&t);
    static const char *const bad[] = {"a,b\n1\n", "a,b\n1,2,3\n", "a\n\"open\n", "a,b\n\"x\"y,2\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_csv(&t, bad[i], &err), PAL_DATA);
        assert_non_null(strstr(err.text, "row 2"));
    }
}

/* ---- Programs ---- */

/* Words that a shell would act on reach the program as they are; so do those of text_shell through a shell. */
static void test_words_reach_the_program(void **state)
{
    (void)state;
    static const char *const hostile[] = {"a b",  "it's", "say \"x\"", "$(touch x)", "`touch x`", ";touch x",
                                          "a\nb", "a,b",  "a|b",       "a&b",        "k=v",       "-n",
                                          "<x",   "*",    "~",         "",           "\\"};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        char *command = NULL, said[100];
        size_t size = 0;
        int status = -2;
        pal_error err;
        const char *const direct[] = {"sh", "-c", "printf %s \"$1\" >&2", "sh", hostile[i], NULL};
        assert_int_equal(process_run(direct, NULL, &status, said, sizeof said, &err), PAL_OK);
        assert_int_equal(status, 0);
        assert_string_equal(said, hostile[i]);
        FILE *line = open_memstream(&command, &size);
        fputs("printf %s ", line);
        text_shell(line, hostile[i]);
        fputs(" >&2", line);
        fclose(line);
        const char *const typed[] = {"sh", "-c", command, NULL};
        assert_int_equal(process_run(typed, NULL, &status, said, sizeof said, &err), PAL_OK);
        assert_string_equal(said, hostile[i]);
        free(command);
    }
    expect(text_shell, "model=a-b_c/d.x", "model=a-b_c/d.x"); /* nothing is quoted without need */
}

static void test_program_in_a_folder(void **state)
{
    (void)state;
    char folder[] = "/tmp/pal 'text'-XXXXXX", said[200];
    int status;
    pal_error err;
    assert_non_null(mkdtemp(folder));
    const char *const where[] = {"sh", "-c", "pwd >&2; read x || echo nothing to read >&2; exit 3", NULL};
    assert_int_equal(process_run(where, folder, &status, said, sizeof said, &err), PAL_OK);
    assert_int_equal(status, 3);
    char wanted[200];
    snprintf(wanted, sizeof wanted, "%s\nnothing to read\n", folder);
    assert_string_equal(said, wanted);
    rmdir(folder);
    const char *const none[] = {"no-such-program-anywhere", NULL};
    assert_int_equal(process_run(none, NULL, &status, said, sizeof said, &err), PAL_OK);
    assert_int_equal(status, PROCESS_MISSING);
    const char *const killed[] = {"sh", "-c", "kill -9 $$", NULL};
    assert_int_equal(process_run(killed, NULL, &status, said, sizeof said, &err), PAL_OK);
    assert_int_equal(status, PROCESS_KILLED);
    /* More than fits is dropped, and the program is not kept waiting for a reader. */
    const char *const chatty[] = {"sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x >&2", NULL};
    assert_int_equal(process_run(chatty, NULL, &status, said, sizeof said, &err), PAL_OK);
    assert_int_equal(status, 0);
    assert_int_equal(strlen(said), sizeof said - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_markup),
        cmocka_unit_test(test_plot_fields),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_file_names),
        cmocka_unit_test(test_csv_round_trip),
        cmocka_unit_test(test_csv_forms),
        cmocka_unit_test(test_words_reach_the_program),
        cmocka_unit_test(test_program_in_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
