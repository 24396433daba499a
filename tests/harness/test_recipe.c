/* Recipes: sections that build on each other, what is refused, and that every shipped model's recipe gives the
 * settings that its own file records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/hash.h"
#include "harness/base/os.h"
#include "harness/eval/model_files.h"
#include "harness/train/recipes.h"
#include "harness/train/train.h"
#include "models/attention/attention.h"
#include "models/decoder/config_keys.h"
#include "models/files/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pal_error err;

/* ---- Sections ---- */

static const char book[] =
    "# shapes\n[small]\nd_model = 8\nlr = 1\n\n[wide]\nfrom = small\nd_model = 64 # more\n"
    "[mine]\nfrom = wide, late\nseed = 3\nstage = yes\n[late]\nlr = 2\n[child]\nfrom = mine\n"
    "[loop]\nfrom = pool\n[pool]\nfrom = loop\n[lost]\nfrom = smal\n";
static const char *const own_only[] = {"stage", NULL};

static void read_book(kv_sections *s, const char *text)
{
    *s = (kv_sections){0};
    if (sections_parse(s, text, "book.conf", &err) != PAL_OK) fail_msg("%s", err.text);
}

static void test_sections(void **state)
{
    (void)state;
    kv_sections s;
    kv_pairs pairs = {0};
    read_book(&s, book);
    assert_int_equal(s.count, 8);
    assert_int_equal(sections_resolve(&s, "mine", own_only, &pairs, &err), PAL_OK);
    assert_string_equal(kv_pairs_value(&pairs, "d_model"), "64");
    assert_string_equal(kv_pairs_value(&pairs, "lr"), "2");
    assert_string_equal(kv_pairs_value(&pairs, "seed"), "3");
    assert_string_equal(kv_pairs_value(&pairs, "stage"), "yes");
    assert_null(kv_pairs_value(&pairs, "from"));
    kv_pairs_free(&pairs);
    assert_int_equal(sections_resolve(&s, "child", own_only, &pairs, &err), PAL_OK);
    assert_string_equal(kv_pairs_value(&pairs, "seed"), "3");
    assert_null(kv_pairs_value(&pairs, "stage"));
    kv_pairs_free(&pairs);
    sections_free(&s);
}

static void test_bad_sections(void **state)
{
    (void)state;
    kv_sections s;
    kv_pairs pairs = {0};
    read_book(&s, book);
    assert_int_equal(sections_resolve(&s, "wied", NULL, &pairs, &err), PAL_USAGE);
    assert_string_equal(err.text, "wied: no such section; did you mean wide?");
    assert_int_equal(sections_resolve(&s, "lost", NULL, &pairs, &err), PAL_DATA);
    assert_string_equal(err.text, "book.conf:21: [lost] takes from [smal], which is nowhere; did you mean small?");
    assert_int_equal(sections_resolve(&s, "loop", NULL, &pairs, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "takes from itself"));
    kv_pairs_free(&pairs);
    sections_free(&s);
    static const struct {
        const char *text, *message;
    } bad[] = {{"a = 1\n[x]\n", "bad.conf:1: a line before the first [section]"},
               {"[x]\n[y]\n[x]\n", "bad.conf:3: the section [x] is already at bad.conf:1"},
               {"[x]\nwords\n", "bad.conf:2: \"words\" is not a setting"},
               {"[]\n", "bad.conf:1: a line before the first [section]"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s = (kv_sections){0};
        assert_int_equal(sections_parse(&s, bad[i].text, "bad.conf", &err), PAL_DATA);
        if (!strstr(err.text, bad[i].message)) fail_msg("%s", err.text);
        sections_free(&s);
    }
}

/* ---- The recipes of the shipped models ---- */

/* Compare what a table makes of the recipe with what the file says; keys that the file lacks must be at their
 * default. */
static void check_table(const char *model, const kv_spec *table, size_t count, size_t bytes,
                        const kv_pairs *recipe, const kv_pairs *metadata)
{
    char *now = calloc(1, bytes), *plain = calloc(1, bytes);
    assert_non_null(now);
    assert_non_null(plain);
    if (kv_defaults(table, count, now, &err) != PAL_OK || kv_defaults(table, count, plain, &err) != PAL_OK ||
        kv_apply(table, count, now, recipe, &err) != PAL_OK)
        fail_msg("%s: %s", model, err.text);
    for (size_t i = 0; i < count; i++) {
        char text[KV_OUT_MAX], fallback[KV_OUT_MAX];
        if (!train_config_shapes(table[i].key)) continue;
        const char *recorded = kv_pairs_value(metadata, table[i].key);
        kv_get(&table[i], now, text, sizeof text);
        kv_get(&table[i], plain, fallback, sizeof fallback);
        if (strcmp(recorded ? recorded : fallback, text) != 0)
            fail_msg("%s: %s is %s by the recipe and %s in the file", model, table[i].key, text,
                     recorded ? recorded : fallback);
    }
    free(now);
    free(plain);
}

/* Where the weights that it starts from are there, they are those that the file was made from. */
static void check_start(const char *model, const kv_pairs *recipe, const kv_pairs *metadata)
{
    const char *init = kv_pairs_value(recipe, "init"), *digest = kv_pairs_value(metadata, "init_sha256");
    st_file start;
    if (!init != !digest) fail_msg("%s: init in the recipe %s, in the file %s", model, init, digest);
    if (!init || st_read(init, &start, &err) != PAL_OK) return;
    assert_string_equal(start.digest, digest);
    st_free(&start);
}

static void check_model(const weights_file *file)
{
    kv_pairs recipe = {0};
    decoder *d = NULL;
    checkpoint_info info;
    model_config cfg;
    if (recipe_read(file->name, "models/recipes", &recipe, &err) != PAL_OK) fail_msg("%s", err.text);
    if (checkpoint_load(file->path, &d, &info, &err) != PAL_OK) fail_msg("%s", err.text);
    if (model_config_read(&cfg, &recipe, &err) != PAL_OK) fail_msg("%s: %s", file->name, err.text);
    char *theirs = model_config_text(decoder_config(d)), *ours = model_config_text(&cfg);
    assert_string_equal(ours, theirs);
    size_t count;
    const kv_spec *table = train_config_table(&count);
    check_table(file->name, table, count, sizeof(train_config), &recipe, &info.metadata);
    const task_module *task = task_find(kv_pairs_value(&recipe, "task"));
    assert_non_null(task);
    check_table(file->name, task->train->table, task->train->count, task->train->bytes, &recipe, &info.metadata);
    assert_true(strstr(kv_pairs_value(&recipe, "out"), file->name) != NULL);
    check_start(file->name, &recipe, &info.metadata);
    free(theirs);
    free(ours);
    decoder_destroy(d);
    checkpoint_info_free(&info);
    kv_pairs_free(&recipe);
}

/* ---- Models that are not here: what their recipes come to ---- */

/* Every setting that is not at its default, a line each; new settings with defaults change nothing. */
static void put_settings(FILE *out, const kv_spec *table, size_t count, size_t bytes, const kv_pairs *pairs)
{
    char *now = calloc(1, bytes), *plain = calloc(1, bytes);
    assert_non_null(now);
    assert_non_null(plain);
    if (kv_defaults(table, count, now, &err) != PAL_OK || kv_defaults(table, count, plain, &err) != PAL_OK ||
        kv_apply(table, count, now, pairs, &err) != PAL_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++) {
        char text[KV_OUT_MAX], fallback[KV_OUT_MAX];
        kv_get(&table[i], now, text, sizeof text);
        kv_get(&table[i], plain, fallback, sizeof fallback);
        if (train_config_shapes(table[i].key) && strcmp(text, fallback) != 0)
            fprintf(out, "%s = %s\n", table[i].key, text);
    }
    free(now);
    free(plain);
}

static void digest_settings(const kv_pairs *pairs, char hex[HASH_HEX])
{
    char *text = NULL;
    size_t size = 0, count;
    FILE *out = open_memstream(&text, &size);
    model_config cfg;
    if (model_config_read(&cfg, pairs, &err) != PAL_OK) fail_msg("%s", err.text);
    const kv_spec *table = model_config_table(&count);
    put_settings(out, table, count, sizeof cfg, pairs);
    put_settings(out, cfg.attention->options, cfg.attention->option_count, sizeof cfg, pairs);
    table = train_config_table(&count);
    put_settings(out, table, count, sizeof(train_config), pairs);
    const task_train *train = task_find(kv_pairs_value(pairs, "task"))->train;
    put_settings(out, train->table, train->count, train->bytes, pairs);
    fclose(out);
    hash_hex(text, size, hex);
    free(text);
}

/* golden/recipes.txt was made from the metadata of the files that were trained, before recipes had names. */
static void test_digests(void **state)
{
    (void)state;
    char *text, *rest, name[64], expected[80];
    size_t size;
    int count = 0, taken = 0;
    if (os_read_file("tests/golden/recipes.txt", &text, &size, &err) != PAL_OK) fail_msg("%s", err.text);
    for (rest = text; sscanf(rest, "%63s %79s%n", name, expected, &taken) == 2; rest += taken, count++) {
        kv_pairs recipe = {0};
        char hex[HASH_HEX];
        if (recipe_read(name, "models/recipes", &recipe, &err) != PAL_OK) fail_msg("%s", err.text);
        digest_settings(&recipe, hex);
        if (strcmp(hex, expected) != 0) fail_msg("%s: other settings than its weights were trained with", name);
        kv_pairs_free(&recipe);
    }
    free(text);
    assert_int_equal(count, 46);
}

static void test_shipped_models(void **state)
{
    (void)state;
    weights_file *file = NULL;
    size_t count = 0;
    if (weights_resolve("all", "models/weights", &file, &count, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) check_model(&file[i]);
    free(file);
}

/* Every key of every recipe is somebody's. */
static int check_keys(void *arg, const char *name, const char *task_name, const char *attention_name,
                      const char *init, pal_error *e)
{
    (void)init;
    kv_pairs recipe = {0};
    size_t count;
    const kv_spec *table = train_config_table(&count);
    ++*(int *)arg;
    PAL_TRY(recipe_read(name, "models/recipes", &recipe, e));
    const task_module *task = task_find(task_name);
    const attn_module *attention = attn_find(attention_name);
    assert_non_null(task);
    assert_non_null(attention);
    for (size_t i = 0; i < recipe.count; i++) {
        const char *key = recipe.pair[i].key;
        if (!kv_find(table, count, key) && !kv_find(task->train->table, task->train->count, key) &&
            !model_config_knows(attention, key))
            fail_msg("%s: nobody knows %s", recipe.pair[i].where, key);
    }
    kv_pairs_free(&recipe);
    return PAL_OK;
}

static void test_all_recipes(void **state)
{
    (void)state;
    int count = 0;
    if (recipe_each("models/recipes", check_keys, &count, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_true(count >= 60);
}

static void test_names(void **state)
{
    (void)state;
    kv_pairs recipe = {0};
    char path[KV_TEXT_MAX];
    assert_int_equal(recipe_read("text-infini-detla", "models/recipes", &recipe, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "did you mean text-infini-delta"));
    assert_non_null(strstr(err.text, "list recipes"));
    assert_int_equal(recipe_read("shape-1m", "models/recipes", &recipe, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "only a part"));
    assert_int_equal(recipe_read("x", "/no/such", &recipe, &err), PAL_DATA);
    assert_int_equal(recipe_read("passkey-infini-next-long", "models/recipes", &recipe, &err), PAL_OK);
    assert_string_equal(kv_pairs_value(&recipe, "out"),
                        "models/weights/stages/passkey-infini-next-long.safetensors");
    assert_string_equal(kv_pairs_value(&recipe, "init"),
                        "models/weights/stages/passkey-infini-next-short.safetensors");
    kv_pairs_free(&recipe);
    /* What it takes over says nothing of where the weights come from. */
    assert_int_equal(recipe_read("text-infini-delta-seed2", "models/recipes", &recipe, &err), PAL_OK);
    assert_null(kv_pairs_value(&recipe, "init"));
    assert_string_equal(kv_pairs_value(&recipe, "out"), "models/weights/text-infini-delta-seed2.safetensors");
    kv_pairs_free(&recipe);
    assert_int_equal(recipe_init("passkey-infini-next", "models/recipes", path, &err), PAL_OK);
    assert_string_equal(path, "passkey-infini-next-long");
    assert_int_equal(recipe_init("text-local", "models/recipes", path, &err), PAL_OK);
    assert_string_equal(path, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections),       cmocka_unit_test(test_bad_sections),
        cmocka_unit_test(test_shipped_models), cmocka_unit_test(test_all_recipes),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_digests),
    };
    return cmocka_run_group_tests_name("recipe", tests, NULL, NULL);
}
