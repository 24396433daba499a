/* Continuations: what is drawn from a distribution, and that nothing but the sample decides the draws. */
#include "tests/lib/batch_lab.h"
#include "tests/lib/use_blas.h"

#include "harness/eval/decode.h"

#include <math.h>

enum { CHOICES = 6, DRAWS = 40000 };

/* ln of these: a distribution out of order, with two equals. */
static const double share[CHOICES] = {0.05, 0.4, 0.1, 0.1, 0.32, 0.03};

static void draw_many(double temperature, double top_p, int count[CHOICES])
{
    real logits[CHOICES];
    continuation_choice choice[2 * CHOICES];
    rng draws = rng_make(1, "test/draws", 0, 0);
    memset(count, 0, CHOICES * sizeof *count);
    for (int i = 0; i < CHOICES; i++) logits[i] = (real)(log(share[i]) + 300); /* a constant changes nothing */
    for (int i = 0; i < DRAWS; i++)
        count[continuation_draw(logits, CHOICES, temperature, top_p, &draws, choice)]++;
}

static void check_shares(const int count[CHOICES], const double *expected)
{
    for (int i = 0; i < CHOICES; i++) {
        const double p = expected[i], deviation = sqrt(p * (1 - p) * DRAWS);
        if (p == 0) assert_int_equal(count[i], 0);
        assert_true(fabs(count[i] - p * DRAWS) <= 5 * deviation);
    }
}

/* Each token as often as its probability says; with a temperature, as its power, scaled to 1. */
static void test_temperature(void **state)
{
    (void)state;
    int count[CHOICES];
    draw_many(1, 1, count);
    check_shares(count, share);
    for (double temperature = 0.5; temperature <= 2; temperature *= 4) {
        double expected[CHOICES], sum = 0;
        for (int i = 0; i < CHOICES; i++) sum += expected[i] = pow(share[i], 1 / temperature);
        for (int i = 0; i < CHOICES; i++) expected[i] /= sum;
        draw_many(temperature, 1, count);
        check_shares(count, expected);
    }
}

/* Candidates lie in the order of their probabilities, of equals in that of their tokens. */
static void test_order(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    static real logits[MANY];
    static continuation_choice choice[2 * MANY];
    rng r = rng_make(3, "test/order", 0, 0);
    for (int i = 0; i < MANY; i++) logits[i] = (real)(rng_below(&r, 700) * (i % 3 ? 1.7 : 0.01)); /* some are 0 */
    rng draws = rng_make(4, "test/order", 0, 0);
    continuation_draw(logits, MANY, 1, 1, &draws, choice);
    int times[MANY] = {0};
    for (int i = 0; i < MANY; i++) {
        times[choice[i].token]++;
        if (i == 0) continue;
        const continuation_choice *a = &choice[i - 1], *b = &choice[i];
        assert_true(a->probability > b->probability || (a->probability == b->probability && a->token < b->token));
    }
    for (int i = 0; i < MANY; i++) assert_int_equal(times[i], 1);
    assert_true(choice[0].probability > 0 && choice[MANY - 1].probability == 0);
}

/* Sorted, the tokens have 0.4, 0.72, 0.82, 0.92, 0.97 and 1 of the probability together. */
static void test_top_p(void **state)
{
    (void)state;
    static const struct {
        double top_p;
        int kept;
    } limit[] = {{0.0001, 1}, {0.39, 1}, {0.41, 2}, {0.71, 2}, {0.73, 3}, {0.81, 3}, {0.83, 4}, {0.93, 5}, {1, 6}};
    static const int order[CHOICES] = {1, 4, 2, 3, 0, 5}; /* of equals the first goes first */
    for (size_t l = 0; l < sizeof limit / sizeof *limit; l++) {
        double expected[CHOICES] = {0}, sum = 0;
        int count[CHOICES];
        for (int i = 0; i < limit[l].kept; i++) sum += share[order[i]];
        for (int i = 0; i < limit[l].kept; i++) expected[order[i]] = share[order[i]] / sum;
        draw_many(1, limit[l].top_p, count);
        check_shares(count, expected);
    }
    /* The temperature comes first: at 0.5 the likeliest token has 0.57 instead of 0.4. */
    int count[CHOICES];
    draw_many(0.5, 0.5, count);
    assert_int_equal(count[1], DRAWS);
}

/* ---- Through a model ---- */

enum { MOST = 24, PROMPT = 41 };

typedef struct answer {
    int32_t token[MOST];
    size_t count;
} answer;

/* Continue the samples index[lanes] side by side after their prompts. */
static void answer_all(const decoder *d, const int64_t *index, size_t lanes, const task_decoding *decoding,
                       answer *out)
{
    pool *threads;
    stream *s;
    continuation c[SAMPLES];
    int32_t tokens[SAMPLES * PROMPT];
    const toy_run run = even_run();
    for (size_t i = 0; i < lanes; i++) {
        for (int t = 0; t < PROMPT; t++) tokens[i * PROMPT + (size_t)t] = token_at(&run, index[i], t);
        c[i] = (continuation){.how = &decoding[i], .index = index[i], .token = out[i].token};
    }
    assert_int_equal(pool_create(&threads, 1, &err), PAL_OK);
    assert_int_equal(stream_create(&s, d, threads, lanes, &err), PAL_OK);
    stream_feed(s, tokens, PROMPT, PROMPT, UINT64_MAX, NULL, NULL);
    assert_int_equal(continuation_run(s, c, lanes, &err), PAL_OK);
    for (size_t i = 0; i < lanes; i++) out[i].count = c[i].count;
    stream_destroy(s);
    pool_destroy(threads);
}

static void check_same(const answer *a, const answer *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->token, b->token, a->count * sizeof *a->token);
}

/* The same bits alone, beside others, in another lane and in another order; other ones with another seed or of
 * another sample. */
static void test_draws_hang_on_the_sample(void **state)
{
    (void)state;
    static const int64_t forth[] = {0, 1, 2, 3, 4}, back[] = {4, 3, 2, 1, 0};
    for (const attn_module *const *m = attn_table; *m; m++) {
        decoder *d = make_model((*m)->name);
        task_decoding decoding[SAMPLES];
        for (int i = 0; i < SAMPLES; i++)
            decoding[i] =
                (task_decoding){.max_tokens = MOST, .temperature = 1.5, .top_p = 0.9, .seed = 11, .stop = -1};
        answer one[SAMPLES], two[SAMPLES], three[SAMPLES];
        answer_all(d, forth, SAMPLES, decoding, one);
        answer_all(d, back, SAMPLES, decoding, two);
        for (int i = 0; i < SAMPLES; i++) {
            assert_int_equal(one[i].count, MOST);
            check_same(&one[i], &two[SAMPLES - 1 - i]);
            answer_all(d, &forth[i], 1, decoding, &three[i]);
            check_same(&one[i], &three[i]);
        }
        decoding[0].seed = 12;
        answer_all(d, forth, 1, decoding, two);
        assert_memory_not_equal(one[0].token, two[0].token, sizeof one[0].token);
        decoder_destroy(d);
    }
}

/* A small temperature, or a nucleus of one token, leaves the greedy continuation. */
static void test_greedy_limits(void **state)
{
    (void)state;
    static const int64_t index[] = {0, 1, 2};
    decoder *d = make_model("infini-linear");
    answer greedy[3], other[3];
    task_decoding decoding[3];
    for (int i = 0; i < 3; i++) decoding[i] = (task_decoding){.max_tokens = MOST, .stop = -1};
    answer_all(d, index, 3, decoding, greedy);
    for (int cold = 0; cold < 2; cold++) {
        for (int i = 0; i < 3; i++) {
            decoding[i].temperature = cold ? 1e-4 : 1;
            decoding[i].top_p = cold ? 1 : 1e-6;
        }
        answer_all(d, index, 3, decoding, other);
        for (int i = 0; i < 3; i++) check_same(&greedy[i], &other[i]);
    }
    /* Lanes may want different things of one stream. */
    decoding[1].temperature = 2;
    decoding[1].top_p = 1;
    decoding[2].max_tokens = 5;
    answer_all(d, index, 3, decoding, other);
    check_same(&greedy[0], &other[0]);
    assert_memory_not_equal(greedy[1].token, other[1].token, sizeof greedy[1].token);
    assert_int_equal(other[2].count, 5);
    assert_memory_equal(greedy[2].token, other[2].token, 5 * sizeof(int32_t));
    decoder_destroy(d);
}

/* A continuation ends right before its stop token, and the others go on. */
static void test_stop(void **state)
{
    (void)state;
    static const int64_t index[] = {0, 1, 2, 3, 4};
    decoder *d = make_model("transformer-xl");
    task_decoding decoding[SAMPLES];
    answer whole[SAMPLES], cut[SAMPLES];
    int stopped = 0;
    for (int i = 0; i < SAMPLES; i++)
        decoding[i] = (task_decoding){.max_tokens = MOST, .temperature = 1, .top_p = 1, .seed = 3, .stop = -1};
    answer_all(d, index, SAMPLES, decoding, whole);
    for (int i = 0; i < SAMPLES; i++) decoding[i].stop = whole[0].token[MOST / 2];
    answer_all(d, index, SAMPLES, decoding, cut);
    for (int i = 0; i < SAMPLES; i++) {
        size_t end = 0;
        while (end < MOST && whole[i].token[end] != decoding[i].stop) end++;
        assert_int_equal(cut[i].count, end);
        assert_memory_equal(whole[i].token, cut[i].token, end * sizeof(int32_t));
        stopped += end < MOST;
    }
    assert_true(stopped > 0);
    decoder_destroy(d);
}

int main(void)
{
    use_blas();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_temperature),   cmocka_unit_test(test_order),
        cmocka_unit_test(test_top_p),         cmocka_unit_test(test_draws_hang_on_the_sample),
        cmocka_unit_test(test_greedy_limits), cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
