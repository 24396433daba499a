/* Where samples begin: anew, behind a start that they share, or at checkpoints; and the checkpoints on the way. */
#include "harness/eval/batch_parts.h"

#include "harness/base/os.h"
#include "harness/eval/sample_checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Checkpoints may take one part in so many of the time. */
enum { SAVING_PART = 20 };

/* ---- Tokens ---- */

/* Exactly `want` more tokens of a sample. */
int batch_read_tokens(const batch_setup *setup, task_sample *s, const batch_item *item, int32_t *tokens,
                      size_t want, pal_error *err)
{
    for (size_t got = 0, more; got < want; got += more) {
        PAL_TRY(setup->task->eval->read(s, tokens + got, want - got, &more, err));
        if (more == 0)
            return pal_fail(err, PAL_INTERNAL, "task %s: sample %lld of %s ends before its %llu tokens",
                            setup->task->name, (long long)item->index, item->cell->name,
                            (unsigned long long)item->tokens);
    }
    const int64_t vocab = decoder_config(setup->d)->vocab;
    for (size_t i = 0; i < want; i++)
        if (tokens[i] < 0 || tokens[i] >= vocab)
            return pal_fail(err, PAL_USAGE,
                            "task %s uses token %d, but the model's vocabulary has %lld; choose another model",
                            setup->task->name, (int)tokens[i], (long long)vocab);
    return PAL_OK;
}

static int skip_tokens(batch *b, task_sample *s, const batch_item *item, uint64_t count, pal_error *err)
{
    for (uint64_t done = 0; done < count;) {
        const size_t take = count - done < BATCH_CHUNK ? (size_t)(count - done) : BATCH_CHUNK;
        PAL_TRY(batch_read_tokens(b->setup, s, item, b->tokens, take, err));
        done += take;
    }
    return PAL_OK;
}

/* ---- The beginning: anew, from a shared prefix, or from checkpoints ---- */

void batch_close_base(batch_runner *r)
{
    stream_destroy(r->base);
    free(r->snapshot);
    r->base = NULL;
    r->snapshot = NULL;
}

int batch_start_stream(batch *b, size_t lanes, pal_error *err)
{
    stream_destroy(b->stream);
    b->stream = NULL;
    b->lanes = lanes;
    PAL_TRY(stream_create(&b->stream, b->setup->d, b->setup->threads, lanes, err));
    if (!b->setup->share) stream_read_all(b->stream);
    for (size_t i = 0; i < b->count; i++) b->slot[i].passed = b->slot[i].reused = 0;
    b->snapshot = stream_snapshot_bytes(b->stream);
    return PAL_OK;
}

/* Let the shared stream read on to `position`, taking the tokens from a sample that has just been opened. */
static int read_shared(batch *b, task_sample *sample, const batch_item *item, uint64_t position, pal_error *err)
{
    stream *base = b->r->base;
    PAL_TRY(skip_tokens(b, sample, item, stream_position(base), err));
    while (stream_position(base) < position) {
        const uint64_t left = position - stream_position(base), passed = stream_passed(base, 0);
        const double reused = stream_reused(base, 0);
        const size_t take = left < BATCH_CHUNK ? (size_t)left : BATCH_CHUNK;
        PAL_TRY(batch_read_tokens(b->setup, sample, item, b->tokens, take, err));
        stream_feed(base, b->tokens, BATCH_CHUNK, take, UINT64_MAX, NULL, NULL);
        const double read = (double)take - ((double)stream_passed(base, 0) - (double)passed);
        const double whole = read - (stream_reused(base, 0) - reused);
        for (size_t i = 0; i < b->count; i++) b->slot[i].read += whole / (double)b->count;
        if (b->setup->progress) b->setup->progress(b->setup->arg, take, read);
    }
    return PAL_OK;
}

/* Start every lane where what the samples share ends. */
static int start_shared(batch *b, uint64_t position, pal_error *err)
{
    batch_runner *r = b->r;
    const batch_item *item = b->slot[0].item;
    if (!r->base || r->base_id != item->shared_id || r->base_from != item->passed ||
        stream_position(r->base) > position) {
        batch_close_base(r);
        r->base_id = item->shared_id;
        r->base_from = item->passed;
        r->snapshot = malloc(b->snapshot);
        if (!r->snapshot) return pal_fail(err, PAL_INTERNAL, "out of memory for a snapshot; use share=0");
        PAL_TRY(stream_create(&r->base, b->setup->d, b->setup->threads, 1, err));
        if (item->passed > 0) stream_skip(r->base, item->passed, !b->setup->zeroed);
    }
    task_sample *sample = NULL;
    PAL_TRY(b->setup->task->eval->open(b->setup->run, item->cell, item->index, &sample, err));
    const int code = read_shared(b, sample, item, position, err);
    b->setup->task->eval->close(sample);
    PAL_TRY(code);
    stream_save(r->base, 0, r->snapshot);
    for (size_t i = 0; i < b->lanes; i++) PAL_TRY(stream_restore(b->stream, i, r->snapshot, err));
    return PAL_OK;
}

/* Whether the scores in a checkpoint are those that a stream at its place has delivered: without a gap, and
 * choices of this vocabulary. */
static int scores_fit(const batch *b, const batch_item *item, const partial *p)
{
    const uint64_t read = stream_position(b->stream) - stream_buffered(b->stream),
                   all = item->tokens - item->first;
    const uint64_t due = read + 1 > item->first ? read + 1 - item->first : 0;
    if (stream_position(b->stream) != p->position || p->scored != (due < all ? due : all)) return 0;
    for (size_t i = 0; i < p->scored; i++)
        if (p->argmax[i] < 0 || (size_t)p->argmax[i] >= stream_vocab(b->stream)) return 0;
    return isfinite(p->seconds) && p->seconds >= 0 && isfinite(p->read) && p->read >= 0;
}

static int resume_lane(batch *b, size_t lane, pal_error *err)
{
    slot *s = b->lane[lane];
    char path[PARTIAL_PATH];
    partial p;
    partial_path(b->setup->partial, s->item->key, s->item->index, path);
    PAL_TRY(partial_load(path, s->item->key, s->item->index, &p, err));
    int code = PAL_OK;
    if (p.state_bytes != b->snapshot || p.position != s->item->resume || p.position > s->item->tokens)
        code = pal_fail(err, PAL_DATA, "%s: not a checkpoint that fits", path);
    pal_error cause;
    if (code == PAL_OK && stream_restore(b->stream, lane, p.state, &cause) != PAL_OK)
        code = pal_fail(err, PAL_DATA, "%s: %s: remove the file", path, cause.text);
    if (code == PAL_OK && !scores_fit(b, s->item, &p))
        code = pal_fail(err, PAL_DATA, "%s: its scores do not fit its place: remove the file", path);
    if (code == PAL_OK) {
        memcpy(s->nll, p.nll, p.scored * sizeof *s->nll);
        memcpy(s->argmax, p.argmax, p.scored * sizeof *s->argmax);
        s->next = s->item->first + p.scored;
        s->seconds = p.seconds;
        s->read = p.read;
    }
    partial_free(&p);
    return code;
}

/* Checkpoints that do not fit are no reason to stop: the samples start anew. */
static int start_resumed(batch *b, pal_error *err)
{
    pal_error cause;
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < b->lanes; i++) code = resume_lane(b, i, &cause);
    if (code == PAL_OK) return PAL_OK;
    if (code != PAL_DATA) return pal_fail(err, code, "%s", cause.text);
    for (size_t i = 0; i < b->lanes; i++) {
        b->lane[i]->next = b->lane[i]->item->first;
        b->lane[i]->seconds = b->lane[i]->read = 0;
    }
    stream_reset(b->stream);
    char note[sizeof cause.text + 32];
    snprintf(note, sizeof note, "%s; starting anew", cause.text);
    if (b->setup->note) b->setup->note(b->setup->arg, note);
    return PAL_OK;
}

int batch_start(batch *b, uint64_t position, pal_error *err)
{
    PAL_TRY(batch_start_stream(b, b->count, err));
    const batch_item *first = b->slot[0].item;
    if (first->resume)
        PAL_TRY(start_resumed(b, err));
    else if (first->shared > 0)
        PAL_TRY(start_shared(b, position, err));
    else if (first->passed > 0)
        stream_skip(b->stream, position, !b->setup->zeroed);
    for (size_t i = 0; i < b->count; i++)
        PAL_TRY(skip_tokens(b, b->slot[i].sample, b->slot[i].item, stream_position(b->stream), err));
    return PAL_OK;
}

/* ---- Checkpoints ---- */

int batch_continued(const slot *s)
{
    return s->item->decoding.max_tokens > 0;
}

/* Save every lane at work. Not after a prompt that is to be continued: its snapshot would have to be kept too, and
 * answers are short. */
int batch_save_partials(batch *b, pal_error *err)
{
    const uint64_t position = stream_position(b->stream);
    const double now = os_now();
    const double pause = b->save_cost * SAVING_PART;
    if (!b->setup->partial || now - b->saved < (pause > b->setup->partial_every ? pause : b->setup->partial_every))
        return PAL_OK;
    for (size_t i = 0; i < b->lanes; i++)
        if (!b->lane[i]->item->key || (batch_continued(b->lane[i]) && position >= b->lane[i]->item->prompt))
            return PAL_OK;
    void *state = malloc(b->snapshot);
    int code = state ? os_make_dirs(b->setup->partial, err)
                     : pal_fail(err, PAL_INTERNAL, "out of memory for a snapshot; use checkpoint=0");
    for (size_t i = 0; code == PAL_OK && i < b->lanes; i++) {
        const slot *s = b->lane[i];
        if (s->finished) continue;
        char path[PARTIAL_PATH];
        partial_path(b->setup->partial, s->item->key, s->item->index, path);
        stream_save(b->stream, i, state);
        code = partial_save(path, s->item->key, s->item->index,
                            &(partial){.position = position,
                                       .seconds = s->seconds,
                                       .read = s->read,
                                       .state = state,
                                       .state_bytes = b->snapshot,
                                       .nll = s->nll,
                                       .argmax = s->argmax,
                                       .scored = (size_t)(s->next - s->item->first)},
                            err);
    }
    free(state);
    b->saved = os_now();
    b->save_cost = b->saved - now;
    return code;
}
