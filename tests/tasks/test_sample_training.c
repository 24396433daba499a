/* Training on samples of the ruler, phonebook and babilong tasks: sequences are whole samples, with the loss on
 * the answer, and none of an evaluation. */
#include "tests/lib/task_lab.h"

extern const task_module ruler_task, phonebook_task, babilong_task;
static tokenizer *bpe;

static int open_lab(void **state)
{
    (void)state;
    bpe = load_tokens(TEXT_2K);
    return 0;
}

static int close_lab(void **state)
{
    (void)state;
    tokenizer_destroy(bpe);
    return 0;
}

typedef struct training {
    const task_train *train;
    void *settings;
    task_source *source;
} training;

static training begin_training(const task_module *task, const char *const *words, uint64_t seed)
{
    training t = {.train = task->train, .settings = calloc(1, task->train->bytes)};
    assert_int_equal(kv_defaults(t.train->table, t.train->count, t.settings, &err), PAL_OK);
    for (; *words; words++) {
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(*words, "="), *words);
        assert_int_equal(
            kv_set(kv_find(t.train->table, t.train->count, key), t.settings, strchr(*words, '=') + 1, &err),
            PAL_OK);
    }
    assert_int_equal(t.train->open(t.settings, bpe, seed, &t.source, &err), PAL_OK);
    return t;
}

static void end_training(training *t)
{
    t->train->close(t->source);
    free(t->settings);
}

enum { LENGTH = 1024 };

static void check(const task_module *task, const char *const *words, const char *const *request, const char *start,
                  const char *before_answer)
{
    training t = begin_training(task, words, 1), other = begin_training(task, words, 2);
    /* Books have lengths of their own. */
    assert_int_equal(t.train->phase(t.source, 2, 8, &err), task == &phonebook_task ? PAL_OK : PAL_USAGE);
    assert_int_equal(t.train->phase(t.source, 2, LENGTH, &err), PAL_OK);
    assert_int_equal(other.train->phase(other.source, 2, LENGTH, &err), PAL_OK);
    planned p = plan(task, bpe, request);
    static int32_t tokens[LENGTH], targets[LENGTH], again[LENGTH], seen[24][LENGTH];
    static float weight[LENGTH];
    for (int64_t n = 0; n < 24; n++) {
        int fresh = 0, scored = 0;
        size_t first = LENGTH, end = LENGTH;
        char text[16 * LENGTH];
        assert_int_equal(t.train->fill(t.source, n / 2, n % 2, tokens, targets, weight, &fresh, &err), PAL_OK);
        assert_true(fresh);
        for (size_t i = 0; i < LENGTH; i++) {
            assert_true(weight[i] == 0 || weight[i] == 1 || fabs((double)weight[i] - 0.02) < 1e-6);
            if (weight[i] == 1 && first == LENGTH) first = i;
            scored += weight[i] == 1;
            if (weight[i] == 0 && end == LENGTH) end = i;
            if (weight[i] == 0) assert_true(i >= end); /* only behind the sample */
            if (i + 1 < LENGTH && weight[i] > 0) assert_int_equal(targets[i], tokens[i + 1]);
        }
        assert_true(scored > 0 && first + (size_t)scored == end);
        tokenizer_decode(bpe, tokens, first + 1, text, sizeof text);
        assert_int_equal(strncmp(text, start, strlen(start)), 0);
        assert_string_equal(text + strlen(text) - strlen(before_answer), before_answer);
        memcpy(seen[n], tokens, sizeof tokens);
        for (int64_t k = 0; k < n; k++) assert_memory_not_equal(seen[k], seen[n], sizeof tokens);
        assert_int_equal(t.train->fill(t.source, n / 2, n % 2, again, targets, weight, &fresh, &err), PAL_OK);
        assert_memory_equal(again, tokens, sizeof tokens);
        assert_int_equal(other.train->fill(other.source, n / 2, n % 2, again, targets, weight, &fresh, &err),
                         PAL_OK);
        assert_memory_not_equal(again, tokens, sizeof tokens);
    }
    for (size_t c = 0; c < p.count; c++)
        for (int64_t i = 0; i < 12; i++) {
            read_text r = read_sample(&p, c, i, 4096);
            for (int64_t n = 0; n < 24; n++)
                assert_memory_not_equal(seen[n], r.token, (r.count < LENGTH ? r.count : LENGTH) * sizeof *r.token);
            drop_text(&r);
        }
    drop(&p);
    end_training(&t);
    end_training(&other);
}

static void test_sequences(void **state)
{
    (void)state;
    check(&ruler_task, WORDS("ruler_tasks=niah_single_1"), WORDS("tasks=niah_single_1", "len=1025"),
          "A special magic number is hidden", "mentioned in the provided text is");
    check(&phonebook_task, WORDS("phonebook_entries=5,12"), WORDS("entries=5,12"), "A phone book:\n", ":");
    check(&babilong_task, WORDS("babilong_tasks=qa1,qa4"), WORDS("tasks=qa1,qa4", "len=1025"),
          "Facts are hidden in a long text", "\nAnswer:");
}

/* A book that is too long is refused, not cut. */
static void test_too_long(void **state)
{
    (void)state;
    int32_t tokens[256], targets[256];
    float weight[256];
    int fresh;
    training t = begin_training(&phonebook_task, WORDS("phonebook_entries=50"), 1);
    assert_int_equal(t.train->phase(t.source, 1, 256, &err), PAL_OK);
    assert_int_equal(t.train->fill(t.source, 0, 0, tokens, targets, weight, &fresh, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "train_len=256 cannot hold"));
    end_training(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, open_lab, close_lab);
}
