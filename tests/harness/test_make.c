/* What is typed behind make: values reach the binary byte for byte and never act, words that nobody knows are
 * refused, default corpora are fetched for those that are asked for. A script stands in for the binary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/program.h"

#include <sys/stat.h>

/* Type make, quietly, with what is to be built taken for done. */
static int make(const char *const *words)
{
    const char *argv[MOST_WORDS + 4] = {"make", "-s", "build=@:"};
    char build[80];
    snprintf(build, sizeof build, "BUILD=%s/b", scratch);
    argv[3] = build;
    for (int i = 0; words[i]; i++) argv[4 + i] = words[i];
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0666), STDOUT_FILENO);
        dup2(open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0666), STDERR_FILENO);
        unsetenv("MAKEFLAGS");
        unsetenv("MAKELEVEL");
        execvp("make", (char **)argv);
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define MAKE(...) make((const char *const[]){__VA_ARGS__, NULL})

/* The stand-in prints each of its words in brackets. */
static int make_stand_in(void **state)
{
    static const char script[] = "#!/bin/sh\nfor word; do printf '[%s]\\n' \"$word\"; done\n";
    if (make_scratch(state) != 0 || os_make_dirs(path_of("b"), &err) != PAL_OK) return -1;
    if (os_write_file(path_of("b/palimpsest"), script, sizeof script - 1, &err) != PAL_OK) return -1;
    return chmod(path_of("b/palimpsest"), 0755);
}

static void test_values(void **state)
{
    (void)state;
    static const char *const values[] = {"a b",
                                         "o'brien",
                                         "a\"b",
                                         "`touch %s/x`",
                                         "a;touch %s/x",
                                         "a|b&c",
                                         "-x",
                                         "<in",
                                         "a,b",
                                         "a=b",
                                         "a#b",
                                         "a\nb",
                                         "$(touch %s/x)",
                                         "a$b",
                                         "$(shell touch %s/x)",
                                         "${HOME}",
                                         "\\",
                                         "100%",
                                         "*",
                                         "~"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char value[128], word[160], expected[200];
        snprintf(value, sizeof value, values[i], scratch); /* NOLINT: the formats are above */
        snprintf(word, sizeof word, "RESULTS=%s", value);
        snprintf(expected, sizeof expected, "[verify]\n[RESULTS=%s]\n", value);
        check_success(MAKE("verify", word));
        check_output_has(expected);
        assert_false(os_file_exists(path_of("x")));
    }
    /* As elsewhere in make, two dollars stand for one. */
    check_success(MAKE("verify", "RESULTS=a$$b"));
    check_output_has("[RESULTS=a$b]");
}

static void test_words(void **state)
{
    (void)state;
    check_success(MAKE("compare", "A=one", "B=two"));
    check_output_has("[compare]\n[A=one]\n[B=two]\n");
    check_success(MAKE("plan", "MODELS=x", "V=1"));
    check_output_has("[MODELS=x]\n[V=1]\n"); /* for the binary to refuse */
    check_success(MAKE("regress-update"));
    check_output_has("[regress]\n[update=1]\n");
    assert_int_equal(MAKE("clean", "NATVE=1"), PAL_USAGE);
    char *text = slurp(err_path);
    assert_non_null(strstr(text, "NATVE"));
    assert_non_null(strstr(text, "NATIVE"));
    free(text);
    assert_true(os_file_exists(path_of("b/palimpsest")));
}

/* Lists are split at commas alone. */
static void test_corpora(void **state)
{
    (void)state;
    static const struct {
        const char *data, *fetched; /* NULL: nothing */
    } cases[] = {{NULL, "DATASETS='books'"},
                 {"DATA=books,code", "DATASETS='books code'"},
                 {"DATA=math, /x/y", "DATASETS='math'"},
                 {"DATA=/x/my books", NULL},
                 {"DATA=/x/y", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_success(MAKE("-n", "eval", "TASK=perplexity", cases[i].data));
        if (cases[i].fetched)
            check_output_has(cases[i].fetched);
        else
            check_output_lacks("DATASETS");
    }
    check_success(MAKE("-n", "eval", "TASK=passkey"));
    check_output_lacks("DATASETS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_corpora),
    };
    return cmocka_run_group_tests_name("make", tests, make_stand_in, remove_scratch);
}
