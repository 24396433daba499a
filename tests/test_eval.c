/* A batch of samples through a model, against the model run by hand, one sample at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "harness/batch.h"
#include "models/attention/attention.h"
#include "models/engine/gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 37, SEGMENT = 16, LENGTH = 75, PROMPT = 66, FIRST = 60, GENERATE = 20, SAMPLES = 3 };

static pal_error err;

/* ---- A toy task: random tokens; its score keeps what it is given. ---- */

struct task_sample {
    int64_t index;
    int64_t at;
};

typedef struct seen {
    double nll[LENGTH - FIRST];
    int32_t argmax[LENGTH - FIRST], generated[GENERATE];
} seen;

static seen seen_of[SAMPLES];
static int uneven; /* sample 1 has another prompt */
static int short_read;
static int32_t token_bias;

static int32_t token_at(int64_t index, int64_t at)
{
    rng r = rng_make(3, "toy", (uint64_t)index, (uint32_t)at);
    return (int32_t)rng_below(&r, VOCAB);
}

static int toy_open(const void *request, const task_cell *cell, int64_t index, task_sample **out, pal_error *e)
{
    (void)request, (void)cell, (void)e;
    *out = calloc(1, sizeof **out);
    (*out)->index = index;
    return PAL_OK;
}

static size_t toy_read(task_sample *s, int32_t *tokens, size_t max)
{
    const int64_t length = short_read ? LENGTH - 1 : LENGTH;
    size_t count = 0;
    /* At most seven at once: a task may give fewer than it is asked for. */
    for (; count < max && count < 7 && s->at < length; count++)
        tokens[count] = token_at(s->index, s->at++) + token_bias;
    return count;
}

static uint64_t toy_prompt(const task_sample *s)
{
    return PROMPT - (uint64_t)(uneven && s->index == 1);
}

static uint64_t toy_first(const task_sample *s)
{
    (void)s;
    return FIRST;
}

static size_t toy_generate(const task_sample *s)
{
    (void)s;
    return GENERATE;
}

static void toy_score(const task_sample *s, const task_output *out, double *metric, char *record, size_t size)
{
    assert_int_equal(out->first, FIRST);
    assert_int_equal(out->count, LENGTH - FIRST);
    assert_int_equal(out->generated_count, GENERATE);
    seen *keep = &seen_of[s->index];
    memcpy(keep->nll, out->nll, sizeof keep->nll);
    memcpy(keep->argmax, out->argmax, sizeof keep->argmax);
    memcpy(keep->generated, out->generated, sizeof keep->generated);
    metric[0] = (double)s->index;
    snprintf(record, size, "{\"index\":%d}", (int)s->index);
}

static void toy_close(task_sample *s)
{
    free(s);
}

static const task_module toy = {.name = "toy",
                                .open = toy_open,
                                .read = toy_read,
                                .prompt_tokens = toy_prompt,
                                .score_from = toy_first,
                                .generate = toy_generate,
                                .score = toy_score,
                                .close = toy_close};

static decoder *make_model(const char *attention)
{
    char text[256];
    snprintf(text, sizeof text,
             "attention = %s\nvocab = %d\nd_model = 32\nn_layers = 2\nn_heads = 2\nd_head = 16\nd_ff = 48\n"
             "segment = %d\ninit_std = 0.3\n",
             attention, VOCAB, SEGMENT);
    kv_pairs pairs = {0};
    model_config cfg;
    decoder *d = NULL;
    assert_int_equal(kv_pairs_parse(&pairs, text, "test", &err), PAL_OK);
    assert_int_equal(model_config_read(&cfg, &pairs, &err), PAL_OK);
    assert_int_equal(decoder_create(&d, &cfg, &err), PAL_OK);
    kv_pairs_free(&pairs);
    decoder_init(d, 5);
    return d;
}

static int run_toy(const decoder *d, int threads, const int64_t *index, size_t count)
{
    static const task_cell cell = {.length = LENGTH, .samples = SAMPLES, .name = "toy"};
    batch_item item[SAMPLES];
    batch_result result[SAMPLES];
    pool *p = NULL;
    assert_int_equal(pool_create(&p, threads, &err), PAL_OK);
    for (size_t i = 0; i < count; i++) item[i] = (batch_item){&cell, index[i]};
    const int code = batch_run(d, p, &toy, NULL, item, count, result, NULL, NULL, &err);
    for (size_t i = 0; code == PAL_OK && i < count; i++) {
        char record[32];
        snprintf(record, sizeof record, "{\"index\":%d}", (int)index[i]);
        assert_string_equal(result[i].record, record);
        assert_true(result[i].metric[0] == (double)index[i]);
    }
    pool_destroy(p);
    return code;
}

/* The logits of every position of `tokens`, a segment at a time. */
static void by_hand(const decoder *d, const int32_t *tokens, size_t count, real *logits)
{
    pool *p = NULL;
    pass *one = NULL;
    void *state = calloc(1, decoder_state_bytes(d));
    assert_int_equal(pool_create(&p, 1, &err), PAL_OK);
    assert_int_equal(pass_create(&one, d, p, 1, 0, &err), PAL_OK);
    decoder_state_reset(d, state);
    for (size_t at = 0; at < count; at += SEGMENT) {
        int32_t segment[SEGMENT] = {0};
        const size_t valid = count - at < SEGMENT ? count - at : SEGMENT;
        memcpy(segment, tokens + at, valid * sizeof *segment);
        pass_forward(one, 0, segment, &valid, &state, 1);
        memcpy(logits + at * VOCAB, pass_logits(one, 0), valid * VOCAB * sizeof *logits);
    }
    free(state);
    pass_destroy(one);
    pool_destroy(p);
}

static int32_t largest(const real *logits)
{
    int32_t best = 0;
    for (int32_t t = 1; t < VOCAB; t++)
        if (logits[t] > logits[best]) best = t;
    return best;
}

static void test_against_hand(void **state)
{
    (void)state;
    static const char *const names[] = {"infini-linear", "transformer-xl", "full"};
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        decoder *d = make_model(names[m]);
        const int64_t all[SAMPLES] = {0, 1, 2};
        assert_int_equal(run_toy(d, 2, all, SAMPLES), PAL_OK);
        for (int64_t i = 0; i < SAMPLES; i++) {
            int32_t tokens[PROMPT + GENERATE + LENGTH];
            static real logits[(PROMPT + GENERATE + LENGTH) * VOCAB];
            for (int64_t t = 0; t < LENGTH; t++) tokens[t] = token_at(i, t);
            by_hand(d, tokens, LENGTH, logits);
            for (int t = FIRST; t < LENGTH; t++) {
                const real *row = logits + (size_t)(t - 1) * VOCAB;
                double sum = 0;
                for (int v = 0; v < VOCAB; v++) sum += exp((double)row[v] - (double)row[tokens[t]]);
                assert_true(fabs(seen_of[i].nll[t - FIRST] - log(sum)) < 1e-5);
                assert_int_equal(seen_of[i].argmax[t - FIRST], largest(row));
            }
            for (int g = 0; g < GENERATE; g++) {
                by_hand(d, tokens, (size_t)(PROMPT + g), logits);
                tokens[PROMPT + g] = largest(logits + (size_t)(PROMPT + g - 1) * VOCAB);
                assert_int_equal(seen_of[i].generated[g], tokens[PROMPT + g]);
            }
        }
        decoder_destroy(d);
    }
}

/* Every module: a sample's bits do not depend on its neighbours, its lane or the number of threads. */
static void test_neighbours_and_threads(void **state)
{
    (void)state;
    for (size_t m = 0; attn_table[m]; m++) {
        decoder *d = make_model(attn_table[m]->name);
        seen alone[SAMPLES];
        for (int64_t i = 0; i < SAMPLES; i++) assert_int_equal(run_toy(d, 1, &i, 1), PAL_OK);
        memcpy(alone, seen_of, sizeof alone);
        for (int threads = 1; threads <= 2; threads++) {
            const int64_t turned[SAMPLES] = {2, 0, 1};
            memset(seen_of, 0, sizeof seen_of);
            assert_int_equal(run_toy(d, threads, turned, SAMPLES), PAL_OK);
            assert_memory_equal(seen_of, alone, sizeof alone);
        }
        decoder_destroy(d);
    }
}

static void test_bad_tasks(void **state)
{
    (void)state;
    decoder *d = make_model("local");
    const int64_t all[SAMPLES] = {0, 1, 2};
    uneven = 1;
    assert_int_equal(run_toy(d, 1, all, SAMPLES), PAL_INTERNAL);
    assert_non_null(strstr(err.text, "lockstep"));
    assert_int_equal(run_toy(d, 1, &all[1], 1), PAL_OK);
    uneven = 0;
    short_read = 1;
    assert_int_equal(run_toy(d, 1, all, SAMPLES), PAL_INTERNAL);
    assert_non_null(strstr(err.text, "ends before"));
    short_read = 0;
    token_bias = VOCAB;
    assert_int_equal(run_toy(d, 1, all, SAMPLES), PAL_USAGE);
    assert_non_null(strstr(err.text, "vocabulary"));
    token_bias = 0;
    decoder_destroy(d);
}

static int setup(void **state)
{
    (void)state;
    gemm_setup();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_hand),
        cmocka_unit_test(test_neighbours_and_threads),
        cmocka_unit_test(test_bad_tasks),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
