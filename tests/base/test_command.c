/* Commands: every spelling of a setting, refusals with the nearest names, words without a key, the environment;
 * and the listing of rows in four forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/near.h"
#include "harness/cli/command.h"
#include "harness/cli/listing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static pal_error err;

typedef struct fruit_options {
    char name[KV_TEXT_MAX], path[KV_TEXT_MAX];
    int64_t max_seeds, peel, ripe;
} fruit_options;

#define AT(field) offsetof(fruit_options, field)

static const kv_spec rows[] = {
    {"name", KV_TEXT, AT(name), "apple", 0, 0, NULL, "what"},
    {"where", KV_TEXT, AT(path), "", 0, 0, NULL, "where"},
    {"max_seeds", KV_INT, AT(max_seeds), "5", 0, 99, NULL, "how many"},
    {"peel", KV_CHOICE, AT(peel), "1", 0, 0, "0|1", "a switch"},
    {"ripe", KV_INT, AT(ripe), "0", 0, 1, NULL, "a switch too"},
};

static const kv_spec tree_rows[] = {{"height", KV_SIZE, 0, "4", 1, 9000, NULL, "of the tree"}};

static size_t groups(command_group *out)
{
    out[0] = (command_group){"Keys of", "tree", tree_rows, 1};
    return 1;
}

static fruit_options seen;
static char seen_rest[200];
static const char *const places[] = {"name", "where", NULL};

static int run(const void *options, const kv_pairs *rest, pal_error *e)
{
    (void)e;
    seen = *(const fruit_options *)options;
    seen_rest[0] = '\0';
    for (size_t i = 0; i < rest->count; i++)
        sprintf(seen_rest + strlen(seen_rest), "%s=%s;", rest->pair[i].key, rest->pair[i].value);
    return PAL_OK;
}

static const pal_command fruit = {.name = "fruit",
                                  .summary = "a test",
                                  .options = rows,
                                  .count = 5,
                                  .bytes = sizeof(fruit_options),
                                  .words = places,
                                  .groups = groups,
                                  .run = run};

static int try(const char *const *words)
{
    char *argv[16];
    int argc = 0;
    for (; words[argc]; argc++) argv[argc] = (char *)words[argc];
    memset(&err, 0, sizeof err);
    return command_run(&fruit, argc, argv, &err);
}

#define TRY(...) try((const char *const[]){__VA_ARGS__, NULL})

static void good(int code)
{
    if (code != PAL_OK) fail_msg("%s", err.text);
}

static void refused(int code, const char *part)
{
    assert_int_equal(code, PAL_USAGE);
    if (!strstr(err.text, part)) fail_msg("\"%s\" does not hold \"%s\"", err.text, part);
}

static void test_spellings(void **state)
{
    (void)state;
    static const char *const seven[][3] = {{"max_seeds=7"},     {"MAX_SEEDS=7"},   {"max-seeds=7"},
                                           {"--max_seeds=7"},   {"--max-seeds=7"}, {"--max-seeds", "7"},
                                           {"--MAX_SEEDS", "7"}};
    for (size_t i = 0; i < sizeof seven / sizeof *seven; i++) {
        good(try(seven[i]));
        assert_int_equal(seen.max_seeds, 7);
        assert_string_equal(seen.name, "apple");
    }
    good(try((const char *const[]){NULL}));
    assert_int_equal(seen.max_seeds, 5);
    good(TRY("max_seeds=6", "--max-seeds=8")); /* the later one */
    assert_int_equal(seen.max_seeds, 8);
    good(TRY("name=a=b", "--where", "-x=1"));
    assert_string_equal(seen.name, "a=b");
    assert_string_equal(seen.path, "-x=1");
    good(TRY("--where="));
    assert_string_equal(seen.path, "");
}

static void test_switches(void **state)
{
    (void)state;
    good(TRY("--no-peel", "--ripe"));
    assert_int_equal(seen.peel, 0);
    assert_int_equal(seen.ripe, 1);
    good(TRY("--peel", "0", "--ripe", "pear"));
    assert_int_equal(seen.peel, 0);
    assert_int_equal(seen.ripe, 1);
    assert_string_equal(seen.name, "pear");
    refused(TRY("--no-name"), "no_name");
    refused(TRY("--no-peel=1"), "no_peel");
}

static void test_words(void **state)
{
    (void)state;
    good(TRY("pear", "max_seeds=3", "/a=b/c"));
    assert_string_equal(seen.name, "pear");
    assert_string_equal(seen.path, "/a=b/c");
    good(TRY("--", "--pear", "peel=0"));
    assert_string_equal(seen.name, "--pear");
    assert_string_equal(seen.path, "peel=0");
    assert_int_equal(seen.peel, 1);
    refused(TRY("one", "two", "three"), "\"three\" is one word too many; fruit takes name where");
    good(TRY("height=1K", "--height", "2K"));
    assert_string_equal(seen_rest, "height=2K;");
}

static void test_refusals(void **state)
{
    (void)state;
    refused(TRY("peeel=1"), "peeel: fruit has no such key; did you mean peel? `palimpsest help fruit` lists them");
    refused(TRY("--heigth", "5"), "did you mean height?");
    refused(TRY("--seeds=5"), "did you mean max_seeds?");
    refused(TRY("zzz=5"), "zzz: fruit has no such key; `palimpsest help fruit`");
    refused(TRY("--max-seeds"), "--max-seeds: its value is missing");
    refused(TRY("-n", "5"), "-n: fruit has no such option");
    refused(TRY("name="), "name=: an empty value");
    refused(TRY("max_seeds=100"), "max_seeds=100: out of range");
    refused(TRY("--=5"), "no such key");
    char many[200] = "--";
    memset(many + 2, 'k', 100);
    refused(TRY(many), "no such key");
}

static void test_environment(void **state)
{
    (void)state;
    setenv("MAX_SEEDS", "9", 1);
    setenv("HEIGHT", "7", 1);
    good(TRY("pear"));
    assert_int_equal(seen.max_seeds, 5); /* nobody asked for the environment */
    setenv(COMMAND_ENVIRONMENT, "1", 1);
    good(TRY("pear"));
    assert_int_equal(seen.max_seeds, 9);
    assert_string_equal(seen_rest, "height=7;");
    good(TRY("max_seeds=2"));
    assert_int_equal(seen.max_seeds, 2);
    setenv("MAX_SEEDS", "many", 1);
    refused(TRY("pear"), "environment: max_seeds=many");
    unsetenv("MAX_SEEDS");
    unsetenv("HEIGHT");
    unsetenv(COMMAND_ENVIRONMENT);
}

static void near(const char *word, const char *const *names, const char *expected)
{
    near_names n;
    char text[NEAR_TEXT];
    near_begin(&n, word);
    for (; *names; names++) near_offer(&n, *names);
    assert_string_equal(near_text(&n, text), expected);
}

static void test_near(void **state)
{
    (void)state;
    static const char *const names[] = {
        "eval", "plan", "passkey-infini-delta", "passkey-local", "text-local", "len", "len", NULL};
    near("evla", names, "; did you mean eval?"); /* neighbours swapped */
    near("EVAL", names, "; did you mean eval?");
    near("local", names, "; did you mean text-local or passkey-local?");
    near("infini-delta", names, "; did you mean passkey-infini-delta?");
    near("lne", names, "; did you mean len?");
    near("frobnicate", names, "");
    near("", names, "");
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    near(longest, names, "");
}

static void test_listing(void **state)
{
    (void)state;
    static const listing_column column[] = {{"name", "model", -6}, {"bytes", NULL, 7}, {"note", NULL, -4}};
    static const char *const expected[] = {
        "model     bytes  note\na|b,\"c    51 MB  é\nd                -\n",
        "| model | bytes | note |\n|---|---:|---|\n| a\\|b,\"c | 51 MB | é |\n| d |  | - |\n",
        "name,bytes,note\n\"a|b,\"\"c\",51000000,é\nd,,'-\n",
        "{\"name\": \"a|b,\\\"c\", \"bytes\": 51000000, \"note\": \"é\"}\n"
        "{\"name\": \"d\", \"bytes\": null, \"note\": \"-\"}\n"};
    for (int format = 0; format < 4; format++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        listing l;
        listing_begin(&l, out, (listing_format)format, column, 3);
        listing_text(&l, "a|b,\"c");
        listing_number(&l, 51e6, "51 MB");
        listing_text(&l, "é");
        listing_text(&l, "d");
        listing_number(&l, NAN, NULL);
        listing_text(&l, "-");
        fclose(out);
        assert_string_equal(text, expected[format]);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings), cmocka_unit_test(test_switches),    cmocka_unit_test(test_words),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_environment), cmocka_unit_test(test_near),
        cmocka_unit_test(test_listing),
    };
    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
