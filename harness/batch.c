#include "harness/batch.h"

#include <stdlib.h>

/* Tokens read at once from each sample: small enough for a lively progress line. */
enum { CHUNK = 1024 };

typedef struct batch {
    const decoder *d;
    const task_module *task;
    const batch_item *item;
    size_t count;
    task_sample **sample;
    stream *stream;
    uint64_t length, prompt, first, scored; /* of every sample; targets first .. first + scored - 1 are scored */
    size_t generate;
    int32_t *tokens;    /* [count, CHUNK] */
    double *nll;        /* [count, scored] */
    int32_t *argmax;    /* [count, scored] */
    int32_t *generated; /* [count, generate] */
    char *snapshots;    /* [count, snapshot] */
    batch_progress *progress;
    void *arg;
} batch;

size_t batch_bytes(const decoder *d, size_t workers, size_t lanes, uint64_t scored)
{
    const size_t segment = (size_t)decoder_config(d)->segment;
    const size_t lane = decoder_state_bytes(d) + (segment + CHUNK) * sizeof(int32_t) +
                        (size_t)scored * (sizeof(double) + sizeof(int32_t));
    return stream_bytes(d, workers, lanes) + lanes * lane;
}

/* The sink of the stream: keep the scores. */
static void keep_score(void *arg, size_t lane, uint64_t target, double nll, int32_t argmax)
{
    const batch *b = arg;
    if (target < b->first || target >= b->first + b->scored) return;
    const size_t at = lane * b->scored + (size_t)(target - b->first);
    b->nll[at] = nll;
    b->argmax[at] = argmax;
}

/* Exactly `want` more tokens of a lane. */
static int read_lane(batch *b, size_t lane, size_t want, pal_error *err)
{
    int32_t *tokens = b->tokens + lane * CHUNK;
    for (size_t got = 0, more; got < want; got += more) {
        more = b->task->read(b->sample[lane], tokens + got, want - got);
        if (more == 0)
            return pal_fail(err, PAL_INTERNAL, "task %s: a sample of %s ends before its %llu tokens",
                            b->task->name, b->item[lane].cell->name, (unsigned long long)b->length);
    }
    const int64_t vocab = decoder_config(b->d)->vocab;
    for (size_t i = 0; i < want; i++)
        if (tokens[i] < 0 || tokens[i] >= vocab)
            return pal_fail(err, PAL_USAGE,
                            "task %s uses token %d, but the model's vocabulary has %lld; choose another model",
                            b->task->name, (int)tokens[i], (long long)vocab);
    return PAL_OK;
}

static int feed_to(batch *b, uint64_t end, pal_error *err)
{
    for (uint64_t at = stream_position(b->stream); at < end; at = stream_position(b->stream)) {
        const size_t count = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
        for (size_t lane = 0; lane < b->count; lane++) PAL_TRY(read_lane(b, lane, count, err));
        stream_feed(b->stream, b->tokens, CHUNK, count, b->first, keep_score, b);
        if (b->progress) b->progress(b->arg, count * b->count);
    }
    return PAL_OK;
}

static int run(batch *b, pal_error *err)
{
    const size_t snapshot = b->generate ? stream_snapshot_bytes(b->stream) : 0;
    PAL_TRY(feed_to(b, b->prompt, err));
    if (snapshot) {
        b->snapshots = malloc(b->count * snapshot);
        if (!b->snapshots) return pal_fail(err, PAL_INTERNAL, "out of memory for snapshots; lower batch=");
        for (size_t lane = 0; lane < b->count; lane++)
            stream_save(b->stream, lane, b->snapshots + lane * snapshot);
    }
    PAL_TRY(feed_to(b, b->length, err));
    stream_flush(b->stream, b->first, keep_score, b);
    if (snapshot) {
        for (size_t lane = 0; lane < b->count; lane++)
            PAL_TRY(stream_restore(b->stream, lane, b->snapshots + lane * snapshot, err));
        stream_generate(b->stream, b->generate, b->generated);
    }
    return PAL_OK;
}

static int open_samples(batch *b, const void *request, pal_error *err)
{
    for (size_t i = 0; i < b->count; i++) {
        PAL_TRY(b->task->open(request, b->item[i].cell, b->item[i].index, &b->sample[i], err));
        const uint64_t length = (uint64_t)b->item[i].cell->length, prompt = b->task->prompt_tokens(b->sample[i]),
                       first = b->task->score_from(b->sample[i]);
        const size_t generate = b->task->generate(b->sample[i]);
        if (i == 0) {
            b->length = length;
            b->prompt = prompt;
            b->first = first;
            b->generate = generate;
        }
        if (length != b->length || prompt != b->prompt || first != b->first || generate != b->generate ||
            prompt > length || first > length)
            return pal_fail(err, PAL_INTERNAL, "task %s: samples of %s and %s do not run in lockstep; use batch=1",
                            b->task->name, b->item[0].cell->name, b->item[i].cell->name);
    }
    b->scored = b->length - b->first;
    return PAL_OK;
}

static int allocate(batch *b, pool *threads, pal_error *err)
{
    PAL_TRY(stream_create(&b->stream, b->d, threads, b->count, err));
    b->tokens = calloc(b->count * CHUNK, sizeof *b->tokens);
    b->nll = calloc(b->count * b->scored + 1, sizeof *b->nll);
    b->argmax = calloc(b->count * b->scored + 1, sizeof *b->argmax);
    b->generated = calloc(b->count * b->generate + 1, sizeof *b->generated);
    if (!b->tokens || !b->nll || !b->argmax || !b->generated)
        return pal_fail(err, PAL_INTERNAL, "out of memory for the scores; lower batch=");
    return PAL_OK;
}

int batch_run(const decoder *d, pool *threads, const task_module *task, const void *request,
              const batch_item *item, size_t count, batch_result *result, batch_progress *progress, void *arg,
              pal_error *err)
{
    batch b = {.d = d, .task = task, .item = item, .count = count, .progress = progress, .arg = arg};
    b.sample = calloc(count, sizeof *b.sample);
    int code = b.sample ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the samples");
    if (code == PAL_OK) code = open_samples(&b, request, err);
    if (code == PAL_OK) code = allocate(&b, threads, err);
    if (code == PAL_OK) code = run(&b, err);
    for (size_t i = 0; code == PAL_OK && i < count; i++) {
        const task_output output = {.first = b.first,
                                    .count = b.scored,
                                    .nll = b.nll + i * b.scored,
                                    .argmax = b.argmax + i * b.scored,
                                    .generated = b.generated + i * b.generate,
                                    .generated_count = b.generate};
        task->score(b.sample[i], &output, result[i].metric, result[i].record, BATCH_RECORD);
    }
    for (size_t i = 0; b.sample && i < count; i++)
        if (b.sample[i]) task->close(b.sample[i]);
    stream_destroy(b.stream);
    free(b.sample);
    free(b.tokens);
    free(b.nll);
    free(b.argmax);
    free(b.generated);
    free(b.snapshots);
    return code;
}
