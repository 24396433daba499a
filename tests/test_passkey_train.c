/* The passkey training source: its text, targets, weights and options. */
#include "tests/passkey_parse.h"

#include "tasks/passkey_text.h"
#include "tasks/task.h"

enum { LENGTH_MAX = 65536 };

/* One sequence, and its text read back from the targets. */
typedef struct sequence {
    int64_t length;
    int32_t tokens[LENGTH_MAX], targets[LENGTH_MAX];
    float weight[LENGTH_MAX];
    char text[LENGTH_MAX + 2];
    parsed p;
} sequence;

static sequence s; /* too large for the stack */

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void *train_settings(const char *const *words)
{
    const task_module *task = task_find("passkey");
    return settings(task->train_table, task->train_count, task->train_bytes, words);
}

static void fill(const void *train, uint64_t seed, int64_t step, int64_t lane, int64_t length)
{
    pal_error err = {0};
    const task_module *task = task_find("passkey");
    assert_int_equal(task->train_check(train, length, &err), PAL_OK);
    memset(s.tokens, 0xff, sizeof s.tokens);
    memset(s.targets, 0xff, sizeof s.targets);
    for (int64_t i = 0; i < LENGTH_MAX; i++) s.weight[i] = -1;
    task->train_fill(train, seed, step, lane, length, s.tokens, s.targets, s.weight);
    s.length = length;
    bytes_decode(s.tokens, 1, s.text);
    bytes_decode(s.targets, (size_t)length, s.text + 1);
    parse_passkey(s.text, length + 1, &s.p);
}

static void exact_length_and_shifted_targets(void **state)
{
    (void)state;
    void *train = train_settings(WORDS("passkey_headerless=0.3"));
    for (int64_t length = 250; length <= 900; length++) {
        fill(train, 1, length, 0, length);
        for (int64_t i = 0; i + 1 < length; i++) assert_int_equal(s.tokens[i + 1], s.targets[i]);
        assert_int_equal(s.tokens[length], -1); /* nothing beyond the end */
        assert_int_equal(s.targets[length], -1);
        assert_true(s.weight[length] == -1);
        assert_int_equal(s.targets[length - 1], s.p.key[4]);
    }
    const int64_t lengths[] = {4096, 32768, 65535};
    for (int i = 0; i < 3; i++) fill(train, 1, 0, i, lengths[i]);
    free(train);
}

static void weights_only_where_promised(void **state)
{
    (void)state;
    static float expected[LENGTH_MAX + 1];
    void *train = train_settings(WORDS("passkey_headerless=0.5", "passkey_mention_weight=0.5",
                                       "passkey_lm_weight=0.125", "passkey_answer_noise=0.5"));
    for (int64_t step = 0; step < 20; step++) {
        fill(train, 3, step, 1, 3000);
        for (int64_t i = 0; i <= s.length; i++) expected[i] = 0.125f; /* of byte i of the text */
        for (int d = 0; d < 5; d++) {
            expected[s.p.needle + (int64_t)strlen("The pass key is ") + d] = 0;
            expected[s.p.needle + (int64_t)strlen("The pass key is 12345. Remember it. ") + d] = 0.5f;
            for (int64_t q = 0; q < s.p.questions; q++) expected[s.p.answer[q] + d] = 1;
        }
        for (int64_t i = 0; i < s.length; i++) assert_true(s.weight[i] == expected[i + 1]);
    }
    free(train);
}

/* Whether question q's answer is read wrong: then every digit that is read is wrong, and still a digit. */
static int answer_is_noisy(int64_t q)
{
    int wrong = 0, read = 0;
    for (int d = 0; d < 5; d++) {
        const int64_t i = s.p.answer[q] + d;
        if (i >= s.length) break;
        assert_in_range(s.tokens[i], '0', '9');
        wrong += s.tokens[i] != s.p.key[d];
        read++;
    }
    assert_true(wrong == 0 || wrong == read);
    return wrong > 0;
}

static void answer_noise_spoils_the_input_only(void **state)
{
    (void)state;
    const char *const noise[] = {"passkey_answer_noise=0", "passkey_answer_noise=0.25", "passkey_answer_noise=1"};
    const double least[] = {0, 0.2, 1}, most[] = {0, 0.3, 1};
    for (int n = 0; n < 3; n++) {
        void *train = train_settings(WORDS(noise[n]));
        int64_t noisy = 0, last_noisy = 0, all = 0, spoilt, differ;
        for (int64_t step = 0; step < 100; step++) {
            fill(train, 5, step, 0, 2048);
            spoilt = differ = 0;
            for (int64_t q = 0; q < s.p.questions; q++, all++) {
                const int is = answer_is_noisy(q), last = q == s.p.questions - 1;
                noisy += is;
                last_noisy += is && last;
                spoilt += is * (last ? 4 : 5);
            }
            for (int64_t i = 0; i + 1 < s.length; i++) differ += s.tokens[i + 1] != s.targets[i];
            assert_int_equal(differ, spoilt); /* nowhere else */
        }
        const double share = (double)noisy / (double)all;
        assert_true(share >= least[n] && share <= most[n]);
        assert_true(n == 0 ? last_noisy == 0 : last_noisy > 0);
        free(train);
    }
}

static void needle_in_its_span_at_every_alignment(void **state)
{
    (void)state;
    void *train = train_settings(WORDS("passkey_needle_span=0.25"));
    int seen[128] = {0}, quarter[4] = {0}, distinct = 0;
    for (int64_t step = 0; step < 1000; step++) {
        fill(train, 7, step, 0, 4096);
        assert_true(s.p.needle >= (int64_t)strlen(HEADER) && s.p.needle <= 1024 + 22);
        distinct += !seen[s.p.needle % 128]++;
        const int64_t which = (s.p.needle - (int64_t)strlen(HEADER)) * 4 / (1024 - (int64_t)strlen(HEADER));
        quarter[which > 3 ? 3 : which]++;
    }
    assert_true(distinct == 128);
    for (int i = 0; i < 4; i++) assert_in_range(quarter[i], 200, 300);
    free(train);
}

static void questions_near_and_far(void **state)
{
    (void)state;
    void *train = train_settings(WORDS("passkey_needle_span=0.1"));
    int near = 0, middle = 0, far = 0;
    for (int64_t step = 0; step < 500; step++) {
        fill(train, 9, step, 0, 8192);
        near += s.p.gap[0] < 90;
        middle += s.p.gap[0] >= 90 && s.p.gap[0] < 900;
        far += s.p.gap[0] >= 900;
    }
    /* log-uniform over 0..~7500: about half, a quarter and a quarter */
    assert_in_range(near, 200, 300);
    assert_in_range(middle, 90, 170);
    assert_in_range(far, 80, 160);
    free(train);
}

static void number_of_questions(void **state)
{
    (void)state;
    void *one = train_settings(WORDS("passkey_questions=1"));
    void *three = train_settings(WORDS("passkey_questions=3", "passkey_gap_max=200"));
    int count[4] = {0};
    for (int64_t step = 0; step < 200; step++) {
        fill(one, 2, step, 0, 1024);
        assert_int_equal(s.p.questions, 1);
        fill(three, 2, step, 0, 4096);
        assert_in_range(s.p.questions, 1, 3);
        count[s.p.questions]++;
    }
    for (int i = 1; i <= 3; i++) assert_in_range(count[i], 40, 95);
    free(one);
    free(three);
}

static void gaps_within_bounds(void **state)
{
    (void)state;
    void *train = train_settings(WORDS("passkey_gap_min=100", "passkey_gap_max=400"));
    for (int64_t step = 0; step < 100; step++) {
        fill(train, 4, step, 0, 4096);
        for (int64_t q = 0; q < s.p.questions; q++) assert_in_range(s.p.gap[q], 100 - 21, 400 + 100 + 45);
        for (int64_t q = 0; q + 1 < s.p.questions; q++) assert_in_range(s.p.gap[q], 100 - 11, 400);
        assert_true(s.p.questions >= 4);
    }
    free(train);
}

static void near_needle_option(void **state)
{
    (void)state;
    void *train = train_settings(WORDS("passkey_near=1", "passkey_questions=1"));
    int close = 0, away = 0;
    for (int64_t step = 0; step < 300; step++) {
        fill(train, 6, step, 0, 4096);
        close += s.p.gap[0] < 200;
        away += s.p.gap[0] > 1000;
    }
    assert_true(close > 150 && away > 20);
    free(train);
}

static void header_and_headerless(void **state)
{
    (void)state;
    void *with = train_settings(WORDS("passkey_headerless=0"));
    void *without = train_settings(WORDS("passkey_headerless=1"));
    int seen[90] = {0}, distinct = 0;
    for (int64_t step = 0; step < 300; step++) {
        fill(with, 8, step, 0, 1000);
        assert_true(s.p.header);
        distinct += !seen[(s.p.needle - (int64_t)strlen(HEADER)) % 90]++; /* the filler's phase */
        fill(without, 8, step, 0, 1000);
        assert_false(s.p.header);
    }
    assert_true(distinct > 60);
    free(with);
    free(without);
}

static void keys_are_not_for_evaluation(void **state)
{
    (void)state;
    void *train = train_settings(WORDS("passkey_questions=1"));
    static char used[PASSKEY_KEYS];
    memset(used, 0, sizeof used);
    int distinct = 0, leading_zero = 0;
    for (int64_t step = 0; step < 5000; step++) {
        fill(train, 11, step, step % 7, 256);
        const int key = atoi(s.p.key);
        assert_false(passkey_is_eval_key(key));
        distinct += !used[key];
        used[key] = 1;
        leading_zero += s.p.key[0] == '0';
    }
    assert_true(distinct > 4700);
    assert_in_range(leading_zero, 400, 600);
    free(train);
}

static void a_sequence_depends_on_its_place_only(void **state)
{
    (void)state;
    void *train = train_settings(WORDS("passkey_answer_noise=0.5"));
    static int32_t tokens[2048];
    fill(train, 1, 5, 2, 2048);
    memcpy(tokens, s.tokens, sizeof tokens);
    const int64_t other[][3] = {{2, 5, 2}, {1, 6, 2}, {1, 5, 3}};
    for (int i = 0; i < 3; i++) {
        fill(train, (uint64_t)other[i][0], other[i][1], other[i][2], 2048);
        assert_memory_not_equal(tokens, s.tokens, sizeof tokens);
    }
    fill(train, 1, 5, 2, 2048);
    assert_memory_equal(tokens, s.tokens, sizeof tokens);
    free(train);
}

static void impossible_settings_are_refused(void **state)
{
    (void)state;
    const task_module *task = task_find("passkey");
    pal_error err = {0};
    void *train = train_settings(WORDS("passkey_near=0"));
    assert_int_equal(task->train_check(train, 249, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "249"));
    assert_non_null(strstr(err.text, "250"));
    assert_int_equal(task->train_check(train, 250, &err), PAL_OK);
    free(train);

    train = train_settings(WORDS("passkey_headerless=1"));
    assert_int_equal(task->train_check(train, 100, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "101"));
    fill(train, 1, 0, 0, 101);
    free(train);

    train = train_settings(WORDS("passkey_gap_min=500", "passkey_gap_max=400"));
    assert_int_equal(task->train_check(train, 4096, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "passkey_gap_min"));
    free(train);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_length_and_shifted_targets),
        cmocka_unit_test(weights_only_where_promised),
        cmocka_unit_test(answer_noise_spoils_the_input_only),
        cmocka_unit_test(needle_in_its_span_at_every_alignment),
        cmocka_unit_test(questions_near_and_far),
        cmocka_unit_test(number_of_questions),
        cmocka_unit_test(gaps_within_bounds),
        cmocka_unit_test(near_needle_option),
        cmocka_unit_test(header_and_headerless),
        cmocka_unit_test(keys_are_not_for_evaluation),
        cmocka_unit_test(a_sequence_depends_on_its_place_only),
        cmocka_unit_test(impossible_settings_are_refused),
    };
    return cmocka_run_group_tests_name("passkey_train", tests, NULL, NULL);
}
