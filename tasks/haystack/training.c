/* Opens a sample for every sequence, reads it whole, and turns it into inputs, targets and weights.
 * What a sample is, the task's evaluation says. */
#include "tasks/haystack/training.h"

#include "harness/base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEQUENCES = 1000000 /* different ones; then they come again */ };

typedef struct training_source {
    const task_module *task;
    const char *const *key;
    const training_settings *settings;
    const tokenizer *tokenizer;
    uint64_t seed;
    task_run *run; /* NULL before the first phase */
    int64_t lanes, length;
    int32_t *token; /* [length + 1] */
} training_source;

int training_open(const task_module *task, const char *const *key, const training_settings *settings,
                  const tokenizer *t, uint64_t seed, task_source **out, pal_error *err)
{
    training_source *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "%s training: out of memory", task->name);
    *s = (training_source){.task = task, .key = key, .settings = settings, .tokenizer = t, .seed = seed};
    *out = (task_source *)s;
    return PAL_OK;
}

static void end_run(training_source *s)
{
    if (s->run) s->task->eval->end(s->run);
    s->run = NULL;
    free(s->token);
    s->token = NULL;
}

void training_close(task_source *handle)
{
    training_source *s = (training_source *)handle;
    if (!s) return;
    end_run(s);
    free(s);
}

/* Sets a key that the request has; `len` is none of all. */
static int set_key(const task_eval *eval, void *request, const char *key, const char *value, pal_error *err)
{
    const kv_spec *spec = kv_find(eval->request_table, eval->request_count, key);
    return spec ? kv_set(spec, request, value, err) : PAL_OK;
}

static int fill_request(const training_source *s, void *request, pal_error *err)
{
    const task_eval *eval = s->task->eval;
    char number[32];
    PAL_TRY(kv_defaults(eval->request_table, eval->request_count, request, err));
    for (size_t i = 0; s->key[i]; i++) PAL_TRY(set_key(eval, request, s->key[i], s->settings->value[i], err));
    snprintf(number, sizeof number, "%lld", (long long)s->length + 1);
    PAL_TRY(set_key(eval, request, "len", number, err));
    snprintf(number, sizeof number, "%d", SEQUENCES);
    PAL_TRY(set_key(eval, request, "n", number, err));
    /* From the far end of the seeds that a request may have. */
    snprintf(number, sizeof number, "%llu", (1ULL << 53) - 1 - (unsigned long long)(s->seed % (1ULL << 52)));
    return set_key(eval, request, "seed", number, err);
}

int training_phase(task_source *handle, int64_t lanes, int64_t length, pal_error *err)
{
    training_source *s = (training_source *)handle;
    end_run(s);
    s->lanes = lanes;
    s->length = length;
    s->token = malloc((size_t)(length + 1) * sizeof *s->token);
    void *request = calloc(1, s->task->eval->request_bytes);
    int code =
        s->token && request ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s training: out of memory", s->task->name);
    if (code == PAL_OK) code = fill_request(s, request, err);
    if (code == PAL_OK && s->task->eval->settle) code = s->task->eval->settle(request, err);
    if (code == PAL_OK) code = s->task->eval->begin(request, s->tokenizer, &s->run, err);
    free(request);
    return code;
}

/* All tokens of the sample; *count of them. */
static int read_all(training_source *s, task_sample *sample, size_t *count, pal_error *err)
{
    const size_t room = (size_t)s->length + 1;
    for (size_t got = 1; got > 0 && *count < room; *count += got)
        PAL_TRY(s->task->eval->read(sample, s->token + *count, room - *count, &got, err));
    return PAL_OK;
}

int training_fill(task_source *handle, int64_t step, int64_t lane, int32_t *tokens, int32_t *targets,
                  float *weight, int *fresh, pal_error *err)
{
    training_source *s = (training_source *)handle;
    const task_eval *eval = s->task->eval;
    const task_cell *cells;
    const size_t kinds = eval->cells(s->run, &cells);
    rng draws = rng_make(s->seed, "training/cell", (uint64_t)step, (uint32_t)lane);
    const task_cell *cell = &cells[rng_below(&draws, kinds)];
    task_sample *sample;
    PAL_TRY(eval->open(s->run, cell, (step * s->lanes + lane) % SEQUENCES, &sample, err));
    sample_shape shape = {.tail = UINT64_MAX, .decoding = {.stop = -1}};
    eval->shape(sample, &shape);
    size_t count = 0;
    int code = read_all(s, sample, &count, err);
    if (code == PAL_OK && shape.tokens > (uint64_t)s->length + 1)
        code = pal_fail(err, PAL_USAGE,
                        "%s training: a sample of %s has %llu tokens, which train_len=%lld cannot hold",
                        s->task->name, cell->name, (unsigned long long)shape.tokens, (long long)s->length);
    eval->close(sample);
    PAL_TRY(code);
    const int32_t rest = tokenizer_begin(s->tokenizer);
    for (size_t i = 0; i < (size_t)s->length; i++) {
        tokens[i] = i < count ? s->token[i] : rest;
        targets[i] = i + 1 < count ? s->token[i + 1] : rest;
        weight[i] = i + 1 >= count ? 0 : i + 1 >= shape.score_from ? 1 : (float)s->settings->lm_weight;
    }
    *fresh = 1;
    return PAL_OK;
}

int training_save(const task_source *s, char *out, size_t size, pal_error *err)
{
    (void)s, (void)size, (void)err;
    out[0] = '\0';
    return PAL_OK;
}

int training_restore(task_source *handle, const char *saved, pal_error *err)
{
    const training_source *s = (const training_source *)handle;
    if (!saved[0]) return PAL_OK;
    return pal_fail(err, PAL_DATA, "%s training: '%.40s' does not say where a source stood", s->task->name, saved);
}
