/* Samples through one model, side by side: opening lanes, feeding the stream, keeping scores, finishing samples.
 * The header says what a sample's bits depend on. */
#include "harness/eval/batch_parts.h"
#include "models/decoder/state.h"

#include "harness/base/os.h"
#include "harness/eval/decode.h"
#include "harness/eval/sample_checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tokens read at once: BATCH_CHUNK of each sample, or up to MOST_READ of all together, where that takes less than
 * LIVELY seconds: a pipeline likes long feeds, a progress line short ones. */
enum { MOST_READ = 16 * BATCH_CHUNK };
static const double LIVELY = 0.25;
static size_t token_room(size_t lanes)
{
    return lanes * BATCH_CHUNK > MOST_READ ? lanes * BATCH_CHUNK : MOST_READ;
}

size_t batch_bytes(const decoder *d, size_t workers, size_t lanes, uint64_t scored, int shared)
{
    const size_t segment = (size_t)decoder_config(d)->segment;
    const size_t lane =
        decoder_state_bytes(d) + segment * sizeof(int32_t) + (size_t)scored * (sizeof(double) + sizeof(int32_t));
    return stream_bytes(d, workers, lanes) + stream_writing_bytes(d, workers, lanes) + lanes * lane +
           token_room(lanes) * sizeof(int32_t) +
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

void batch_close(batch_runner *r)
{
    if (!r) return;
    batch_close_base(r);
    free(r);
}

/* The next `want` tokens of a lane; after the end of its sample padding, which nothing before it can see. */
static int read_lane(batch *b, size_t lane, size_t want, pal_error *err)
{
    const slot *s = b->lane[lane];
    int32_t *tokens = b->tokens + lane * b->chunk;
    const uint64_t at = stream_position(b->stream), left = at < s->item->tokens ? s->item->tokens - at : 0;
    const size_t take = left < want ? (size_t)left : want;
    memset(tokens + take, 0, (want - take) * sizeof *tokens);
    return batch_read_tokens(b->setup, s->sample, s->item, tokens, take, err);
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

/* ---- The end of samples ---- */

static int all_finite(const double *value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(value[i])) return 0;
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
        s->finite = stream_finite(b->stream, i); /* a key that is no number may never be looked up again */
        if (!batch_continued(s)) PAL_TRY(deliver(b, s, NULL, err));
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
    int code = batch_start_stream(b, alive, err);
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
        if (!batch_continued(&b->slot[i]) || b->slot[i].item->prompt != prompt) continue;
        b->lane[lanes++] = &b->slot[i];
        room += b->slot[i].item->decoding.max_tokens;
    }
    if (lanes != b->lanes) PAL_TRY(batch_start_stream(b, lanes, err));
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
    if (code == PAL_OK) code = stream_check(b->stream, err);
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
        if (!batch_continued(s) || s->item->prompt != at) continue;
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
        if (batch_continued(s) && prompt > at && prompt < stop) stop = prompt;
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

/* Feed what read_lane has put up, `count` tokens from position `at` on; *read: the samples' own, all together, and
 * *computed of them. */
static void feed(batch *b, uint64_t at, size_t count, uint64_t *read, double *computed)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < b->lanes; i++)
        if (!b->lane[i]->finished && b->lane[i]->next < first) first = b->lane[i]->next;
    stream_feed(b->stream, b->tokens, b->chunk, count, first, keep_score, b);
    *read = 0;
    *computed = 0;
    for (size_t i = 0; i < b->lanes; i++) {
        slot *s = b->lane[i];
        if (s->finished) continue;
        const uint64_t left = s->item->tokens > at ? s->item->tokens - at : 0, mine = left < count ? left : count;
        const double passed = (double)stream_passed(b->stream, i) - s->passed;
        const double reused = stream_reused(b->stream, i) - s->reused;
        s->passed += passed;
        s->reused += reused;
        /* Padding behind a sample's end may be known too. */
        s->read += (double)mine - fmin(passed + reused, (double)mine);
        *read += mine;
        *computed += (double)mine - fmin(passed, (double)mine);
    }
}

static size_t unfinished(const batch *b)
{
    size_t count = 0;
    for (size_t i = 0; i < b->lanes; i++) count += !b->lane[i]->finished;
    return count;
}

static int run(batch *b, uint64_t position, pal_error *err)
{
    PAL_TRY(batch_start(b, position, err));
    for (;;) {
        PAL_TRY(act(b, err));
        const uint64_t at = stream_position(b->stream), end = end_of(b);
        if (at >= end) break;
        const size_t count = (size_t)(next_stop(b, end) - at);
        for (size_t lane = 0; lane < b->lanes; lane++) PAL_TRY(read_lane(b, lane, count, err));
        uint64_t read;
        double computed;
        feed(b, at, count, &read, &computed);
        PAL_TRY(stream_check(b->stream, err));
        account(b);
        if (b->setup->progress) b->setup->progress(b->setup->arg, read, computed);
        PAL_TRY(finish_lanes(b, err));
        PAL_TRY(batch_save_partials(b, err));
        PAL_TRY(drop_finished(b, err));
    }
    if (unfinished(b) > 0) { /* else what is left in the buffer is nobody's: a segment for nothing */
        stream_flush(b->stream, 0, keep_score, b);
        PAL_TRY(stream_check(b->stream, err));
        account(b);
        PAL_TRY(finish_lanes(b, err));
    }
    return continue_all(b, err);
}

int batch_run(batch_runner *r, const batch_item *item, const batch_group *group, pal_error *err)
{
    const size_t count = group->count;
    batch b = {.r = r, .setup = &r->setup, .count = count, .clock = os_now()};
    b.saved = b.clock;
    b.chunk = BATCH_CHUNK;
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
