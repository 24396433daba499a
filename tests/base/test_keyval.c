/* Settings: sizes, fields of every type, pairs from files and command lines, and the exact messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/keyval.h"
#include "harness/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    int64_t n, len, mode, layers;
    double lr;
    char name[KV_TEXT_MAX];
    kv_list lens, depths, none;
} settings;

#define AT(field) offsetof(settings, field)

static const kv_spec table[] = {
    {"n", KV_INT, AT(n), "10", 1, 1e9, NULL, "samples"},
    {"len", KV_SIZE, AT(len), "32K", 16, INFINITY, NULL, "tokens"},
    {"mode", KV_CHOICE, AT(mode), "gelu", 0, 0, "gelu|relu|none", "activation"},
    {"layers", KV_LAYERS, AT(layers), "all", 0, 0, NULL, "layers"},
    {"lr", KV_REAL, AT(lr), "3e-4", 0, 1, NULL, "learning rate"},
    {"name", KV_TEXT, AT(name), "model", 0, 0, NULL, "name"},
    {"lens", KV_SIZES, AT(lens), "32K,1M", 16, 1 << 30, NULL, "lengths"},
    {"depths", KV_REALS, AT(depths), "0,50,100", 0, 100, NULL, "percent"},
    {"none", KV_SIZES, AT(none), "", 0, 0, NULL, "a list that may be empty"},
    {"free", KV_INT, AT(n), "0", 0, 0, NULL, "no bounds"},
};

enum { ROWS = sizeof table / sizeof *table };

static void assert_message(const char *key, const char *text, const char *message)
{
    pal_error err;
    settings s, before;
    memset(&s, 0, sizeof s);
    before = s;
    assert_int_equal(kv_set(kv_find(table, ROWS, key), &s, text, &err), PAL_USAGE);
    assert_string_equal(err.text, message);
    assert_memory_equal(&s, &before, sizeof s);
}

static void set(settings *s, const char *key, const char *text)
{
    pal_error err;
    if (kv_set(kv_find(table, ROWS, key), s, text, &err) != PAL_OK) fail_msg("%s", err.text);
}

static void assert_text(const settings *s, const char *key, const char *expected)
{
    char out[KV_OUT_MAX];
    kv_get(kv_find(table, ROWS, key), s, out, sizeof out);
    assert_string_equal(out, expected);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"1", 1},
                {"32768", 32768},
                {"32K", 32768},
                {"32k", 32768},
                {"1M", 1 << 20},
                {"1m", 1 << 20},
                {"007", 7},
                {"1.5K", 1536},
                {"0.25M", 256 << 10},
                {"1.50K", 1536},
                {"3M", 3 << 20},
                {"9007199254740992", INT64_C(1) << 53}};
    static const char *const bad[] = {"",    "K",   "12Q", "-1",   "+1",  "1.3K", "1.", ".5K", "1.5", "1.5.0K",
                                      "1KK", "1K ", " 1K", "0x10", "1e3", "1 K",  "１", "M1",  "1G",  "--1"};
    pal_error err;
    int64_t value;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(kv_parse_size("len", good[i].text, &value, &err), PAL_OK);
        assert_int_equal(value, good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char message[200];
        snprintf(message, sizeof message, "len=%s: not a size; write tokens as 32768, 32K or 1M (1K = 1024)",
                 bad[i]);
        assert_int_equal(kv_parse_size("len", bad[i], &value, &err), PAL_USAGE);
        assert_string_equal(err.text, message);
    }
    static const char *const large[] = {"9007199254740993", "9223372036854775808", "99999999999999999999999",
                                        "8589934593M", "9223372036854775807K"};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        assert_int_equal(kv_parse_size("len", large[i], &value, &err), PAL_USAGE);
        assert_non_null(strstr(err.text, "too large; sizes go up to 8589934592M"));
    }
}

static void test_format_size(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *text;
    } known[] = {{0, "0"},
                 {1, "1"},
                 {1023, "1023"},
                 {1024, "1K"},
                 {1025, "1025"},
                 {131072, "128K"},
                 {1 << 20, "1M"},
                 {1536 << 10, "1536K"},
                 {-1024, "-1024"},
                 {INT64_MAX, "9223372036854775807"},
                 {INT64_MIN, "-9223372036854775808"}};
    char out[24];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_string_equal(kv_format_size(known[i].value, out), known[i].text);
}

static void test_defaults_and_text(void **state)
{
    (void)state;
    pal_error err;
    settings s;
    assert_int_equal(kv_defaults(table, ROWS - 1, &s, &err), PAL_OK);
    assert_int_equal(s.n, 10);
    assert_int_equal(s.len, 32768);
    assert_int_equal(s.mode, 0);
    assert_true(s.lr == 3e-4);
    assert_int_equal(s.lens.count, 2);
    assert_true(s.lens.value[1] == 1 << 20);
    assert_int_equal(s.none.count, 0);
    for (size_t i = 0; i < ROWS - 1; i++) {
        char out[KV_OUT_MAX];
        kv_get(&table[i], &s, out, sizeof out);
        assert_string_equal(out, i == 4 ? "0.0003" : table[i].fallback);
    }
}

static void test_find_ignores_case(void **state)
{
    (void)state;
    assert_ptr_equal(kv_find(table, ROWS, "LEN"), &table[1]);
    assert_null(kv_find(table, ROWS, "length"));
}

static void test_messages(void **state)
{
    (void)state;
    assert_message("len", "12Q", "len=12Q: not a size; write tokens as 32768, 32K or 1M (1K = 1024)");
    assert_message("len", "8", "len=8: out of range; use 16 or more");
    assert_message("n", "0", "n=0: out of range; use 1 to 1000000000");
    assert_message("n", "two", "n=two: not a whole number; write it as 4096 or 4K (1K = 1024)");
    assert_message("n", "99999999999999999999",
                   "n=99999999999999999999: too large; whole numbers go up to 9223372036854775807");
    assert_message("lr", "fast", "lr=fast: not a number; write it as 0.5 or 3e-4");
    assert_message("lr", "1e999", "lr=1e999: not a number; write it as 0.5 or 3e-4");
    assert_message("lr", "nan", "lr=nan: not a number; write it as 0.5 or 3e-4");
    assert_message("lr", "0.1x", "lr=0.1x: not a number; write it as 0.5 or 3e-4");
    assert_message("lr", "", "lr=: not a number; write it as 0.5 or 3e-4");
    assert_message("lr", "1.5", "lr=1.5: out of range; use 0 to 1");
    assert_message("mode", "swish", "mode=swish: unknown; choose gelu, relu or none");
    assert_message("mode", "gel", "mode=gel: unknown; choose gelu, relu or none");
    assert_message("mode", "gelux", "mode=gelux: unknown; choose gelu, relu or none");
    assert_message("lens", "32K,12Q", "lens=12Q: not a size; write tokens as 32768, 32K or 1M (1K = 1024)");
    assert_message("lens", "32K,2", "lens=2: out of range; use 16 to 1024M");
    assert_message("lens", "32K,,1M", "lens=32K,,1M: an empty value in the list; write it as 32K,128K");
    assert_message("lens", "", "lens=: an empty value in the list; write it as 32K,128K");
    assert_message("depths", "0,", "depths=0,: an empty value in the list; write it as 0,50,100");
    assert_message("depths", "0,101", "depths=101: out of range; use 0 to 100");
}

static void test_long_values(void **state)
{
    (void)state;
    pal_error err;
    settings s = {0};
    char text[KV_TEXT_MAX + 100];
    memset(text, 'x', sizeof text);
    text[KV_TEXT_MAX - 1] = 0;
    set(&s, "name", text);
    assert_string_equal(s.name, text);
    set(&s, "name", "short");
    for (size_t i = strlen("short"); i < sizeof s.name; i++) assert_int_equal(s.name[i], 0);
    text[KV_TEXT_MAX - 1] = 'x';
    text[KV_TEXT_MAX] = 0;
    assert_int_equal(kv_set(kv_find(table, ROWS, "name"), &s, text, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "too long; up to 4095 characters"));

    char *at = text;
    for (int i = 0; i < KV_LIST_MAX; i++) at += sprintf(at, "%s%d", i ? "," : "", 1000 + i);
    set(&s, "lens", text);
    assert_int_equal(s.lens.count, KV_LIST_MAX);
    assert_true(s.lens.value[KV_LIST_MAX - 1] == 1000 + KV_LIST_MAX - 1);
    strcpy(at, ",7777");
    assert_int_equal(kv_set(kv_find(table, ROWS, "lens"), &s, text, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "too many values; a list holds up to 128"));
    memset(text, '1', sizeof text);
    text[sizeof text - 1] = 0;
    assert_int_equal(kv_set(kv_find(table, ROWS, "lens"), &s, text, &err), PAL_USAGE);
}

static void test_whole_numbers(void **state)
{
    (void)state;
    settings s = {0};
    static const char *const same[] = {"0", "-1", "9223372036854775807", "-9223372036854775808", "1000"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        set(&s, "free", same[i]);
        assert_text(&s, "free", same[i]);
    }
    set(&s, "free", "4K");
    assert_int_equal(s.n, 4096);
    set(&s, "free", "-2M");
    assert_int_equal(s.n, -2097152);
    set(&s, "mode", "RELU");
    assert_int_equal(s.mode, 1);
}

static void test_reals_round_trip(void **state)
{
    (void)state;
    settings s = {0}, back = {0};
    pal_error err;
    const kv_spec any = {"x", KV_REAL, AT(lr), "0", 0, 0, NULL, ""},
                  list = {"y", KV_REALS, AT(depths), "0", 0, 0, NULL, ""};
    static const double known[] = {0.1, 1.0 / 3, 1e-300, 5e-324, 1.7976931348623157e308, -0.02, 1e15 + 0.3};
    rng r = rng_make(1, "keyval", 0, 0);
    char out[KV_OUT_MAX];
    for (size_t i = 0; i < 2000; i++) {
        s.lr = i < sizeof known / sizeof *known ? known[i] : ldexp(rng_normal(&r), (int)rng_below(&r, 200) - 100);
        kv_get(&any, &s, out, sizeof out);
        assert_int_equal(kv_set(&any, &back, out, &err), PAL_OK);
        assert_memory_equal(&back.lr, &s.lr, sizeof s.lr);
    }
    s.lr = 0.02;
    kv_get(&any, &s, out, sizeof out);
    assert_string_equal(out, "0.02");
    s.depths.count = KV_LIST_MAX; /* the longest text there is */
    for (int i = 0; i < KV_LIST_MAX; i++) s.depths.value[i] = -1.2345678901234567e-300;
    kv_get(&list, &s, out, sizeof out);
    assert_int_equal(kv_set(&list, &back, out, &err), PAL_OK);
    assert_memory_equal(&back.depths, &s.depths, sizeof s.depths);
}

static void test_lists(void **state)
{
    (void)state;
    settings s = {0};
    set(&s, "lens", "32K, 128k ,1M");
    assert_int_equal(s.lens.count, 3);
    assert_text(&s, "lens", "32K,128K,1M");
    set(&s, "lens", "64");
    assert_int_equal(s.lens.count, 1);
    set(&s, "depths", "0,12.5,100");
    assert_text(&s, "depths", "0,12.5,100");
    set(&s, "none", "5");
    set(&s, "none", "");
    assert_int_equal(s.none.count, 0);
    assert_text(&s, "none", "");
}

static void test_ranges(void **state)
{
    (void)state;
    settings s = {0};
    static const struct {
        const char *key, *text, *same;
    } good[] = {{"lens", "32K:1M:*2", "32K,64K,128K,256K,512K,1M"},
                {"lens", "1K:4K:1K", "1K,2K,3K,4K"},
                {"lens", "1K:4000:1K", "1K,2K,3K"},
                {"lens", "64:64:*2", "64"},
                {"lens", "100:400:*1.5", "100,150,225,337"},
                {"depths", "0:100:10", "0,10,20,30,40,50,60,70,80,90,100"},
                {"depths", "0:0.5:0.1", "0,0.1,0.2,0.3,0.4,0.5"},
                {"depths", "100:0:-50, 7", "100,50,0,7"}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        set(&s, good[i].key, good[i].text);
        assert_text(&s, good[i].key, good[i].same);
    }
    assert_message("depths", "0:100",
                   "depths=0:100: not a range; write FIRST:LAST:STEP or FIRST:LAST:*FACTOR, as in 0:100:10");
    assert_message("lens", "1K:2K:3K:4K",
                   "lens=1K:2K:3K:4K: not a range; write FIRST:LAST:STEP or FIRST:LAST:*FACTOR, as in 32K:1M:*2");
    assert_message("depths", "0:100:0", "depths=0:100:0: the step does not lead from 0 to 100");
    assert_message("depths", "0:100:-1", "depths=0:100:-1: the step does not lead from 0 to 100");
    assert_message("lens", "32K:1M:*1", "lens=32K:1M:*1: the step does not lead from 32K to 1M");
    assert_message("lens", "92K:32K:*2", "lens=92K:32K:*2: the step does not lead from 92K to 32K");
    assert_message("depths", "0:200:50", "depths=200: out of range; use 0 to 100");
    assert_message("depths", "0:100:0.1", "depths=0:100:0.1: too many values; a list holds up to 128");
    assert_message("name", "", "name=: an empty value; give one, or leave the key out for name=model");
}

/* ---- Pairs. ---- */

static void test_parse_file(void **state)
{
    (void)state;
    pal_error err;
    kv_pairs pairs = {0};
    const char *text =
        "# a comment\n\n  n = 20 # more\r\nname=a b=c\n\tLEN\t=\t64K\nN = 30\nempty =\npath = a#b # c\nlast = 1";
    assert_int_equal(kv_pairs_parse(&pairs, text, "x.conf", &err), PAL_OK);
    assert_int_equal(pairs.count, 6);
    assert_string_equal(kv_pairs_value(&pairs, "path"), "a#b");
    assert_string_equal(kv_pairs_value(&pairs, "n"), "30");
    assert_string_equal(pairs.pair[0].where, "x.conf:6");
    assert_string_equal(kv_pairs_value(&pairs, "name"), "a b=c");
    assert_string_equal(kv_pairs_value(&pairs, "len"), "64K");
    assert_string_equal(kv_pairs_value(&pairs, "empty"), "");
    assert_string_equal(kv_pairs_value(&pairs, "last"), "1");
    assert_null(kv_pairs_value(&pairs, "other"));

    char *words[] = {"n=40", "depths=0,50", "path=a=b"};
    assert_int_equal(kv_pairs_args(&pairs, 3, words, &err), PAL_OK);
    assert_string_equal(pairs.pair[0].value, "40");
    assert_string_equal(pairs.pair[0].where, "command line");
    assert_string_equal(kv_pairs_value(&pairs, "path"), "a=b");
    kv_pairs_free(&pairs);
    assert_int_equal(pairs.count, 0);
}

static void test_parse_errors(void **state)
{
    (void)state;
    pal_error err;
    kv_pairs pairs = {0};
    assert_int_equal(kv_pairs_parse(&pairs, "n = 1\njust words\n", "x.conf", &err), PAL_DATA);
    assert_string_equal(err.text, "x.conf:2: \"just words\" is not a setting; write key = value");
    assert_int_equal(kv_pairs_parse(&pairs, "= 3\n", "x.conf", &err), PAL_USAGE);
    assert_string_equal(err.text, "x.conf:1: no key before '='; write key=value");
    char *words[] = {"32K"}, *nameless[] = {"=5"};
    assert_int_equal(kv_pairs_args(&pairs, 1, words, &err), PAL_USAGE);
    assert_string_equal(err.text, "\"32K\" is not a setting; write key=value, such as len=32K");
    assert_int_equal(kv_pairs_args(&pairs, 1, nameless, &err), PAL_USAGE);

    char text[KV_TEXT_MAX + 1];
    memset(text, 'k', sizeof text);
    text[64] = 0;
    assert_int_equal(kv_pairs_add(&pairs, text, "1", "x.conf:1", &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "longer than 63 characters"));
    text[63] = 0;
    assert_int_equal(kv_pairs_add(&pairs, text, "1", "x.conf:1", &err), PAL_OK);
    memset(text, 'v', sizeof text);
    text[KV_TEXT_MAX] = 0;
    assert_int_equal(kv_pairs_add(&pairs, "name", text, "x.conf:1", &err), PAL_USAGE);
    assert_string_equal(err.text, "x.conf:1: the value of \"name\" is longer than 4095 characters");
    kv_pairs_free(&pairs);
}

static void test_many_pairs(void **state)
{
    (void)state;
    pal_error err;
    kv_pairs pairs = {0};
    char key[16], value[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 100; i++) {
            snprintf(key, sizeof key, "key%d", i);
            snprintf(value, sizeof value, "%d", round * 1000 + i);
            assert_int_equal(kv_pairs_add(&pairs, key, value, "test", &err), PAL_OK);
        }
    assert_int_equal(pairs.count, 100);
    assert_string_equal(kv_pairs_value(&pairs, "KEY77"), "1077");
    kv_pairs_free(&pairs);
}

static void test_apply(void **state)
{
    (void)state;
    pal_error err;
    kv_pairs pairs = {0};
    settings s;
    assert_int_equal(kv_defaults(table, ROWS - 1, &s, &err), PAL_OK);
    assert_int_equal(kv_pairs_parse(&pairs, "N = 3\nother = 1\nlens = 64\n", "x.conf", &err), PAL_OK);
    assert_int_equal(kv_apply(table, ROWS - 1, &s, &pairs, &err), PAL_OK);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.lens.count, 1);
    assert_int_equal(s.len, 32768);

    assert_int_equal(kv_pairs_parse(&pairs, "len = 12Q\n", "x.conf", &err), PAL_OK);
    assert_int_equal(kv_apply(table, ROWS - 1, &s, &pairs, &err), PAL_USAGE);
    assert_string_equal(err.text, "x.conf:1: len=12Q: not a size; write tokens as 32768, 32K or 1M (1K = 1024)");
    char *words[] = {"LEN=12Q"};
    assert_int_equal(kv_pairs_args(&pairs, 1, words, &err), PAL_OK);
    assert_int_equal(kv_apply(table, ROWS - 1, &s, &pairs, &err), PAL_USAGE);
    assert_string_equal(err.text, "len=12Q: not a size; write tokens as 32768, 32K or 1M (1K = 1024)");
    kv_pairs_free(&pairs);
}

static int join_names(void *arg, const char *name, pal_error *e)
{
    char *all = arg;
    if (strcmp(name, "bad") == 0) return pal_fail(e, PAL_DATA, "refused");
    sprintf(all + strlen(all), "[%s]", name);
    return PAL_OK;
}

static void test_each_name(void **state)
{
    (void)state;
    pal_error e = {0};
    char all[64] = "", longest[KV_TEXT_MAX + 1];
    assert_int_equal(kv_each_name("data", " a b,c , d", join_names, all, &e), PAL_OK);
    assert_string_equal(all, "[a b][c][d]");
    static const char *const empty[] = {"", "a,", ",a", "a, ,b"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(kv_each_name("data", empty[i], join_names, (char[64]){""}, &e), PAL_USAGE);
        assert_non_null(strstr(e.text, "data="));
        assert_non_null(strstr(e.text, "empty name"));
    }
    *all = '\0';
    assert_int_equal(kv_each_name("data", "a\\,b\\\\,c\\d,\\,", join_names, all, &e), PAL_OK);
    assert_string_equal(all, "[a,b\\][c\\d][,]");
    *all = '\0';
    assert_int_equal(kv_each_name("data", "a,bad,b", join_names, all, &e), PAL_DATA);
    assert_string_equal(all, "[a]");
    memset(longest, 'x', KV_TEXT_MAX);
    longest[KV_TEXT_MAX] = '\0';
    assert_int_equal(kv_each_name("data", longest, join_names, all, &e), PAL_USAGE);
}

static void layers_are_bits(void **state)
{
    (void)state;
    settings s = {0};
    set(&s, "layers", "12, 3.62");
    assert_int_equal(s.layers, INT64_C(1) << 12 | INT64_C(1) << 3 | INT64_C(1) << 62);
    assert_text(&s, "layers", "3.12.62"); /* no comma: values stand in lists of attentions */
    set(&s, "layers", "all");
    assert_int_equal(s.layers, INT64_MAX);
    assert_text(&s, "layers", "all");
    assert_message("layers", "63", "layers=63: not a list of layers; write 12.16.20, from 0 to 62, or all");
    assert_message("layers", "3.", "layers=3.: not a list of layers; write 12.16.20, from 0 to 62, or all");
    assert_message("layers", "", "layers=: not a list of layers; write 12.16.20, from 0 to 62, or all");
    assert_message("layers", "3-5", "layers=3-5: not a list of layers; write 12.16.20 or all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_bits),        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_each_name),         cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_format_size),       cmocka_unit_test(test_defaults_and_text),
        cmocka_unit_test(test_find_ignores_case), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_long_values),       cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_reals_round_trip),  cmocka_unit_test(test_lists),
        cmocka_unit_test(test_parse_file),        cmocka_unit_test(test_parse_errors),
        cmocka_unit_test(test_many_pairs),        cmocka_unit_test(test_apply),
    };
    return cmocka_run_group_tests_name("keyval", tests, NULL, NULL);
}
