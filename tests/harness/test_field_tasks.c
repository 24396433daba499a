/* The field's tasks through the binary, on tiny untrained models: an evaluation ends, a second one computes
 * nothing, reading without shared starts gives the same journal, and samples can be computed again. */
#include "tests/lib/program.h"

#include <jansson.h>

typedef struct evaluation {
    const char *task, *words[4];
    int samples, cells;
    const char *metric;
} evaluation;

static const char prompts[] =
    "{\"prompt\":\"A long start that all prompts have, so that it is read but once. One and one is\","
    "\"answer\":\"two\",\"cluster\":\"sums\"}\n"
    "{\"prompt\":\"A long start that all prompts have, so that it is read but once. One and two is\","
    "\"answer\":[\"three\",\"3\"],\"cluster\":\"sums\"}\n"
    "{\"prompt\":\"A long start that all prompts have, so that it is read but once. The sky is\","
    "\"answer\":\"blue\"}\n";

/* Names and values of all samples of a journal, without times and machines. */
static json_t *values_of(const char *results, const char *task)
{
    char name[100];
    snprintf(name, sizeof name, "%s/%s-journal.jsonl", results, task);
    FILE *in = fopen(path_of(name), "r");
    assert_non_null(in);
    json_t *all = json_array();
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, in) > 0) {
        json_t *object = json_loads(line, 0, NULL);
        if (object && json_object_get(object, "values"))
            json_array_append_new(
                all, json_pack("[O, O, O, O]", json_object_get(object, "model"), json_object_get(object, "index"),
                               json_object_get(object, "values"), json_object_get(object, "record")));
        json_decref(object);
    }
    free(line);
    fclose(in);
    return all;
}

static int evaluate(const evaluation *e, const char *results, const char *share)
{
    char task[64], model[200];
    snprintf(task, sizeof task, "task=%s", e->task);
    snprintf(model, sizeof model, "model=%s,%s", path_of("w/infini-linear.safetensors"),
             path_of("w/transformer-xl.safetensors"));
    const char *words[MOST_WORDS] = {"eval", task, model, results_word(results), share, "plots=0", "batch=2"};
    for (int i = 0; i < 4; i++) words[7 + i] = e->words[i];
    return run(words);
}

static void check_evaluation(const evaluation *e)
{
    char name[64], other[64], word[64];
    snprintf(name, sizeof name, "r-%s", e->task);
    snprintf(other, sizeof other, "s-%s", e->task);
    check_success(evaluate(e, name, "share=1"));
    check_output_has(e->metric);
    json_t *first = values_of(name, e->task);
    assert_int_equal(json_array_size(first), 2 * e->samples);
    check_success(evaluate(e, name, "share=1"));
    json_t *again = values_of(name, e->task);
    assert_true(json_equal(first, again));
    check_success(evaluate(e, other, "share=0"));
    json_t *whole = values_of(other, e->task);
    size_t i;
    json_t *sample;
    /* The order of samples is free. */
    json_array_foreach(first, i, sample)
    {
        size_t k;
        json_t *same;
        int found = 0;
        json_array_foreach(whole, k, same) found |= json_equal(sample, same);
        if (!found) fail_msg("%s: a sample differs with share=0: %s", e->task, json_dumps(sample, 0));
    }
    snprintf(word, sizeof word, "task=%s", e->task);
    check_success(RUN("verify", results_word(name), word, weights_word, "k=1"));
    json_decref(first);
    json_decref(again);
    json_decref(whole);
}

static void test_jsonl(void **state)
{
    (void)state;
    char data[200];
    assert_int_equal(os_write_file(path_of("sums.jsonl"), prompts, strlen(prompts), &err), PAL_OK);
    snprintf(data, sizeof data, "data=%s", path_of("sums.jsonl"));
    check_evaluation(&(evaluation){"jsonl", {data, "scorer=contains", NULL}, 3, 1, "accuracy"});
    check_success(RUN("show", "jsonl", data, "tokenizer=bytes", "index=1"));
    check_output_has("three");
}

static void test_mqar(void **state)
{
    (void)state;
    check_evaluation(&(evaluation){"mqar", {"pairs=4,8", "len=0,150", "n=3", NULL}, 12, 4, "64 pairs=8"});
    /* Forms of one length have lines of their own in the tables. */
    char *table = slurp(path_of("r-mqar/mqar-table.md"));
    assert_non_null(strstr(table, "| 64 pairs=4 |"));
    assert_non_null(strstr(table, "| 64 pairs=8 |"));
    assert_non_null(strstr(table, "| 150 pairs=8 |"));
    free(table);
    char out[160];
    snprintf(out, sizeof out, "out=%s", path_of("mqar.safetensors"));
    check_success(RUN("train", "task=mqar", "tokenizer=bytes", "d_model=32", "n_layers=2", "d_ff=48", "segment=64",
                      "attention=full", "mqar_pairs=4,8", "train_len=64", "train_steps=3", "batch_tokens=256",
                      out));
}

static void test_ruler(void **state)
{
    (void)state;
    check_evaluation(
        &(evaluation){"ruler",
                      {"tasks=niah_single_1,niah_multikey_2,niah_multivalue,vt", "len=2500", "n=2", NULL},
                      8,
                      4,
                      "2500 niah_multivalue"});
}

/* Two steps of training on samples, through the binary. */
static void test_training(void **state)
{
    (void)state;
    static const char *const words[][2] = {{"task=phonebook", "phonebook_entries=3"},
                                           {"task=babilong", "babilong_tasks=qa4"},
                                           {"task=ruler", "ruler_tasks=niah_single_1,niah_single_2"}};
    char out[160];
    snprintf(out, sizeof out, "out=%s", path_of("samples.safetensors"));
    for (int i = 0; i < 3; i++) {
        unlink(path_of("samples.safetensors"));
        check_success(RUN("train", words[i][0], words[i][1], "tokenizer=bytes", "d_model=32", "n_layers=1",
                          "d_ff=48", "segment=64", "attention=infini-delta", "train_len=1K", "train_steps=2",
                          "batch_tokens=2K", out));
        assert_true(os_file_exists(path_of("samples.safetensors")));
    }
}

static void test_phonebook(void **state)
{
    (void)state;
    check_evaluation(
        &(evaluation){"phonebook", {"entries=8,20", "same=1,3", "n=2", NULL}, 8, 4, "entries=20,same=3"});
}

static void test_babilong(void **state)
{
    (void)state;
    check_evaluation(&(evaluation){"babilong", {"tasks=qa1,qa5", "len=0,6000", "n=2", NULL}, 8, 4, "6000 qa5"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jsonl),     cmocka_unit_test(test_mqar),     cmocka_unit_test(test_ruler),
        cmocka_unit_test(test_phonebook), cmocka_unit_test(test_training), cmocka_unit_test(test_babilong),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
