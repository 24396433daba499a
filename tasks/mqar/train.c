/* Sequences of pairs to train on: a new one for every lane and step, its number of pairs drawn from a list.
 * The loss is on the answers alone, which the sequence never shows. */
#include "tasks/mqar/run.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct mqar_train {
    kv_list pairs;
    int64_t vocab, updates;
} mqar_train;

#define FIELD(name) offsetof(mqar_train, name)

static const kv_spec table[] = {
    {"mqar_pairs", KV_SIZES, FIELD(pairs), "4,8,16,32,64", 1, 99999, NULL,
     "pairs of a sequence, drawn from those that fit into train_len"},
    {"mqar_vocab", KV_SIZE, FIELD(vocab), "0", 0, 4194304, NULL,
     "tokens that are used; 0: 8192, or all where there are fewer"},
    {"mqar_updates", KV_SIZE, FIELD(updates), "0", 0, 99999, NULL,
     "keys that get another value, at most as many as there are pairs"},
};

enum { VOCAB = 8192 };

typedef struct mqar_source {
    const mqar_train *train;
    uint64_t seed;
    int64_t vocab, length;
    int64_t fits[KV_LIST_MAX], count; /* numbers of pairs that fit */
} mqar_source;

static int source_open(const void *train, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err)
{
    mqar_source *s = calloc(1, sizeof *s);
    const int64_t held = (int64_t)tokenizer_vocab(t);
    if (!s) return pal_fail(err, PAL_INTERNAL, "mqar training: out of memory");
    s->train = train;
    s->seed = seed;
    s->vocab = s->train->vocab ? s->train->vocab : held < VOCAB ? held : VOCAB;
    if (s->vocab > held || s->vocab < 4) {
        const int64_t asked = s->vocab;
        free(s);
        return pal_fail(err, PAL_USAGE, "mqar_vocab=%lld; this tokenizer has 4 to %lld tokens to use",
                        (long long)asked, (long long)held);
    }
    *out = (task_source *)s;
    return PAL_OK;
}

static void source_close(task_source *s)
{
    free(s);
}

static mqar_form form_of(const mqar_source *s, int64_t pairs)
{
    const int64_t updates = s->train->updates < pairs ? s->train->updates : pairs;
    return (mqar_form){.vocab = s->vocab, .length = s->length, .pairs = pairs, .updates = updates};
}

static int source_phase(task_source *handle, int64_t lanes, int64_t length, pal_error *err)
{
    mqar_source *s = (mqar_source *)handle;
    (void)lanes;
    s->length = length;
    s->count = 0;
    int code = pal_fail(err, PAL_USAGE, "mqar_pairs is empty; give at least one value");
    for (int64_t i = 0; i < s->train->pairs.count; i++) {
        const mqar_form f = form_of(s, (int64_t)s->train->pairs.value[i]);
        const int fits = mqar_check(&f, err);
        if (fits == PAL_OK) s->fits[s->count++] = f.pairs;
    }
    return s->count ? PAL_OK : code;
}

static int source_fill(task_source *handle, int64_t step, int64_t lane, int32_t *tokens, int32_t *targets,
                       float *weight, int *fresh, pal_error *err)
{
    mqar_source *s = (mqar_source *)handle;
    rng draws = rng_make(s->seed, "mqar/train", (uint64_t)step, (uint32_t)lane);
    rng noise = rng_make(s->seed, "mqar/train/noise", (uint64_t)step, (uint32_t)lane);
    const mqar_form f = form_of(s, s->fits[rng_below(&draws, (uint64_t)s->count)]);
    mqar_sequence sequence;
    int64_t next = 0;
    PAL_TRY(mqar_draw(&f, &draws, &sequence, err));
    for (int64_t i = 0; i < f.length; i++) {
        const int64_t asked = next;
        tokens[i] = mqar_token(&sequence, i, rng_below(&noise, (uint64_t)f.vocab), &next);
        weight[i] = next > asked;
        targets[i] = next > asked ? sequence.query[asked].value : 0;
    }
    mqar_free(&sequence);
    *fresh = 1;
    return PAL_OK;
}

static int source_save(const task_source *s, char *out, size_t size, pal_error *err)
{
    (void)s, (void)size, (void)err;
    out[0] = '\0';
    return PAL_OK;
}

static int source_restore(task_source *s, const char *saved, pal_error *err)
{
    (void)s;
    if (!saved[0]) return PAL_OK;
    return pal_fail(err, PAL_DATA, "mqar training: '%.40s' does not say where an mqar source stood", saved);
}

const task_train mqar_training = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .bytes = sizeof(mqar_train),
    .open = source_open,
    .phase = source_phase,
    .fill = source_fill,
    .save = source_save,
    .restore = source_restore,
    .close = source_close,
};
