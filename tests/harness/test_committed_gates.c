/* The gates on the committed journals: losses that grew must fail `compare`, and the audit must be what is
 * committed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/journal/journal.h"
#include "tests/lib/program.h"

#include <jansson.h>
#include <math.h>

#define JOURNAL "results/reference/perplexity-journal.jsonl"

/* A journal being written whose losses are `factor` times those that are read. */
typedef struct scaled {
    journal *out;
    double factor;
} scaled;

static int no_visit(void *arg, const char *line, size_t size, int64_t number, pal_error *e)
{
    (void)arg, (void)line, (void)size, (void)number, (void)e;
    return PAL_OK;
}

static int scale_line(void *arg, const char *line, size_t size, int64_t number, pal_error *e)
{
    scaled *s = arg;
    const char *key;
    json_t *value, *record = json_loadb(line, size, JSON_PRESERVE_ORDER, NULL);
    (void)number;
    assert_non_null(record);
    json_object_del(record, "crc32");
    json_object_foreach(json_object_get(record, "values"), key, value) if (strncmp(key, "nll", 3) == 0)
        json_real_set(value, s->factor * json_real_value(value));
    char *text = json_dumps(record, JSON_COMPACT | JSON_PRESERVE_ORDER);
    const int code = journal_append(s->out, text, e);
    free(text);
    json_decref(record);
    return code;
}

static const char *scale(const char *name, double factor)
{
    size_t cut;
    const char *path = path_of(name);
    scaled s = {.factor = factor};
    assert_int_equal(journal_open(&s.out, path, no_visit, NULL, &cut, &err), PAL_OK);
    if (journal_read(JOURNAL, scale_line, &s, &err) != PAL_OK) fail_msg("%s", err.text);
    journal_close(s.out);
    return path;
}

/* Not inlined: gcc would take the text for the stream's pointer to it. */
static __attribute__((noinline)) char *printed(void)
{
    return slurp(out_path);
}

/* Doubled losses, and losses of 1 % more, are worse; 0.1 % more is within the margin, but two works cannot say so;
 * 1 % less is no reason to fail. */
static void test_losses_that_grew(void **state)
{
    (void)state;
    static const struct {
        double factor;
        int code;
    } cases[] = {{2, 1}, {1.01, 1}, {1.001, 5}, {0.99, 5}, {1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[32];
        snprintf(name, sizeof name, "times-%zu.jsonl", i);
        const int code = RUN("compare", JOURNAL, scale(name, cases[i].factor), "format=csv");
        if (code != cases[i].code) fail_msg("losses times %g: exit code %d", cases[i].factor, code);
        char *text = printed();
        /* A row of the nine novels is settled either way. */
        const char *row = strstr(text, "text-local,text-local,novels/test,bits_per_byte");
        assert_non_null(row);
        const char *verdict = row + strcspn(row, "\n");
        static const char *const expected[] = {"worse", "worse", "not worse", "better", "same"};
        const size_t size = strlen(expected[i]);
        if (strncmp(verdict - size, expected[i], size) != 0 || verdict[-1 - (int)size] != ',')
            fail_msg("losses times %g: %.*s", cases[i].factor, (int)(verdict - row), row);
        free(text);
    }
}

/* The verdicts that are committed are those of the committed journals. */
static void test_audit(void **state)
{
    (void)state;
    const int code = RUN("audit");
    if (code != PAL_OK) {
        char *text = slurp(err_path);
        fail_msg("exit code %d: %s", code, text);
    }
    check_output_has("all as in ");
    check_output_has("one seed");
    check_output_has(" seeds");
    check_output_has("family of ");
    check_output_has("true by construction:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses_that_grew),
        cmocka_unit_test(test_audit),
    };
    return cmocka_run_group_tests_name("committed gates", tests, make_scratch, remove_scratch);
}
