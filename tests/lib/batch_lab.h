/* A toy task and a way to run it through small models in batches. */
#ifndef PAL_TEST_BATCH_LAB_H
#define PAL_TEST_BATCH_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "harness/eval/batch.h"
#include "models/attention/attention.h"
#include "models/engine/gemm.h"
#include "tests/lib/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 37, SEGMENT = 16, SAMPLES = 5, GENERATE = 20, LONGEST = 18000, KEPT = 256 };

static pal_error err;

/* ---- A toy task: random tokens; its score keeps what it is given. ---- */

typedef struct toy_run {
    int64_t length[SAMPLES], prompt[SAMPLES], first[SAMPLES]; /* of each sample */
    int64_t shared;                                           /* so many tokens agree in samples of one parity */
    int64_t tail;                                             /* from here on too, unless 0 */
    int64_t forget, forget_step;
    int64_t period; /* of the tokens, unless 0 */
    size_t generate[SAMPLES];
    int32_t stop;
    /* Faults. */
    int64_t fail_after, end_after; /* tokens; 0: never */
    int32_t bias;
} toy_run;

typedef struct toy_sample {
    const toy_run *run;
    int64_t index, at;
} toy_sample;

typedef struct seen {
    size_t count;
    double nll[KEPT];
    int32_t argmax[KEPT], generated[GENERATE];
    size_t generated_count;
    double sum;
} seen;

static seen seen_of[SAMPLES];
static double read_of[SAMPLES];

static inline int32_t token_at(const toy_run *run, int64_t index, int64_t at)
{
    if (run->period) at %= run->period;
    const int alike = at < run->shared || (run->tail && at >= run->tail);
    const uint64_t from = alike ? 100 + (uint64_t)index % 2 : (uint64_t)index;
    rng r = rng_make(3, "toy", from, (uint32_t)at);
    return (int32_t)rng_below(&r, VOCAB);
}

static inline int toy_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out,
                           pal_error *e)
{
    (void)cell, (void)e;
    toy_sample *s = calloc(1, sizeof *s);
    *s = (toy_sample){(const toy_run *)run, index, 0};
    *out = (task_sample *)s;
    return PAL_OK;
}

static inline int toy_read(task_sample *handle, int32_t *tokens, size_t max, size_t *got, pal_error *e)
{
    toy_sample *s = (toy_sample *)handle;
    const int64_t end = s->run->end_after ? s->run->end_after : s->run->length[s->index];
    if (s->run->fail_after && s->at >= s->run->fail_after) return pal_fail(e, PAL_DATA, "injected");
    /* At most 700 at once: a task may give fewer than it is asked for. */
    for (*got = 0; *got < max && *got < 700 && s->at < end; s->at++)
        tokens[(*got)++] = token_at(s->run, s->index, s->at) + s->run->bias;
    return PAL_OK;
}

static inline void toy_shape(const task_sample *handle, sample_shape *out)
{
    const toy_sample *s = (const toy_sample *)handle;
    const toy_run *run = s->run;
    *out = (sample_shape){.tokens = (uint64_t)run->length[s->index],
                          .prompt = (uint64_t)run->prompt[s->index],
                          .score_from = (uint64_t)run->first[s->index],
                          .shared = (uint64_t)run->shared,
                          .shared_id = 7 + (uint64_t)s->index % 2,
                          .tail = run->tail ? (uint64_t)run->tail : UINT64_MAX,
                          .tail_id = 70 + (uint64_t)s->index % 2,
                          .forget = (uint64_t)(run->forget + run->forget_step * (s->index % 2)),
                          .decoding = {.max_tokens = run->generate[s->index], .stop = run->stop}};
}

static inline void toy_score(const task_sample *handle, const task_output *out, double *value, char *record,
                             size_t size)
{
    const toy_sample *s = (const toy_sample *)handle;
    const toy_run *run = s->run;
    assert_int_equal(out->first, run->first[s->index]);
    assert_int_equal(out->count, run->length[s->index] - run->first[s->index]);
    assert_true(out->generated_count <= run->generate[s->index]);
    seen *keep = &seen_of[s->index];
    memset(keep, 0, sizeof *keep);
    keep->count = out->count;
    keep->generated_count = out->generated_count;
    const size_t kept = out->count < KEPT ? out->count : KEPT;
    memcpy(keep->nll, out->nll + out->count - kept, kept * sizeof *keep->nll);
    memcpy(keep->argmax, out->argmax + out->count - kept, kept * sizeof *keep->argmax);
    for (size_t i = 0; i < out->count; i++) keep->sum += out->nll[i];
    if (out->generated_count)
        memcpy(keep->generated, out->generated, out->generated_count * sizeof *keep->generated);
    value[0] = (double)s->index;
    snprintf(record, size, "{\"index\":%d}", (int)s->index);
}

static inline void toy_close(task_sample *s)
{
    free(s);
}

static const task_eval toy_eval = {
    .open = toy_open, .shape = toy_shape, .read = toy_read, .score = toy_score, .close = toy_close};
static const task_module toy = {.name = "toy", .eval = &toy_eval};

/* Short prompts and answers, of one length. */
static inline toy_run even_run(void)
{
    toy_run run = {.stop = -1};
    for (int i = 0; i < SAMPLES; i++) {
        run.length[i] = 75;
        run.prompt[i] = 66;
        run.first[i] = 60;
        run.generate[i] = GENERATE;
    }
    return run;
}

/* The same of 4000 tokens and more, mostly filler that comes round. */
static inline toy_run long_run(int64_t period)
{
    toy_run run = even_run();
    for (int i = 0; i < SAMPLES; i++) {
        run.length[i] = 4000 + 7 * i;
        run.prompt[i] = 3990;
        run.first[i] = 3900;
    }
    run.period = period;
    return run;
}

/* Everything differs from sample to sample. */
static inline toy_run ragged_run(void)
{
    toy_run run = even_run();
    const int64_t length[SAMPLES] = {75, 16, 161, 2, 64}, prompt[SAMPLES] = {66, 16, 66, 1, 33},
                  first[SAMPLES] = {60, 1, 100, 2, 33};
    const size_t generate[SAMPLES] = {GENERATE, 0, 3, GENERATE, 7};
    for (int i = 0; i < SAMPLES; i++) {
        run.length[i] = length[i];
        run.prompt[i] = prompt[i];
        run.first[i] = first[i];
        run.generate[i] = generate[i];
    }
    return run;
}

static inline decoder *make_model_with(const char *attention, const char *more)
{
    char text[400], segment[32] = "";
    if (!strstr(more, "segment")) snprintf(segment, sizeof segment, "segment = %d\n", SEGMENT);
    snprintf(text, sizeof text,
             "attention = %s\nvocab = %d\nd_model = 32\nn_layers = 2\nn_heads = 2\nd_head = 16\nd_ff = 48\n"
             "init_std = 0.3\n%s%s",
             attention, VOCAB, segment, more);
    return tiny_model(text, 5);
}

static inline decoder *make_model(const char *attention)
{
    return make_model_with(attention, "knn_entries = 4K\n");
}

/* ---- Running it ---- */

typedef struct how {
    size_t lanes;
    int threads, share, zeroed;
    const char *partial;
    uint64_t resume[SAMPLES];
} how;

static int done_count, notes;
static int may_diverge; /* states are forged: numbers that are not finite are no surprise */
static uint64_t progress_tokens;

static inline int on_done(void *arg, const batch_item *item, const batch_result *result, pal_error *e)
{
    char record[32];
    (void)arg, (void)e;
    snprintf(record, sizeof record, "{\"index\":%d}", (int)item->index);
    assert_string_equal(result->record, record);
    assert_true(result->finite || may_diverge);
    assert_true(result->finite ? result->value[0] == (double)item->index : isnan(result->value[0]));
    assert_true(result->held > 0);
    read_of[item->index] = result->read;
    done_count++;
    return PAL_OK;
}

static inline void on_progress(void *arg, uint64_t tokens, double computed)
{
    (void)arg;
    assert_true(computed <= (double)tokens + 1e-6);
    progress_tokens += tokens;
}

static inline void on_note(void *arg, const char *text)
{
    (void)arg;
    assert_non_null(strstr(text, "anew"));
    notes++;
}

static inline int run_toy(const decoder *d, const toy_run *run, how h, int64_t first, int64_t count)
{
    static const task_cell cell = {.length = 0, .samples = SAMPLES, .name = "toy"};
    batch_item item[SAMPLES];
    batch_group group[SAMPLES];
    batch_runner *runner = NULL;
    batch_setup setup = {.d = d,
                         .task = &toy,
                         .run = (const task_run *)run,
                         .share = h.share,
                         .zeroed = h.zeroed,
                         .partial = h.partial,
                         .partial_every = 1e-6,
                         .done = on_done,
                         .progress = on_progress,
                         .note = on_note};
    assert_int_equal(pool_create(&setup.threads, h.threads ? h.threads : 1, &err), PAL_OK);
    int code = PAL_OK;
    for (int64_t i = 0; code == PAL_OK && i < count; i++) {
        item[i] = (batch_item){.cell = &cell, .index = first + i, .key = "key"};
        code = batch_measure(&toy, (const task_run *)run, &item[i], &err);
        item[i].resume = h.resume[first + i];
    }
    done_count = 0;
    progress_tokens = 0;
    memset(seen_of + first, 0, (size_t)count * sizeof *seen_of);
    if (code == PAL_OK) code = batch_open(&runner, &setup, &err);
    const size_t groups =
        code == PAL_OK ? batch_cut(d, item, (size_t)count, h.lanes ? h.lanes : SAMPLES, h.share, h.zeroed, group)
                       : 0;
    for (size_t g = 0; code == PAL_OK && g < groups; g++) code = batch_run(runner, item, &group[g], &err);
    batch_close(runner);
    pool_destroy(setup.threads);
    if (code == PAL_OK) assert_int_equal(done_count, count);
    return code;
}

static inline void check_all(const decoder *d, const toy_run *run, how h, const seen *expected)
{
    if (run_toy(d, run, h, 0, SAMPLES) != PAL_OK) fail_msg("%s", err.text);
    assert_memory_equal(seen_of, expected, sizeof seen_of);
}

/* Each sample alone, reading all its tokens. */
static inline void run_alone(const decoder *d, const toy_run *run, int zeroed, seen out[SAMPLES])
{
    for (int64_t i = 0; i < SAMPLES; i++)
        if (run_toy(d, run, (how){.zeroed = zeroed}, i, 1) != PAL_OK) fail_msg("%s", err.text);
    memcpy(out, seen_of, sizeof seen_of);
}

#endif
