/* The export: files and keys as lm-evaluation-harness writes them, for names of any kind; and the commands that
 * the page and the export print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/text.h"
#include "harness/page/lm_eval.h"
#include "harness/report/again.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>

#include "tests/lib/journal_lab.h"

#define FILE_DATE LM_EVAL_DATE

/* Names that break programs which take them for more than names. */
static const char *const hostile[] = {"run 7 (best)", "it's",  "a\"b", "$(touch x)", "`touch x`", "a;b",
                                      "a\nb",         "a,b",   "a|b",  "a&b",        "=1+1",      "-rf",
                                      "<b>",          "../up", "a/b",  "..",         "a\\b",      "caf\xc3\xa9"};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

/* ---- Commands ---- */

/* The words that a shell makes of a command, each ended by a line "END". */
static char *shell_words(const char *command)
{
    char line[4096], *text = NULL;
    size_t size = 0;
    snprintf(line, sizeof line, "set -- %s\nprintf '%%s\\nEND\\n' \"$@\"", command);
    char path[128];
    snprintf(path, sizeof path, "%s/words.sh", dir);
    assert_int_equal(os_write_file(path, line, strlen(line), &err), PAL_OK);
    snprintf(line, sizeof line, "cd '%s' && sh words.sh", dir);
    FILE *in = popen(line, "r"), *out = open_memstream(&text, &size);
    for (int c; (c = fgetc(in)) != EOF;) fputc(c, out);
    fclose(out);
    assert_int_equal(pclose(in), 0);
    return text;
}

static result_cell passkey_cell(const char *model, const char *request)
{
    result_cell cell = {.extent = RESULT_LENGTH, .length = 32768, .depth = 50};
    strcpy(cell.model, model);
    strcpy(cell.request, request);
    return cell;
}

static void test_commands(void **state)
{
    (void)state;
    const task_module *task = task_find("passkey");
    for (size_t i = 0; i < HOSTILE; i++) {
        char expected[512];
        result_cell cell = passkey_cell(hostile[i], "len=32K n=2 prose=/x/my $(touch y) books seed=1");
        char *command = again_text(again_eval, task, &cell), *words = shell_words(command);
        snprintf(expected, sizeof expected,
                 "build/palimpsest\nEND\neval\nEND\ntask=passkey\nEND\nmodel=%s\nEND\nlen=32K\nEND\nn=2\nEND\n"
                 "prose=/x/my $(touch y) books\nEND\nseed=1\nEND\n",
                 hostile[i]);
        assert_string_equal(words, expected);
        free(command);
        free(words);
    }
    char touched[128]; /* nothing was run */
    for (int i = 0; i < 2; i++) {
        snprintf(touched, sizeof touched, "%s/%c", dir, "xy"[i]);
        assert_false(os_file_exists(touched));
    }
    /* A prompt is that of one cell; how many samples were asked for does not matter. */
    result_cell cell = passkey_cell("m", "len=32K,1M depths=0,50,100 n=10 seed=7 memory=zeroed");
    char *command = again_text(again_show, task, &cell);
    assert_string_equal(command, "build/palimpsest show task=passkey len=32K depths=50 seed=7 index=");
    free(command);
    result_cell documents = {.extent = RESULT_DOCUMENTS, .depth = NAN, .name = "stories/test:len=16K"};
    strcpy(documents.request, "data=stories n=10 len=16K,64K seed=1");
    command = again_text(again_show, task_find("booksum"), &documents);
    assert_string_equal(command, "build/palimpsest show task=booksum data=stories len=16K,64K seed=1 "
                                 "cell=stories/test:len=16K index=");
    free(command);
    cell.kind = RESULT_REFERENCE;
    command = again_text(again_eval, task, &cell);
    assert_string_equal(command, "build/palimpsest eval task=passkey references=1 len=32K,1M depths=0,50,100 n=10 "
                                 "seed=7 memory=zeroed");
    free(command);
}

/* ---- Names of tasks ---- */

static void check_name(const char *task, result_cell cell, const char *expected)
{
    char name[LM_EVAL_NAME];
    assert_string_equal(lm_eval_task_name(task_find(task), &cell, name), expected);
}

static void test_task_names(void **state)
{
    (void)state;
    result_cell cell = passkey_cell("m", "");
    check_name("passkey", cell, "passkey_32k_d50");
    cell.length = 1048576;
    cell.depth = 12.5;
    strcpy(cell.variant, "keys=4");
    check_name("passkey", cell, "passkey_1m_d12_5_keys_4");
    cell = (result_cell){.extent = RESULT_DOCUMENTS, .depth = NAN, .name = "novels/test"};
    check_name("perplexity", cell, "perplexity_novels_test");
    strcpy(cell.name, "stories/test:len=16K");
    check_name("booksum", cell, "booksum_stories_test_len_16k");
    strcpy(cell.name, "$(x) \"y\"");
    check_name("perplexity", cell, "perplexity_x_y_");
}

/* ---- Files ---- */

static json_t *read_json(const char *name)
{
    char *text = lab_slurp(name);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (!root) fail_msg("%s: no JSON", name);
    return root;
}

static void export_all(void)
{
    evidence *e = malloc(sizeof *e);
    char path[128];
    size_t models = 0;
    assert_int_equal(evidence_read(e, task_table, dir, &err), PAL_OK);
    snprintf(path, sizeof path, "%s/lm-eval", dir);
    if (lm_eval_export(e, path, LM_EVAL_DATE, &models, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_int_equal(lm_eval_export(e, path, "../x", &models, &err), PAL_USAGE);
    snprintf(path, sizeof path, "%s/results.json", dir);
    assert_int_equal(lm_eval_summary(e, path, &err), PAL_OK);
    evidence_free(e);
    free(e);
}

static double at(const json_t *root, const char *part, const char *key, const char *name)
{
    const json_t *value = json_object_get(json_object_get(json_object_get(root, part), key), name);
    if (!json_is_number(value)) fail_msg("no number %s of %s in %s", name, key, part);
    return json_number_value(value);
}

static const char *text_at(const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    if (!text) fail_msg("no text %s", key);
    return text;
}

static void fill(void)
{
    const double low[] = {2, 2.1, 2.2};
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "infini", 32768, 0, "seed=1", 19, 20);
    lab_passkey(j, "local", 32768, 0, "seed=1", 0, 20);
    lab_close(j);
    j = lab_open(task_find("perplexity"));
    lab_perplexity(j, "infini", "novels/test", "split=test", 1000, low, 3);
    lab_close(j);
}

static void check_keys(const json_t *root, const char *task)
{
    static const char *const parts[] = {"results",   "configs",          "versions",   "n-shot",
                                        "n-samples", "higher_is_better", "task_hashes"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!json_object_get(json_object_get(root, parts[i]), task)) fail_msg("no %s in %s", task, parts[i]);
    static const char *const others[] = {"config",     "git_hash",       "date",
                                         "model_name", "group_subtasks", "total_evaluation_time_seconds"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!json_object_get(root, others[i])) fail_msg("no %s", others[i]);
}

static void test_results(void **state)
{
    (void)state;
    fill();
    export_all();
    json_t *root = read_json("lm-eval/infini/results_" FILE_DATE ".json");
    static const char passkey[] = "passkey_32k_d0", novels[] = "perplexity_novels_test";
    assert_int_equal(json_object_size(json_object_get(root, "results")), 2); /* of both tasks */
    check_keys(root, passkey);
    check_keys(root, novels);
    assert_string_equal(text_at(root, "model_name"), "infini");
    assert_true(fabs(at(root, "results", passkey, "token_accuracy,none") - 0.96) < 1e-9);
    assert_true(fabs(at(root, "results", passkey, "exact_match,none") - 0.95) < 1e-9);
    assert_true(fabs(at(root, "results", passkey, "exact_match_stderr,none") - sqrt(0.95 * 0.05 / 19)) < 1e-9);
    assert_true(at(root, "n-samples", passkey, "effective") == 20);
    assert_true(json_integer_value(json_object_get(json_object_get(root, "n-shot"), passkey)) == 0);
    /* Equal documents: the mean of 2, 2.1, 2.2 and its standard error, 0.1 / sqrt(3), through the exponential. */
    assert_true(fabs(at(root, "results", novels, "token_ppl,none") - exp(2.1)) < 1e-9);
    assert_true(fabs(at(root, "results", novels, "token_ppl_stderr,none") - exp(2.1) * 0.1 / sqrt(3)) < 1e-9);
    assert_true(fabs(at(root, "results", novels, "bits_per_byte_stderr,none") - 0.1 / sqrt(3) / 4 / log(2)) <
                1e-9);
    assert_true(json_is_false(
        json_object_get(json_object_get(json_object_get(root, "higher_is_better"), novels), "token_ppl")));
    assert_string_equal(text_at(json_object_get(json_object_get(root, "configs"), novels), "command"),
                        "build/palimpsest eval task=perplexity model=infini split=test docs=3");
    json_decref(root);
    root = read_json("lm-eval/local/results_" FILE_DATE ".json");
    assert_int_equal(json_object_size(json_object_get(root, "results")), 1);
    const json_t *range =
        json_object_get(json_object_get(json_object_get(root, "intervals"), passkey), "exact_match");
    assert_true(fabs(json_number_value(json_object_get(range, "hi")) - (1 - pow(0.025, 0.05))) < 1e-9);
    json_decref(root);
    root = read_json("results.json");
    assert_int_equal(json_object_size(json_object_get(root, "results")), 3);
    assert_true(fabs(at(root, "results", "infini/passkey_32k_d0", "token_accuracy,none") - 0.96) < 1e-9);
    json_decref(root);
}

/* Each line of the samples, and the hash that the results name them by. */
static void test_samples(void **state)
{
    (void)state;
    fill();
    export_all();
    char *text = lab_slurp("lm-eval/infini/samples_passkey_32k_d0_" FILE_DATE ".jsonl"), *rest = text;
    char joined[20 * 3 * HASH_HEX] = "", hash[HASH_HEX];
    json_int_t count = 0;
    for (char *line; (line = strsep(&rest, "\n")) && *line; count++) {
        json_t *sample = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(sample);
        assert_int_equal(json_integer_value(json_object_get(sample, "doc_id")), count);
        assert_true(json_number_value(json_object_get(sample, "exact_match")) == (count < 19));
        assert_int_equal(json_array_size(json_object_get(sample, "resps")), 1);
        assert_string_equal(text_at(sample, "filter"), "none");
        const json_t *argument = json_object_get(json_object_get(sample, "arguments"), "gen_args_0");
        lab_check_has(text_at(argument, "arg_0"),
                      "build/palimpsest show task=passkey tokenizer=t0 len=32K depths=0 seed=1 index=");
        strcat(joined, text_at(sample, "doc_hash"));
        strcat(joined, text_at(sample, "prompt_hash"));
        strcat(joined, text_at(sample, "target_hash"));
        json_decref(sample);
    }
    free(text);
    assert_int_equal(count, 20);
    hash_hex(joined, strlen(joined), hash);
    json_t *root = read_json("lm-eval/infini/results_" FILE_DATE ".json");
    assert_string_equal(text_at(json_object_get(root, "task_hashes"), "passkey_32k_d0"), hash);
    json_decref(root);
}

/* Every model has a folder of its own inside the given one, whatever its name. */
static void test_hostile_names(void **state)
{
    (void)state;
    lab_journal *j = lab_open(task_find("passkey"));
    for (size_t i = 0; i < HOSTILE; i++) lab_passkey(j, hostile[i], 1024, 0, "seed=1", 1, 2);
    lab_close(j);
    export_all();
    char path[128], seen[HOSTILE] = {0};
    snprintf(path, sizeof path, "%s/lm-eval", dir);
    DIR *folder = opendir(path);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[512];
        if (entry->d_name[0] == '.') continue;
        assert_null(strpbrk(entry->d_name, " '\"$`;\n,|&=<>()\\"));
        assert_true(entry->d_name[0] != '-');
        snprintf(name, sizeof name, "lm-eval/%s/results_" FILE_DATE ".json", entry->d_name);
        json_t *root = read_json(name);
        for (size_t i = 0; i < HOSTILE; i++) seen[i] |= strcmp(text_at(root, "model_name"), hostile[i]) == 0;
        json_decref(root);
        count++;
    }
    closedir(folder);
    assert_int_equal(count, HOSTILE);
    for (size_t i = 0; i < HOSTILE; i++) assert_true(seen[i]);
}

/* One name for two weights, in the journals of two tasks: two folders. */
static void test_two_weights(void **state)
{
    (void)state;
    const double low[] = {2, 2.1, 2.2};
    lab_journal *j = lab_open(task_find("passkey"));
    lab_passkey(j, "m", 1024, 0, "seed=1", 1, 2);
    lab_close(j);
    j = lab_open(task_find("perplexity"));
    result_cell cell = lab_cell(j, "m", "novels/test", 0, NAN, "split=test", 3);
    hash_hex("other", 5, cell.weights);
    result_cell_identify(j->task, &cell);
    lab_announce(j, &cell, 3);
    for (int i = 0; i < 3; i++) lab_sample(j, &cell, i, (double[TASK_VALUES]){100 * low[i], 100, 50, 400}, 0.01);
    lab_close(j);
    export_all();
    char path[256], name[REPORT_LABEL], folder[TEXT_ID];
    snprintf(name, sizeof name, "m@%.8s", cell.weights);
    snprintf(path, sizeof path, "lm-eval/%s/results_" FILE_DATE ".json", text_id(name, folder));
    json_t *root = read_json(path);
    assert_int_equal(json_object_size(json_object_get(root, "results")), 1);
    json_decref(root);
    root = read_json("lm-eval/m/results_" FILE_DATE ".json");
    assert_int_equal(json_object_size(json_object_get(root, "results")), 1);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commands, lab_make_dir, lab_remove_dir),
        cmocka_unit_test(test_task_names),
        cmocka_unit_test_setup_teardown(test_results, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_samples, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_hostile_names, lab_make_dir, lab_remove_dir),
        cmocka_unit_test_setup_teardown(test_two_weights, lab_make_dir, lab_remove_dir),
    };
    return cmocka_run_group_tests_name("lm_eval", tests, NULL, NULL);
}
