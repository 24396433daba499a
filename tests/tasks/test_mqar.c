/* Multi-query associative recall: sequences have the form and the distances of Zoology's generator, answers are
 * those of the last write, and training sees the same form. */
#include "tests/lib/task_lab.h"

#include "tasks/mqar/pairs.h"

extern const task_module mqar_task;
static tokenizer *bytes, *bpe;

static int open_lab(void **state)
{
    (void)state;
    bpe = load_tokens(TEXT_2K);
    return tokenizer_create_bytes(&bytes, &err);
}

static int close_lab(void **state)
{
    (void)state;
    tokenizer_destroy(bytes);
    tokenizer_destroy(bpe);
    return 0;
}

/* ---- The form ---- */

/* Reads a sequence by Zoology's rules: distinct keys below half of the vocabulary, distinct values above it; each
 * key once more, at an even distance from the pairs' end. answer[]: of the asked keys, in order; at[]: where. */
static void parse(const int32_t *token, const mqar_form *f, int32_t *answer, int64_t *at)
{
    const int64_t context = 2 * (f->pairs + f->updates), half = f->vocab / 2;
    int32_t last[8192] = {0};
    uint8_t key_seen[8192] = {0}, value_seen[8192] = {0};
    int64_t asked = 0, again = 0;
    for (int64_t i = 0; i < context; i += 2) {
        const int32_t key = token[i], value = token[i + 1];
        assert_true(key >= 1 && key < half && value >= half && value < f->vocab);
        assert_false(value_seen[value]);
        value_seen[value] = 1;
        again += key_seen[key];
        assert_true(key_seen[key] == (i >= 2 * f->pairs)); /* rewritten ones come behind all pairs, once */
        key_seen[key] = 1;
        last[key] = value;
    }
    assert_int_equal(again, f->updates);
    /* At even places only noise may hold the same tokens: the first stands for the question in expectation. */
    for (int64_t i = 0; i < f->pairs; i++) {
        assert_true(at[i] >= context && at[i] < f->length && (at[i] - context) % 2 == 0);
        assert_true(i == 0 || at[i] > at[i - 1]);
        assert_true(key_seen[token[at[i]]]);
        key_seen[token[at[i]]] = 0; /* each key once */
        answer[i] = last[token[at[i]]];
        asked++;
    }
    assert_int_equal(asked, f->pairs);
}

/* Positions of the questions out of the record. */
static void positions_of(const json_t *record, int64_t *at, int64_t count)
{
    const char *text = json_string_value(json_object_get(record, "position"));
    for (int64_t i = 0; i < count; i++) at[i] = strtoll(text, (char **)&text, 10);
}

static void test_form(void **state)
{
    (void)state;
    static const struct {
        const char *words[5];
        mqar_form form;
    } row[] = {
        {{"pairs=4", "n=3", NULL}, {256, 64, 4, 0}},
        {{"pairs=16", "n=3", NULL}, {256, 64, 16, 0}}, /* as many questions as there are places */
        {{"pairs=8", "updates=3", "len=300", "n=3", NULL}, {256, 300, 8, 3}},
        {{"pairs=20", "updates=20", "n=3", "seed=5", NULL}, {256, 120, 20, 20}},
        {{"pairs=2", "vocab=8", "len=33", "n=3", NULL}, {8, 33, 2, 0}},
    };
    for (size_t r = 0; r < sizeof row / sizeof *row; r++) {
        planned p = plan(&mqar_task, bytes, row[r].words);
        const mqar_form *f = &row[r].form;
        assert_int_equal(p.cells[0].length, f->length);
        for (int64_t i = 0; i < 3; i++) {
            int64_t at[24];
            int32_t answer[24], want[24];
            double value[TASK_VALUES];
            json_t *record = score_sample(&p, 0, i, 0, "", value);
            positions_of(record, at, f->pairs);
            read_text t = read_sample(&p, 0, i, 4096);
            parse(t.token, f, answer, at);
            const char *text = json_string_value(json_object_get(record, "answer"));
            for (int64_t k = 0; k < f->pairs; k++) want[k] = (int32_t)strtol(text, (char **)&text, 10);
            assert_memory_equal(answer, want, (size_t)f->pairs * sizeof *want);
            assert_int_equal(t.shape.score_from, at[0] + 1);
            for (size_t k = 0; k < t.count; k++) assert_true(t.token[k] >= 0 && t.token[k] < f->vocab);
            check_any_reads(&p, 0, i);
            drop_text(&t);
            json_decref(record);
        }
        drop(&p);
    }
    planned zoology = plan(&mqar_task, bpe, WORDS("pairs=4,8,16,32,64,128,256"));
    static const int64_t length[] = {64, 64, 64, 128, 256, 512, 1024};
    for (size_t i = 0; i < 7; i++) assert_int_equal(zoology.cells[i].length, length[i]);
    assert_string_equal(zoology.cells[6].name, "len=1024,pairs=256");
    drop(&zoology);
}

/* How often the one key of a sequence is asked for at place i: proportional to (i + 1)^(a - 1). */
static void check_distances(int64_t space, int64_t below, int draws)
{
    const mqar_form f = {64, 2 + 2 * space, 1, 0};
    double part = 0, all = 0, hits = 0;
    for (int64_t i = 0; i < space; i++) {
        const double p = 0.01 * pow((double)(i + 1), 0.01 - 1);
        all += p;
        if (i < below) part += p;
    }
    for (int i = 0; i < draws; i++) {
        mqar_sequence s;
        rng r = rng_make(3, "distances", (uint64_t)i, 0);
        assert_int_equal(mqar_draw(&f, &r, &s, &err), PAL_OK);
        assert_true(s.query[0].at >= 2 && s.query[0].at < f.length);
        hits += (s.query[0].at - 2) / 2 < below;
        mqar_free(&s);
    }
    const double share = part / all, sd = sqrt(share * (1 - share) / draws);
    if (fabs(hits / draws - share) > 4 * sd)
        fail_msg("space %d below %d: %g, not %g", (int)space, (int)below, hits / draws, share);
}

static void test_distances(void **state)
{
    (void)state;
    check_distances(30, 1, 4000);
    check_distances(30, 10, 4000);
    check_distances(5000, 1024, 4000);
    check_distances(5000, 2500, 4000);
    check_distances(500000, 60000, 4000);
}

/* ---- Requests ---- */

static void test_refusals(void **state)
{
    (void)state;
    check_refused(&mqar_task, bytes, WORDS("pairs=128"), PAL_USAGE, "1 to 127 keys");
    check_refused(&mqar_task, bytes, WORDS("pairs=4", "len=15"), PAL_USAGE, "take 16 tokens");
    check_refused(&mqar_task, bytes, WORDS("pairs=4", "updates=5"), PAL_USAGE, "updates=5");
    check_refused(&mqar_task, bytes, WORDS("pairs=127", "updates=2"), PAL_USAGE, "more values");
    check_refused(&mqar_task, bytes, WORDS("vocab=257"), PAL_USAGE, "vocab=257");
    check_refused(&mqar_task, bytes, WORDS("pairs=4,4"), PAL_USAGE, "asked for twice");
    check_refused(&mqar_task, bytes, WORDS("pairs=1", "control=swapped"), PAL_USAGE, "two pairs");
}

/* ---- Scores and controls ---- */

/* What the model chose: the answers of the first `right` questions, and token 0 elsewhere. */
static double right_of(const planned *p, const planned *truth, int64_t right, double *all)
{
    double value[TASK_VALUES];
    char record[LAB_RECORD];
    json_t *known = score_sample(truth, 0, 0, 0, "", value);
    task_sample *s = open_sample(p, 0, 0);
    read_text t = read_open(p, s, 0, 4096);
    int32_t *argmax = calloc(t.count, sizeof *argmax);
    double *nll = calloc(t.count, sizeof *nll);
    int64_t at[8];
    positions_of(known, at, 8);
    const char *answer = json_string_value(json_object_get(known, "answer"));
    for (int64_t i = 0; i < 8; i++) {
        const int32_t want = (int32_t)strtol(answer, (char **)&answer, 10);
        if (i < right) argmax[at[i] + 1 - (int64_t)t.shape.score_from] = want;
    }
    const task_output out = {t.shape.score_from, t.count - t.shape.score_from, nll, argmax, NULL, 0};
    mqar_task.eval->score(s, &out, value, record, sizeof record);
    mqar_task.eval->close(s);
    json_decref(known);
    free(argmax);
    free(nll);
    drop_text(&t);
    assert_true(value[1] == 8);
    *all = value[2];
    return value[0];
}

static void test_scores(void **state)
{
    (void)state;
    planned p = plan(&mqar_task, bytes, WORDS("pairs=8")),
            swapped = plan(&mqar_task, bytes, WORDS("pairs=8", "control=swapped")),
            absent = plan(&mqar_task, bytes, WORDS("pairs=8", "control=absent"));
    double all;
    assert_true(right_of(&p, &p, 8, &all) == 8 && all == 1);
    assert_true(right_of(&p, &p, 5, &all) == 5 && all == 0);
    assert_true(right_of(&swapped, &p, 8, &all) == 0);
    assert_true(right_of(&absent, &p, 8, &all) == 8); /* the answers are those of the pairs that are not told */
    read_text t = read_sample(&p, 0, 0, 4096), a = read_sample(&absent, 0, 0, 4096);
    int told = 0;
    for (size_t i = 0; i < 16; i++) told += i % 2 ? t.token[i] == a.token[i] : t.token[i] != a.token[i];
    assert_true(told <= 1); /* by chance */
    assert_memory_equal(t.token + 16, a.token + 16, (t.count - 16) * sizeof *t.token);
    assert_string_equal(swapped.cells[0].name, "len=64,pairs=8,swapped");
    drop_text(&t);
    drop_text(&a);
    drop(&p);
    drop(&swapped);
    drop(&absent);
}

/* A million tokens are read without a table of them. */
static void test_long(void **state)
{
    (void)state;
    planned p = plan(&mqar_task, bpe, WORDS("pairs=256", "len=1M", "n=1"));
    read_text t = read_sample(&p, 0, 0, 65536);
    assert_int_equal(t.count, 1048576);
    drop_text(&t);
    drop(&p);
}

/* ---- Training ---- */

static void test_training(void **state)
{
    (void)state;
    enum { LENGTH = 64 };
    const task_train *train = mqar_task.train;
    void *settings = calloc(1, train->bytes);
    assert_int_equal(kv_defaults(train->table, train->count, settings, &err), PAL_OK);
    task_source *source;
    assert_int_equal(train->open(settings, bytes, 1, &source, &err), PAL_OK);
    assert_int_equal(train->phase(source, 2, 15, &err), PAL_USAGE); /* not even four pairs */
    assert_int_equal(train->phase(source, 2, LENGTH, &err), PAL_OK);
    int sizes[17] = {0};
    planned p = plan(&mqar_task, bytes, WORDS("pairs=4,8,16", "n=5"));
    for (int64_t step = 0; step < 60; step++) {
        int32_t tokens[LENGTH], targets[LENGTH], again[LENGTH], answer[16];
        float weight[LENGTH];
        int64_t at[16], count = 0;
        int fresh = 0;
        assert_int_equal(train->fill(source, step, step % 2, tokens, targets, weight, &fresh, &err), PAL_OK);
        assert_true(fresh);
        for (int64_t i = 0; i < LENGTH; i++)
            if (weight[i] > 0) at[count++] = i;
        parse(tokens, &(mqar_form){256, LENGTH, count, 0}, answer, at);
        for (int64_t i = 0; i < count; i++) assert_int_equal(targets[at[i]], answer[i]);
        sizes[count]++;
        assert_int_equal(train->fill(source, step, step % 2, again, targets, weight, &fresh, &err), PAL_OK);
        assert_memory_equal(tokens, again, sizeof tokens);
        /* No sequence of the evaluation is among those of training. */
        for (size_t c = 0; c < 3; c++)
            for (int64_t i = 0; i < 5; i++) {
                read_text t = read_sample(&p, c, i, 4096);
                assert_memory_not_equal(t.token, tokens, 8 * sizeof *tokens);
                drop_text(&t);
            }
    }
    assert_true(sizes[4] && sizes[8] && sizes[16] && sizes[4] + sizes[8] + sizes[16] == 60);
    drop(&p);
    train->close(source);
    free(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),   cmocka_unit_test(test_distances), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_scores), cmocka_unit_test(test_long),      cmocka_unit_test(test_training),
    };
    return cmocka_run_group_tests(tests, open_lab, close_lab);
}
