/* Samples through one model, side by side: opening lanes, feeding the stream, keeping scores, finishing samples.
 * The header says what a sample's bits depend on. */
#include "harness/eval/batch.h"
#include "models/decoder/state.h"

#include "harness/base/os.h"
#include "harness/eval/decode.h"
#include "harness/eval/sample_checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tokens read at once from each sample; more, up to MOST_READ of all samples together, where that takes less than
 * LIVELY seconds: a pipeline likes long feeds, a progress line short ones. */
enum { CHUNK = 1024, MOST_READ = 16 * CHUNK };
static const double LIVELY = 0.25;
/* Checkpoints may take one part in so many of the time. */
enum { SAVING_PART = 20 };

struct batch_runner {
    batch_setup setup;
    /* What samples of one id share from `base_from` on, read by a stream of its own. */
    stream *base;
    uint64_t base_id, base_from;
    void *snapshot; /* of one lane */
};

/* One sample at work. */
typedef struct slot {
    const batch_item *item;
    task_sample *sample;
    double *nll; /* [item->tokens - item->first] */
    int32_t *argmax;
    uint64_t next; /* position of the next target to be scored */
    int finite;    /* the state was, when the sample had been read */
    int finished;  /* all scores are there, and the sample is closed unless it is still to be continued */
    void *prompt;  /* snapshot after the prompt, of samples that are continued */
    double seconds, read;
} slot;

typedef struct batch {
    batch_runner *r;
    const batch_setup *setup;
    slot *slot;
    size_t count;
    slot **lane; /* which slot each lane of the stream runs */
    size_t lanes;
    stream *stream;
    size_t snapshot;    /* bytes */
    int32_t *tokens;    /* [lanes, chunk] */
    size_t chunk, room; /* tokens of a lane, and of all lanes, that are read at once */
    double clock, saved, save_cost;
    double passed; /* stream_passed when it was last looked at */
} batch;

static size_t token_room(size_t lanes)
{
    return lanes * CHUNK > MOST_READ ? lanes * CHUNK : MOST_READ;
}

size_t batch_bytes(const decoder *d, size_t workers, size_t lanes, uint64_t scored, int shared)
{
    const size_t segment = (size_t)decoder_config(d)->segment;
    const size_t lane =
        decoder_state_bytes(d) + segment * sizeof(int32_t) + (size_t)scored * (sizeof(double) + sizeof(int32_t));
    return stream_bytes(d, workers, lanes) + lanes * lane + token_room(lanes) * sizeof(int32_t) +
           (shared ? stream_bytes(d, workers, 1) + decoder_state_bytes(d) : 0);
}

int batch_open(batch_runner **out, const batch_setup *setup, pal_error *err)
{
    batch_runner *r = calloc(1, sizeof *r);
    if (!r) return pal_fail(err, PAL_INTERNAL, "out of memory for the samples");
    r->setup = *setup;
    *out = r;
    return PAL_OK;
}

static void close_base(batch_runner *r)
{
    stream_destroy(r->base);
    free(r->snapshot);
    r->base = NULL;
    r->snapshot = NULL;
}

void batch_close(batch_runner *r)
{
    if (!r) return;
    close_base(r);
    free(r);
}

/* ---- Tokens ---- */

/* Exactly `want` more tokens of a sample. */
static int read_tokens(const batch_setup *setup, task_sample *s, const batch_item *item, int32_t *tokens,
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
        const size_t take = count - done < CHUNK ? (size_t)(count - done) : CHUNK;
        PAL_TRY(read_tokens(b->setup, s, item, b->tokens, take, err));
        done += take;
    }
    return PAL_OK;
}

/* The next `want` tokens of a lane; after the end of its sample padding, which nothing before it can see. */
static int read_lane(batch *b, size_t lane, size_t want, pal_error *err)
{
    const slot *s = b->lane[lane];
    int32_t *tokens = b->tokens + lane * b->chunk;
    const uint64_t at = stream_position(b->stream), left = at < s->item->tokens ? s->item->tokens - at : 0;
    const size_t take = left < want ? (size_t)left : want;
    memset(tokens + take, 0, (want - take) * sizeof *tokens);
    return read_tokens(b->setup, s->sample, s->item, tokens, take, err);
}

/* The sink of the stream: keep the scores. */
static void keep_score(void *arg, size_t lane, uint64_t target, double nll, int32_t argmax)
{
    const batch *b = arg;
    slot *s = b->lane[lane];
    if (target != s->next || target >= s->item->tokens) return;
    s->nll[target - s->item->first] = nll;
    s->argmax[target - s->item->first] = argmax;
    s->next++;
}

/* ---- The beginning: anew, from a shared prefix, or from checkpoints ---- */

static int open_slots(batch *b, const batch_item *item, pal_error *err)
{
    for (size_t i = 0; i < b->count; i++) {
        slot *s = &b->slot[i];
        const size_t scored = (size_t)(item[i].tokens - item[i].first);
        *s = (slot){.item = &item[i], .next = item[i].first};
        s->nll = calloc(scored + 1, sizeof *s->nll);
        s->argmax = calloc(scored + 1, sizeof *s->argmax);
        if (!s->nll || !s->argmax)
            return pal_fail(err, PAL_INTERNAL, "out of memory for the scores; lower batch=");
        PAL_TRY(b->setup->task->eval->open(b->setup->run, item[i].cell, item[i].index, &s->sample, err));
    }
    return PAL_OK;
}

static int start_stream(batch *b, size_t lanes, pal_error *err)
{
    stream_destroy(b->stream);
    b->stream = NULL;
    b->lanes = lanes;
    PAL_TRY(stream_create(&b->stream, b->setup->d, b->setup->threads, lanes, err));
    if (!b->setup->share) stream_read_all(b->stream);
    b->passed = 0;
    b->snapshot = stream_snapshot_bytes(b->stream);
    return PAL_OK;
}

/* Let the shared stream read on to `position`, taking the tokens from a sample that has just been opened. */
static int read_shared(batch *b, task_sample *sample, const batch_item *item, uint64_t position, pal_error *err)
{
    stream *base = b->r->base;
    PAL_TRY(skip_tokens(b, sample, item, stream_position(base), err));
    while (stream_position(base) < position) {
        const uint64_t left = position - stream_position(base), passed = stream_passed(base);
        const size_t take = left < CHUNK ? (size_t)left : CHUNK;
        PAL_TRY(read_tokens(b->setup, sample, item, b->tokens, take, err));
        stream_feed(base, b->tokens, CHUNK, take, UINT64_MAX, NULL, NULL);
        const double read = (double)take - ((double)stream_passed(base) - (double)passed);
        for (size_t i = 0; i < b->count; i++) b->slot[i].read += read / (double)b->count;
        if (b->setup->progress) b->setup->progress(b->setup->arg, take);
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
        close_base(r);
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

static int start(batch *b, uint64_t position, pal_error *err)
{
    PAL_TRY(start_stream(b, b->count, err));
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

static int continued(const slot *s)
{
    return s->item->decoding.max_tokens > 0;
}

/* Save every lane at work. Not after a prompt that is to be continued: its snapshot would have to be kept too, and
 * answers are short. */
static int save_partials(batch *b, pal_error *err)
{
    const uint64_t position = stream_position(b->stream);
    const double now = os_now();
    const double pause = b->save_cost * SAVING_PART;
    if (!b->setup->partial || now - b->saved < (pause > b->setup->partial_every ? pause : b->setup->partial_every))
        return PAL_OK;
    for (size_t i = 0; i < b->lanes; i++)
        if (!b->lane[i]->item->key || (continued(b->lane[i]) && position >= b->lane[i]->item->prompt))
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

/* ---- The end of samples ---- */

static int all_finite(const double *value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(value[i])) return 0;
    return 1;
}

/* A key that is no number may never be looked up again: the state is asked too. */
static int state_finite(const batch *b, size_t lane)
{
    const char *state = stream_state(b->stream, lane);
    const real *value = decoder_layer_state(b->setup->d, state, 0);
    const size_t count = (size_t)(state + decoder_state_bytes(b->setup->d) - (const char *)value) / sizeof *value;
    for (size_t i = 0; i < count; i++)
        if (!isfinite((double)value[i])) return 0;
    return 1;
}

static int deliver(batch *b, slot *s, const continuation *c, pal_error *err)
{
    const batch_item *item = s->item;
    batch_result result = {.finite = s->finite && all_finite(s->nll, (size_t)(item->tokens - item->first)) &&
                                     (!c || !c->not_finite),
                           .seconds = s->seconds,
                           .read = s->read,
                           .held = b->snapshot};
    const task_output output = {.first = item->first,
                                .count = (size_t)(item->tokens - item->first),
                                .nll = s->nll,
                                .argmax = s->argmax,
                                .generated = c ? c->token : NULL,
                                .generated_count = c ? c->count : 0};
    b->setup->task->eval->score(s->sample, &output, result.value, result.record, BATCH_RECORD);
    b->setup->task->eval->close(s->sample);
    s->sample = NULL;
    for (size_t i = 0; !result.finite && i < TASK_VALUES; i++) result.value[i] = NAN;
    PAL_TRY(b->setup->done(b->setup->arg, item, &result, err));
    if (b->setup->partial && item->key) {
        char path[PARTIAL_PATH];
        partial_path(b->setup->partial, item->key, item->index, path);
        partial_remove(path);
    }
    return PAL_OK;
}

/* Finish the lanes whose scores are all there. */
static int finish_lanes(batch *b, pal_error *err)
{
    const uint64_t at = stream_position(b->stream);
    for (size_t i = 0; i < b->lanes; i++) {
        slot *s = b->lane[i];
        if (s->finished || at < s->item->tokens || s->next < s->item->tokens) continue;
        s->finished = 1;
        s->finite = state_finite(b, i);
        if (!continued(s)) PAL_TRY(deliver(b, s, NULL, err));
    }
    return PAL_OK;
}

/* The longest sample at work: the stream goes on to its end. */
static uint64_t end_of(const batch *b)
{
    uint64_t end = 0;
    for (size_t i = 0; i < b->lanes; i++)
        if (!b->lane[i]->finished && b->lane[i]->item->tokens > end) end = b->lane[i]->item->tokens;
    return end;
}

/* Go on with a smaller stream when samples have ended long before the others. */
static int drop_finished(batch *b, pal_error *err)
{
    size_t alive = 0;
    for (size_t i = 0; i < b->lanes; i++) alive += !b->lane[i]->finished;
    if (alive == 0 || alive == b->lanes || end_of(b) - stream_position(b->stream) < BATCH_WORTH_DROPPING)
        return PAL_OK;
    char *states = malloc(alive * b->snapshot);
    if (!states) return PAL_OK; /* padding is as good, only slower */
    size_t kept = 0;
    for (size_t i = 0; i < b->lanes; i++) {
        if (b->lane[i]->finished) continue;
        stream_save(b->stream, i, states + kept * b->snapshot);
        b->lane[kept++] = b->lane[i];
    }
    int code = start_stream(b, alive, err);
    for (size_t i = 0; code == PAL_OK && i < alive; i++)
        code = stream_restore(b->stream, i, states + i * b->snapshot, err);
    free(states);
    return code;
}

/* Continue the samples whose prompts end at `prompt`, in a stream of their own. */
static int continue_from(batch *b, uint64_t prompt, pal_error *err)
{
    size_t lanes = 0, room = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (!continued(&b->slot[i]) || b->slot[i].item->prompt != prompt) continue;
        b->lane[lanes++] = &b->slot[i];
        room += b->slot[i].item->decoding.max_tokens;
    }
    if (lanes != b->lanes) PAL_TRY(start_stream(b, lanes, err));
    continuation *c = calloc(lanes, sizeof *c);
    int32_t *tokens = calloc(room, sizeof *tokens);
    int code = c && tokens ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the continuations");
    size_t used = 0;
    for (size_t i = 0; code == PAL_OK && i < lanes; i++) {
        const slot *s = b->lane[i];
        c[i] = (continuation){.how = &s->item->decoding, .index = s->item->index, .token = tokens + used};
        used += s->item->decoding.max_tokens;
        code = stream_restore(b->stream, i, s->prompt, err);
    }
    const double began = os_now();
    if (code == PAL_OK) code = continuation_run(b->stream, c, lanes, err);
    for (size_t i = 0; code == PAL_OK && i < lanes; i++) {
        b->lane[i]->seconds += (os_now() - began) / (double)lanes;
        code = deliver(b, b->lane[i], &c[i], err);
    }
    free(c);
    free(tokens);
    return code;
}

static int continue_all(batch *b, pal_error *err)
{
    for (;;) {
        uint64_t prompt = UINT64_MAX;
        for (size_t i = 0; i < b->count; i++)
            if (b->slot[i].sample && b->slot[i].item->prompt < prompt) prompt = b->slot[i].item->prompt;
        if (prompt == UINT64_MAX) return PAL_OK;
        PAL_TRY(continue_from(b, prompt, err));
    }
}

/* ---- The stream ---- */

/* Positions where something happens to a lane: the control forgets right after the first token of the segment that
 * holds `forget`, because the stream reads a segment when the token after it is there. */
static uint64_t forget_position(const batch *b, const slot *s, uint64_t at)
{
    const uint64_t segment = (uint64_t)decoder_config(b->setup->d)->segment;
    if (!b->setup->zeroed) return UINT64_MAX;
    if (s->item->forget > 0) return s->item->forget + 1;
    return at <= 1 ? segment + 1 : (at - 2) / segment * segment + segment + 1; /* the next border from `at` on */
}

static int act(batch *b, pal_error *err)
{
    const uint64_t at = stream_position(b->stream);
    for (size_t i = 0; i < b->lanes; i++) {
        slot *s = b->lane[i];
        if (s->finished) continue;
        if (forget_position(b, s, at) == at) stream_zero_lane(b->stream, i);
        if (!continued(s) || s->item->prompt != at) continue;
        s->prompt = malloc(b->snapshot);
        if (!s->prompt) return pal_fail(err, PAL_INTERNAL, "out of memory for snapshots; lower batch=");
        stream_save(b->stream, i, s->prompt);
    }
    return PAL_OK;
}

/* How far to read before something else is to be done. */
static uint64_t next_stop(const batch *b, uint64_t end)
{
    const uint64_t at = stream_position(b->stream);
    uint64_t stop = end - at < b->chunk ? end : at + b->chunk;
    for (size_t i = 0; i < b->lanes; i++) {
        const slot *s = b->lane[i];
        if (s->finished) continue;
        const uint64_t forget = forget_position(b, s, at + 1), prompt = s->item->prompt;
        if (forget > at && forget < stop) stop = forget;
        if (continued(s) && prompt > at && prompt < stop) stop = prompt;
    }
    return stop;
}

/* Wall time since the last call, to the lanes at work. */
static void account(batch *b)
{
    const double now = os_now();
    if (now - b->clock < LIVELY && 2 * b->chunk * b->lanes <= b->room) b->chunk *= 2;
    size_t alive = 0;
    for (size_t i = 0; i < b->lanes; i++) alive += !b->lane[i]->finished;
    for (size_t i = 0; i < b->lanes; i++)
        if (!b->lane[i]->finished) b->lane[i]->seconds += (now - b->clock) / (double)alive;
    b->clock = now;
}

/* Feed what read_lane has put up, `count` tokens from position `at` on; *read: the samples' own, all together. */
static void feed(batch *b, uint64_t at, size_t count, uint64_t *read)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < b->lanes; i++)
        if (!b->lane[i]->finished && b->lane[i]->next < first) first = b->lane[i]->next;
    stream_feed(b->stream, b->tokens, b->chunk, count, first, keep_score, b);
    const double passed = (double)stream_passed(b->stream) - b->passed;
    b->passed += passed;
    *read = 0;
    for (size_t i = 0; i < b->lanes; i++) {
        slot *s = b->lane[i];
        if (s->finished) continue;
        const uint64_t left = s->item->tokens > at ? s->item->tokens - at : 0, mine = left < count ? left : count;
        s->read += (double)mine - passed;
        *read += mine;
    }
}

static int run(batch *b, uint64_t position, pal_error *err)
{
    PAL_TRY(start(b, position, err));
    for (;;) {
        PAL_TRY(act(b, err));
        const uint64_t at = stream_position(b->stream), end = end_of(b);
        if (at >= end) break;
        const size_t count = (size_t)(next_stop(b, end) - at);
        for (size_t lane = 0; lane < b->lanes; lane++) PAL_TRY(read_lane(b, lane, count, err));
        uint64_t read;
        feed(b, at, count, &read);
        account(b);
        if (b->setup->progress) b->setup->progress(b->setup->arg, read);
        PAL_TRY(finish_lanes(b, err));
        PAL_TRY(save_partials(b, err));
        PAL_TRY(drop_finished(b, err));
    }
    stream_flush(b->stream, 0, keep_score, b);
    account(b);
    PAL_TRY(finish_lanes(b, err));
    return continue_all(b, err);
}

int batch_run(batch_runner *r, const batch_item *item, const batch_group *group, pal_error *err)
{
    const size_t count = group->count;
    batch b = {.r = r, .setup = &r->setup, .count = count, .clock = os_now()};
    b.saved = b.clock;
    b.chunk = CHUNK;
    b.room = token_room(count);
    b.slot = calloc(count, sizeof *b.slot);
    b.lane = calloc(count, sizeof *b.lane);
    b.tokens = calloc(b.room, sizeof *b.tokens);
    int code =
        b.slot && b.lane && b.tokens ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the samples");
    for (size_t i = 0; code == PAL_OK && i < count; i++) b.lane[i] = &b.slot[i];
    if (code == PAL_OK) code = open_slots(&b, item + group->first, err);
    if (code == PAL_OK) code = run(&b, group->start, err);
    for (size_t i = 0; b.slot && i < count; i++) {
        if (b.slot[i].sample) r->setup.task->eval->close(b.slot[i].sample);
        free(b.slot[i].nll);
        free(b.slot[i].argmax);
        free(b.slot[i].prompt);
    }
    stream_destroy(b.stream);
    free(b.slot);
    free(b.lane);
    free(b.tokens);
    return code;
}
