/* What the command line says of itself, and the ways to spell a setting, through the binary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/program.h"

static int count_of(const char *text, const char *word)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, word)); at++) count++;
    return count;
}

static void test_help(void **state)
{
    (void)state;
    static const char *const asks[][3] = {{"--help"}, {"-h"}, {"help"}};
    for (size_t i = 0; i < 3; i++) {
        check_success(run(asks[i]));
        check_output_has("eval  ");
        check_output_has("1K = 1024");
    }
    static const char *const versions[][2] = {{"--version"}, {"-V"}, {"version"}};
    for (size_t i = 0; i < 3; i++) {
        check_success(run(versions[i]));
        check_output_has("palimpsest v0.");
    }
    static const char *const commands[] = {
        "eval",    "plan", "report",    "tables", "compare", "audit",    "verify", "regress",  "train", "bench",
        "imprint", "list", "tokenizer", "rouge",  "show",    "generate", "plots",  "findings", "help"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        check_success(RUN("help", commands[i]));
        check_output_has("Keys and their defaults:");
        assert_true(widest_line() <= 80);
        char *text = slurp(out_path);
        check_success(RUN(commands[i], "--help"));
        check_output_has(text);
        check_success(RUN(commands[i], "-h"));
        check_output_has(text);
        free(text);
    }
    setenv("COLUMNS", "70", 1);
    check_success(RUN("help", "train"));
    assert_true(widest_line() <= 70);
    unsetenv("COLUMNS");
    /* One part alone. */
    static const char *const passkey[][4] = {{"help", "passkey"},
                                             {"help", "eval", "passkey"},
                                             {"eval", "passkey", "-h"},
                                             {"eval", "--help", "task=passkey"}};
    for (size_t i = 0; i < 4; i++) {
        check_success(
            run((const char *const[]){passkey[i][0], passkey[i][1], passkey[i][2], passkey[i][3], NULL}));
        check_output_has("depths=0,50,100");
        check_output_has("palimpsest eval passkey");
        check_output_lacks("policy=");
        check_output_lacks("results=");
    }
    check_refusal(PAL_USAGE, RUN("help", "eval", "frobnicate"), "help eval");
    check_refusal(PAL_USAGE, RUN("help", "evla"), "did you mean eval?");
    /* Modules that share a table share its help. */
    check_success(RUN("help", "train"));
    char *all = slurp(out_path);
    assert_int_equal(count_of(all, "infini-linear, infini-delta, infini-gated"), 1);
    free(all);
    check_success(RUN("help", "train", "infini-delta"));
    check_output_has("memory_key=");
}

/* Both are made of the tables: every key is there. */
static void test_manual(void **state)
{
    (void)state;
    static const char *const keys[] = {"depths",     "prose_split", "write_penalty",
                                       "memory_key", "max_tokens",  "verdicts"};
    check_success(RUN("help", "format=man"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) check_output_has(keys[i]);
    check_success(RUN("help", "--format", "completion"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) check_output_has(keys[i]);
    char command[400];
    snprintf(
        command, sizeof command,
        "bash -c '. %s; COMP_LINE=\"palimpsest eval passkey dep\"; COMP_POINT=${#COMP_LINE}; "
        "COMP_WORDS=(palimpsest eval passkey dep); COMP_CWORD=3; _palimpsest 2>/dev/null; [ \"${COMPREPLY[*]}\" = "
        "depths= ]'",
        out_path);
    assert_int_equal(system(command), 0);
}

/* The spellings of GNU's programs, ranges, short names and patterns, all the way to the cells. */
static void test_spellings(void **state)
{
    (void)state;
    check_success(RUN("plan", "passkey", "--weights", weights_word + strlen("weights="), "--len", "1K:2K:*2",
                      "--n=1", "--depths=0:100:50", "--model", "infini-*", "--no-plots"));
    check_output_has("infini-linear  1K ");
    check_output_has("infini-linear  2K ");
    check_output_lacks("transformer-xl");
    check_refusal(PAL_USAGE, RUN("eval", weights_word, "results=", "len=1K"), "results=: an empty value");
    check_refusal(PAL_USAGE, RUN("plan", weights_word, "model=infini-lineer"), "did you mean infini-linear?");
    check_refusal(PAL_USAGE, RUN("plan", weights_word, "model=x-*"), "no such model");
    check_refusal(PAL_USAGE, RUN("eval", "perplexity", weights_word, "splitt=test"), "did you mean split?");
    check_refusal(PAL_USAGE, RUN("eval", "perplexity", weights_word, "depths=0"), "help eval perplexity");
}

/* A comma in a folder's name, and a path longer than a short buffer. */
static void test_paths(void **state)
{
    (void)state;
    char word[1024], dir[600];
    int at = snprintf(dir, sizeof dir, "%s/", scratch);
    while (at < 400) at += snprintf(dir + at, sizeof dir - (size_t)at, "a,b and c/");
    assert_int_equal(os_make_dirs(dir, &err), PAL_OK);
    snprintf(word, sizeof word, "%sx,y.safetensors", dir);
    char *data;
    size_t size;
    assert_int_equal(os_read_file(path_of("w/infini-linear.safetensors"), &data, &size, &err), PAL_OK);
    assert_int_equal(os_write_file(word, data, size, &err), PAL_OK);
    free(data);
    char escaped[1024] = "model=";
    size_t used = strlen(escaped);
    for (const char *c = word; *c; c++) {
        if (*c == ',') escaped[used++] = '\\';
        escaped[used++] = *c;
    }
    escaped[used] = '\0';
    char results[1024];
    snprintf(results, sizeof results, "results=%sresults", dir);
    check_success(RUN("eval", escaped, results, "len=700", "depths=0", "n=1", "plots=0"));
    check_output_has("x,y ");
    snprintf(word, sizeof word, "%sresults/passkey-cells.csv", dir);
    assert_true(os_file_exists(word));
}

/* From a folder that holds nothing, the models beside the binary are found, and their tokenizer. PALIMPSEST_HOME
 * names others; a folder that is here goes before those beside the binary. */
static void test_elsewhere(void **state)
{
    (void)state;
    char *here = getcwd(NULL, 0),
         *binary = realpath(getenv("PALIMPSEST") ? getenv("PALIMPSEST") : "build/palimpsest", NULL);
    assert_non_null(here);
    assert_non_null(binary);
    setenv("PALIMPSEST", binary, 1);
    assert_int_equal(chdir("/"), 0);
    check_success(RUN("plan", "passkey", "model=local", "len=700", "n=1", "depths=0"));
    check_output_has("passkey-local");
    check_success(RUN("list", "recipes"));
    check_output_has("text-infini-delta");
    assert_int_equal(os_make_dirs(path_of("home/models/weights"), &err), PAL_OK);
    assert_int_equal(save_model("home/models/weights/other.safetensors", "local"), PAL_OK);
    setenv("PALIMPSEST_HOME", path_of("home"), 1);
    check_success(RUN("list", "models"));
    check_output_has("other");
    check_output_lacks("passkey-local");
    unsetenv("PALIMPSEST_HOME");
    assert_int_equal(chdir(path_of("home")), 0);
    check_success(RUN("list", "models"));
    check_output_has("other");
    assert_int_equal(chdir(here), 0);
    free(here);
    free(binary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),  cmocka_unit_test(test_manual),    cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_paths), cmocka_unit_test(test_elsewhere),
    };
    return cmocka_run_group_tests_name("help", tests, make_scratch, remove_scratch);
}
