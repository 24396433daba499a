/* The page of findings: its tables are those of the journals, and every bad marker is named by its line.
 * The figures that are looked for are recomputed here from the journal's own records. */
#include "harness/base/os.h"
#include "harness/page/findings.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int fill(const char *page, char **out, pal_error *err)
{
    return findings_fill(page, "page.md", "results/reference", "results/expected/claims.conf", "models/weights",
                         out, err);
}

static void test_committed_pages_are_current(void **state)
{
    (void)state;
    static const char *const pages[] = {"results/README.md", "results/retrofit.md"};
    char *page, *made;
    size_t size;
    pal_error err;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        assert_int_equal(os_read_file(pages[i], &page, &size, &err), PAL_OK);
        if (fill(page, &made, &err) != PAL_OK) fail_msg("%s: %s", pages[i], err.text);
        assert_string_equal(page, made);
        /* No backslash stands between backquotes. */
        if (i == 0) assert_non_null(strstr(page, "| `SmolLM2-135M-Instruct.Q4_1+local` |"));
        free(page);
        free(made);
    }
}

/* Bits per byte of a model's documents of a corpus, from the lines of the journal; each document counts once. */
static double bits_of(const char *journal, const char *model, const char *cell)
{
    char name[200], place[200];
    double nll = 0, bytes = 0;
    int seen[64] = {0};
    snprintf(name, sizeof name, "\"model\":\"%s\"", model);
    snprintf(place, sizeof place, "\"cell\":\"%s\"", cell);
    for (const char *line = journal; *line; line += strcspn(line, "\n") + 1) {
        const size_t size = strcspn(line, "\n");
        char *copy = strndup(line, size);
        const char *index = strstr(copy, "\"index\":"), *n = strstr(copy, "\"nll\":"),
                   *b = strstr(copy, "\"bytes\":");
        if (strstr(copy, "\"kind\":\"sample\"") && strstr(copy, name) && strstr(copy, place) && n && b &&
            !strstr(copy, "zeroed") && index && !seen[atoi(index + 8) % 64]++) {
            nll += strtod(n + 6, NULL);
            bytes += strtod(b + 8, NULL);
        }
        free(copy);
        if (!line[size]) break;
    }
    return nll / bytes / log(2);
}

static void test_differences_are_in_bits(void **state)
{
    (void)state;
    static const char page[] = "before\n<!-- table perplexity corpora=novels/test models=text-4m-infini-delta,"
                               "text-4m-transformer-xl -->\nold\n<!-- end -->\nafter\n";
    char *made, *journal;
    size_t size;
    pal_error err;
    assert_int_equal(os_read_file("results/reference/perplexity-journal.jsonl", &journal, &size, &err), PAL_OK);
    if (fill(page, &made, &err) != PAL_OK) fail_msg("%s", err.text);
    const double delta = bits_of(journal, "text-4m-infini-delta", "novels/test");
    const double baseline = bits_of(journal, "text-4m-transformer-xl", "novels/test");
    char wanted[64];
    snprintf(wanted, sizeof wanted, "| %.3f [", delta);
    assert_non_null(strstr(made, wanted));
    snprintf(wanted, sizeof wanted, "| %+.3f [", delta - baseline);
    assert_non_null(strstr(made, wanted));
    assert_null(strstr(made, "old"));
    assert_memory_equal(made, "before\n", 7);
    assert_string_equal(strstr(made, "<!-- end -->"), "<!-- end -->\nafter\n");
    free(made);
    free(journal);
}

/* A table may name journals of its own: the page's row again, from another page. */
static void test_own_journals(void **state)
{
    (void)state;
    char *made, *page;
    size_t size;
    pal_error err;
    if (findings_fill("<!-- table passkey lengths=32K models=passkey-local results=results/reference -->\n"
                      "<!-- end -->\n",
                      "page.md", "no-such-folder", "results/expected/claims.conf", "models/weights", &made,
                      &err) != PAL_OK)
        fail_msg("%s", err.text);
    char *row = strstr(made, "| `passkey-local` | none | ");
    assert_non_null(row);
    row[strcspn(row, "\n")] = '\0';
    assert_true(strlen(row) > 40);
    assert_int_equal(os_read_file("results/README.md", &page, &size, &err), PAL_OK);
    assert_non_null(strstr(page, row));
    free(page);
    free(made);
}

/* What a line of a journal has as a number behind `key`. */
static double number_at(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    return at ? strtod(at + strlen(key), NULL) : NAN;
}

/* Digits, perplexity and bytes of one model at two lengths, against the records that the run left. */
static void test_lengths(void **state)
{
    (void)state;
    char dir[] = "/tmp/palimpsest-findings-XXXXXX", command[1000], page[300], wanted[100], *made, *journal;
    const char *binary = getenv("PALIMPSEST") ? getenv("PALIMPSEST") : "build/palimpsest";
    size_t size;
    pal_error err;
    assert_non_null(mkdtemp(dir));
    for (int i = 1; i <= 2; i++) {
        snprintf(command, sizeof command,
                 "%s eval perplexity data=datasets/slice max_tokens=%d docs=1 model=text-300k-local references=0 "
                 "plots=0 results=%s >%s/log 2>&1 && %s eval passkey len=%d n=2 depths=50 model=text-300k-local "
                 "plots=0 results=%s >%s/log 2>&1",
                 binary, 512 * i, dir, dir, binary, 512 * i, dir, dir);
        assert_int_equal(system(command), 0);
    }
    /* A model of which only a text was read is there too. */
    snprintf(
        command, sizeof command,
        "%s eval perplexity data=datasets/slice max_tokens=512 docs=1 model=text-300k-infini-linear references=0 "
        "plots=0 results=%s >%s/log 2>&1",
        binary, dir, dir);
    assert_int_equal(system(command), 0);
    /* At the third length there is no text: the bytes are those of the passkeys. */
    snprintf(command, sizeof command,
             "%s eval passkey len=2K n=2 depths=50 model=text-300k-local plots=0 results=%s >%s/log 2>&1", binary,
             dir, dir);
    assert_int_equal(system(command), 0);
    snprintf(
        page, sizeof page,
        "<!-- table lengths lengths=512,1K,2K corpus=slice/test models=text-300k-* results=%s -->\n<!-- end -->\n",
        dir);
    if (fill(page, &made, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_non_null(strstr(made, "| model | | 512 | 1K | 2K |\n"));
    assert_non_null(strstr(made, "| `text-300k-local` | digits, % (n) | - / "));
    char held[3][16];
    const char *bytes = strstr(made, "| | bytes kept |"), *intervals = strstr(made, "| | 95 % | - / [");
    assert_non_null(bytes);
    assert_int_equal(sscanf(bytes, "| | bytes kept | %15[^|]| %15[^|]| %15[^|]|", held[0], held[1], held[2]), 3);
    for (int i = 0; i < 3; i++) assert_string_equal(held[i], held[0]);
    assert_non_null(strstr(held[0], " KiB "));
    assert_non_null(intervals);
    double lo, hi;
    assert_int_equal(sscanf(intervals, "| | 95 %% | - / [%lf, %lf] / - |", &lo, &hi), 2);
    assert_true(lo >= 0 && lo < hi && hi <= 100);
    snprintf(command, sizeof command, "%s/perplexity-journal.jsonl", dir);
    assert_int_equal(os_read_file(command, &journal, &size, &err), PAL_OK);
    int samples = 0;
    for (char *rest = NULL, *line = strtok_r(journal, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (!strstr(line, "\"kind\":\"sample\"")) continue;
        snprintf(wanted, sizeof wanted, "| %.2f (1) |",
                 exp(number_at(line, "\"nll\":") / number_at(line, "\"tokens\":")));
        if (!strstr(made, wanted)) fail_msg("no \"%s\" in\n%s", wanted, made);
        samples++;
    }
    assert_int_equal(samples, 3);
    assert_non_null(
        strstr(made, "| `text-300k-infini-linear` | digits, % (n) | - / - / - | - / - / - | - / - / - |\n"));
    free(journal);
    free(made);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static void check_refused(const char *page, const char *cause)
{
    char *made = NULL;
    pal_error err;
    assert_int_equal(fill(page, &made, &err), PAL_DATA);
    if (!strstr(err.text, cause)) fail_msg("\"%s\" does not say \"%s\"", err.text, cause);
    free(made);
}

static void test_bad_markers_are_named(void **state)
{
    (void)state;
    check_refused("a\n<!-- table poems -->\n<!-- end -->\n", "page.md:2: no table \"poems\"");
    check_refused("a\nb\n<!-- table passkey lengths=1K models=x -->\n", "page.md:3: no <!-- end -->");
    check_refused("<!-- table passkey models=x -->\n<!-- end -->\n", "page.md:1: this table needs lengths=");
    check_refused("<!-- table lengths models=x lengths=1K -->\n<!-- end -->\n",
                  "page.md:1: this table needs corpus=");
    check_refused("<!-- table passkey\n<!-- end -->\n", "page.md:1: the marker does not end");
    check_refused(
        "<!-- table booksum corpus=none lengths=1K -->\nx\ny\n<!-- end -->\n<!-- table z -->\n<!-- end -->\n",
        "page.md:5");
}

static void test_page_without_markers_stays(void **state)
{
    (void)state;
    char *made;
    pal_error err;
    assert_int_equal(fill("nothing\nto fill", &made, &err), PAL_OK);
    assert_string_equal(made, "nothing\nto fill");
    free(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_committed_pages_are_current),
        cmocka_unit_test(test_differences_are_in_bits),
        cmocka_unit_test(test_own_journals),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_bad_markers_are_named),
        cmocka_unit_test(test_page_without_markers_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
