/* Passkey training sources and their sequences, for the suites. */
#ifndef PAL_TEST_PASSKEY_SOURCE_H
#define PAL_TEST_PASSKEY_SOURCE_H

#include "tests/lib/passkey_parse.h"

#include "tasks/task.h"

enum { LENGTH_MAX = 65536 };

/* One sequence, and its text read back from the targets. */
typedef struct sequence {
    int64_t length;
    int32_t tokens[LENGTH_MAX], targets[LENGTH_MAX];
    float weight[LENGTH_MAX];
    int32_t truth[LENGTH_MAX + 1]; /* the text's tokens */
    char text[8 * LENGTH_MAX];
    int64_t size;
    parsed p;
} sequence;

/* A source that was opened, with its settings. */
typedef struct opened {
    const tokenizer *tokenizer;
    void *train;
    task_source *source;
} opened;

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline const task_module *task(void)
{
    return task_find("passkey");
}

static inline void *train_settings(const char *const *words)
{
    return settings(task()->train->table, task()->train->count, task()->train->bytes, words);
}

static inline opened open_source(const tokenizer *t, uint64_t seed, const char *const *words)
{
    opened o = {t, train_settings(words), NULL};
    pal_error err = {0};
    assert_int_equal(task()->train->open(o.train, t, seed, &o.source, &err), PAL_OK);
    return o;
}

static inline void close_source(opened *o)
{
    task()->train->close(o->source);
    free(o->train);
}

/* One sequence, whose text is not parsed. */
static inline void fill_sequence(opened *o, int64_t step, int64_t lane, int64_t length, sequence *s)
{
    pal_error err = {0};
    int fresh = 0;
    assert_int_equal(task()->train->phase(o->source, 8, length, &err), PAL_OK);
    memset(s->tokens, 0xff, sizeof s->tokens);
    memset(s->targets, 0xff, sizeof s->targets);
    for (int64_t i = 0; i < LENGTH_MAX; i++) s->weight[i] = -1;
    assert_int_equal(task()->train->fill(o->source, step, lane, s->tokens, s->targets, s->weight, &fresh, &err),
                     PAL_OK);
    assert_int_equal(fresh, 1);
    s->length = length;
    s->truth[0] = s->tokens[0];
    memcpy(s->truth + 1, s->targets, (size_t)length * sizeof *s->targets);
    s->size = (int64_t)tokenizer_decode(o->tokenizer, s->truth, (size_t)length + 1, s->text, sizeof s->text);
    assert_true((size_t)s->size < sizeof s->text);
}

#endif
