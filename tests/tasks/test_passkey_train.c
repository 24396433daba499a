/* The passkey training source: its text, targets, weights and options. */
#include "tests/lib/passkey_source.h"

static sequence s; /* too large for the stack */

static void fill(opened *o, int64_t step, int64_t lane, int64_t length)
{
    fill_sequence(o, step, lane, length, &s);
    parse_passkey(s.text, s.size, 0, &s.p);
}

static void exact_length_and_shifted_targets(void **state)
{
    (void)state;
    opened o = open_source(bytes, 1, WORDS("passkey_headerless=0.3"));
    for (int64_t length = 250; length <= 900; length++) {
        fill(&o, length, 0, length);
        for (int64_t i = 0; i + 1 < length; i++) assert_int_equal(s.tokens[i + 1], s.targets[i]);
        assert_int_equal(s.tokens[length], -1); /* nothing beyond the end */
        assert_int_equal(s.targets[length], -1);
        assert_true(s.weight[length] == -1);
        assert_int_equal(s.targets[length - 1], s.p.key[0][4]);
    }
    const int64_t lengths[] = {4096, 32768, 65535};
    for (int i = 0; i < 3; i++) fill(&o, 0, i, lengths[i]);
    close_source(&o);
}

static void check_weights(const char *space_weight, float of_space)
{
    static float expected[LENGTH_MAX + 1];
    opened o = open_source(bytes, 1,
                           WORDS("passkey_headerless=0.5", "passkey_mention_weight=0.5", "passkey_lm_weight=0.125",
                                 "passkey_answer_noise=0.5", space_weight));
    for (int64_t step = 0; step < 20; step++) {
        fill(&o, step, 1, 3000);
        for (int64_t i = 0; i <= s.length; i++) expected[i] = 0.125f; /* of byte i of the text */
        for (int d = 0; d < 5; d++) {
            expected[s.p.needle[0] + (int64_t)strlen(" The pass key is ") + d] = 0;
            expected[s.p.needle[0] + (int64_t)strlen(" The pass key is 12345. Remember it. ") + d] = 0.5f;
            for (int64_t q = 0; q < s.p.questions; q++) expected[s.p.answer[q] + d] = 1;
        }
        for (int64_t q = 0; q < s.p.questions; q++) expected[s.p.answer[q] - 1] = of_space;
        for (int64_t i = 0; i < s.length; i++) assert_true(s.weight[i] == expected[i + 1]);
    }
    close_source(&o);
}

static void weights_only_where_promised(void **state)
{
    (void)state;
    check_weights("passkey_space_weight=-1", 0.125f);
    check_weights("passkey_space_weight=2", 2);
}

/* Whether question q's answer is read wrong: then every digit that is read is wrong, and still a digit. */
static int answer_is_noisy(int64_t q)
{
    int wrong = 0, read = 0;
    for (int d = 0; d < 5; d++) {
        const int64_t i = s.p.answer[q] + d;
        if (i >= s.length) break;
        assert_in_range(s.tokens[i], '0', '9');
        wrong += s.tokens[i] != s.p.key[0][d];
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
        opened o = open_source(bytes, 1, WORDS(noise[n]));
        int64_t noisy = 0, last_noisy = 0, all = 0, spoilt, differ;
        for (int64_t step = 0; step < 100; step++) {
            fill(&o, step, 0, 2048);
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
        close_source(&o);
    }
}

static void needle_in_its_span_at_every_alignment(void **state)
{
    (void)state;
    opened o = open_source(bytes, 1, WORDS("passkey_needle_span=0.25"));
    int seen[128] = {0}, quarter[4] = {0}, distinct = 0;
    for (int64_t step = 0; step < 1000; step++) {
        fill(&o, step, 0, 4096);
        assert_true(s.p.needle[0] >= (int64_t)strlen(HEADER) && s.p.needle[0] <= 1024 + 22);
        distinct += !seen[s.p.needle[0] % 128]++;
        const int64_t which = (s.p.needle[0] - (int64_t)strlen(HEADER)) * 4 / (1024 - (int64_t)strlen(HEADER));
        quarter[which > 3 ? 3 : which]++;
    }
    assert_true(distinct == 128);
    for (int i = 0; i < 4; i++) assert_in_range(quarter[i], 200, 300);
    close_source(&o);
}

static void questions_near_and_far(void **state)
{
    (void)state;
    opened o = open_source(bytes, 1, WORDS("passkey_needle_span=0.1"));
    int near = 0, middle = 0, far = 0;
    for (int64_t step = 0; step < 500; step++) {
        fill(&o, step, 0, 8192);
        near += s.p.gap[0] < 90;
        middle += s.p.gap[0] >= 90 && s.p.gap[0] < 900;
        far += s.p.gap[0] >= 900;
    }
    /* log-uniform over 0..~7500: about half, a quarter and a quarter */
    assert_in_range(near, 200, 300);
    assert_in_range(middle, 90, 170);
    assert_in_range(far, 80, 160);
    close_source(&o);
}

static void number_of_questions(void **state)
{
    (void)state;
    opened one = open_source(bytes, 1, WORDS("passkey_questions=1"));
    opened three = open_source(bytes, 1, WORDS("passkey_questions=3", "passkey_gap_max=200"));
    int count[4] = {0};
    for (int64_t step = 0; step < 200; step++) {
        fill(&one, step, 0, 1024);
        assert_int_equal(s.p.questions, 1);
        fill(&three, step, 0, 4096);
        assert_in_range(s.p.questions, 1, 3);
        count[s.p.questions]++;
    }
    for (int i = 1; i <= 3; i++) assert_in_range(count[i], 40, 95);
    close_source(&one);
    close_source(&three);
}

static void gaps_within_bounds(void **state)
{
    (void)state;
    opened o = open_source(bytes, 1, WORDS("passkey_gap_min=100", "passkey_gap_max=400"));
    for (int64_t step = 0; step < 100; step++) {
        fill(&o, step, 0, 4096);
        for (int64_t q = 0; q < s.p.questions; q++) assert_in_range(s.p.gap[q], 100 - 21, 400 + 100 + 45);
        for (int64_t q = 0; q + 1 < s.p.questions; q++) assert_in_range(s.p.gap[q], 100 - 11, 400);
        assert_true(s.p.questions >= 4);
    }
    close_source(&o);
}

static void near_needle_option(void **state)
{
    (void)state;
    opened o = open_source(bytes, 1, WORDS("passkey_near=1", "passkey_questions=1"));
    int close = 0, away = 0;
    for (int64_t step = 0; step < 300; step++) {
        fill(&o, step, 0, 4096);
        close += s.p.gap[0] < 200;
        away += s.p.gap[0] > 1000;
    }
    assert_true(close > 150 && away > 20);
    close_source(&o);
}

static void header_and_headerless(void **state)
{
    (void)state;
    opened with = open_source(bytes, 1, WORDS("passkey_headerless=0"));
    opened without = open_source(bytes, 1, WORDS("passkey_headerless=1"));
    int seen[90] = {0}, distinct = 0;
    for (int64_t step = 0; step < 300; step++) {
        fill(&with, step, 0, 1000);
        assert_true(s.p.header && s.p.phase == 0);
        distinct += !seen[s.p.before % 90]++; /* where in the cycle the needle cuts in */
        fill(&without, step, 0, 1000);
        assert_true(!s.p.header && s.p.phase == 0);
    }
    assert_true(distinct > 60);
    close_source(&with);
    close_source(&without);
}

static void keys_are_not_for_evaluation(void **state)
{
    (void)state;
    opened o = open_source(bytes, 1, WORDS("passkey_questions=1"));
    static char used[PASSKEY_KEYS];
    memset(used, 0, sizeof used);
    int distinct = 0, leading_zero = 0;
    for (int64_t step = 0; step < 5000; step++) {
        fill(&o, step, step % 7, 256);
        const int key = atoi(s.p.key[0]);
        assert_false(passkey_is_eval_key(key));
        distinct += !used[key];
        used[key] = 1;
        leading_zero += s.p.key[0][0] == '0';
    }
    assert_true(distinct > 4700);
    assert_in_range(leading_zero, 400, 600);
    close_source(&o);
}

static void a_sequence_depends_on_its_place_only(void **state)
{
    (void)state;
    opened o = open_source(bytes, 1, WORDS("passkey_answer_noise=0.5"));
    static int32_t tokens[2048];
    fill(&o, 5, 2, 2048);
    memcpy(tokens, s.tokens, sizeof tokens);
    opened same = open_source(bytes, 1, WORDS("passkey_answer_noise=0.5"));
    opened seed = open_source(bytes, 2, WORDS("passkey_answer_noise=0.5"));
    fill(&o, 6, 2, 2048);
    assert_memory_not_equal(tokens, s.tokens, sizeof tokens);
    fill(&o, 5, 3, 2048);
    assert_memory_not_equal(tokens, s.tokens, sizeof tokens);
    fill(&seed, 5, 2, 2048);
    assert_memory_not_equal(tokens, s.tokens, sizeof tokens);
    fill(&same, 5, 2, 2048);
    assert_memory_equal(tokens, s.tokens, sizeof tokens);
    fill(&o, 5, 2, 2048);
    assert_memory_equal(tokens, s.tokens, sizeof tokens);

    /* So there is nothing to save, and what was saved is taken. */
    pal_error err = {0};
    char saved[64];
    assert_int_equal(task()->train->save(o.source, saved, sizeof saved, &err), PAL_OK);
    assert_string_equal(saved, "");
    assert_int_equal(task()->train->restore(same.source, saved, &err), PAL_OK);
    fill(&same, 5, 2, 2048);
    assert_memory_equal(tokens, s.tokens, sizeof tokens);
    assert_int_equal(task()->train->restore(same.source, "17 4", &err), PAL_DATA);
    close_source(&o);
    close_source(&same);
    close_source(&seed);
}

/* What a lane reads first is the haystack that its sequence goes on with. */
static void the_lead_runs_into_the_sequence(void **state)
{
    (void)state;
    enum { LEAD = 700 };
    int64_t cycle = 0;
    for (int i = 0; i < 5; i++) cycle += (int64_t)strlen(sentences[i]);
    static int32_t joined[LEAD + LENGTH_MAX];
    opened o = open_source(bytes, 1, WORDS("passkey_lead=1"));
    for (int64_t lane = 0; lane < 8; lane++) {
        fill(&o, 3, lane, 2048);
        task()->train->lead(o.source, 3, lane, joined, LEAD);
        memcpy(joined + LEAD, s.truth, (size_t)s.p.needle[0] * sizeof *joined);
        for (int64_t i = 0; i + cycle < LEAD + s.p.needle[0]; i++) assert_int_equal(joined[i], joined[i + cycle]);
    }
    close_source(&o);
}

static void impossible_settings_are_refused(void **state)
{
    (void)state;
    pal_error err = {0};
    opened o = open_source(bytes, 1, WORDS("passkey_near=0"));
    assert_int_equal(task()->train->phase(o.source, 1, 249, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "249"));
    assert_non_null(strstr(err.text, "250"));
    fill(&o, 0, 0, 250);
    close_source(&o);

    const char *const headerless[] = {"passkey_headerless=1", "passkey_lead=1"};
    for (int i = 0; i < 2; i++) {
        o = open_source(bytes, 1, WORDS(headerless[i]));
        assert_int_equal(task()->train->phase(o.source, 1, 101, &err), PAL_USAGE);
        assert_non_null(strstr(err.text, "102"));
        fill(&o, 0, 0, 102);
        close_source(&o);
    }
    o = open_source(bytes, 1, WORDS("passkey_keys=8"));
    assert_int_equal(task()->train->phase(o.source, 1, 512, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "passkey_keys"));
    close_source(&o);

    task_source *source = NULL;
    void *train = train_settings(WORDS("passkey_gap_min=500", "passkey_gap_max=400"));
    assert_int_equal(task()->train->open(train, bytes, 1, &source, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "passkey_gap_min"));
    free(train);
    train = train_settings(WORDS("passkey_prose=0.1", "passkey_prose_data=/nowhere/at/all"));
    assert_int_equal(task()->train->open(train, bytes, 1, &source, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    free(train);
    train = train_settings(WORDS("passkey_near=0"));
    tokenizer *t = bpe_of_one_merge('1', '2');
    assert_int_equal(task()->train->open(train, t, 1, &source, &err), PAL_USAGE);
    tokenizer_destroy(t);
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
        cmocka_unit_test(the_lead_runs_into_the_sequence),
        cmocka_unit_test(impossible_settings_are_refused),
    };
    return cmocka_run_group_tests_name("passkey_train", tests, open_bytes, close_bytes);
}
