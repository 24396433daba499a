/* A stream of tokens through a model: buffering into segments, scores, snapshots, greedy continuation.
 * Snapshots from files are checked before anything in them is used. */
#include "models/stream/stream.h"
#include "models/decoder/state.h"
#include "models/decoder/step.h"

#include "models/engine/kernels.h"
#include "models/stream/cycle.h"
#include "models/stream/reader.h"

#include <stdlib.h>
#include <string.h>

struct stream {
    const decoder *d;
    reader *reader;
    pool *threads;
    stepper *stepper;   /* NULL: no writing, or by reading padded segments */
    size_t stepped;     /* buffered tokens that it has read */
    const real *logits; /* after them */
    arena trial_memory;
    size_t lanes, n, depth; /* depth: segments that may be scored at once */
    arena memory;
    size_t room;       /* tokens that a lane's buffer holds: depth N + 1, the last may be a target only */
    size_t fill;       /* of them; at most N between feeds */
    uint64_t position; /* tokens fed */
    int32_t *buffer;   /* [lanes, room] */
    int32_t *tokens, *targets, *argmax; /* [depth, lanes, N] of the segments at work */
    double *nll;
    size_t *valid;
    void **state, **trial; /* [lanes] states; copies for a look ahead without steps, NULL: none */
    char *blocks;
    cycle *cycle;        /* [lanes] */
    int *known;          /* [lanes] of the segment at work */
    int all;             /* no cycles */
    uint64_t *passed;    /* [lanes] tokens whose states were known */
    relay_stream *relay; /* NULL: all layers are read here; else the states are its own layers' */
    char *spread;        /* these states, as allocated */
    int writes;          /* with a relay */
};

static void carve(stream *s)
{
    arena *a = &s->memory;
    const size_t rows = s->depth * s->lanes * s->n, bytes = decoder_state_bytes(s->d);
    s->room = s->depth * s->n + 1;
    s->buffer = arena_bytes(a, s->lanes * s->room * sizeof *s->buffer);
    s->tokens = arena_bytes(a, rows * sizeof *s->tokens);
    s->targets = arena_bytes(a, rows * sizeof *s->targets);
    s->argmax = arena_bytes(a, rows * sizeof *s->argmax);
    s->nll = arena_bytes(a, rows * sizeof *s->nll);
    s->valid = arena_bytes(a, s->lanes * sizeof *s->valid);
    s->state = arena_bytes(a, s->lanes * sizeof *s->state);
    s->cycle = arena_bytes(a, s->lanes * sizeof *s->cycle);
    s->passed = arena_bytes(a, s->lanes * sizeof *s->passed);
    s->known = arena_bytes(a, s->lanes * sizeof *s->known);
    if (!decoder_relay(s->d)) s->blocks = arena_bytes(a, s->lanes * bytes);
    for (size_t lane = 0; !decoder_relay(s->d) && lane < s->lanes; lane++) {
        cycle measured;
        cycle_carve(s->cycle ? &s->cycle[lane] : &measured, s->d, a);
    }
    for (size_t lane = 0; s->blocks && lane < s->lanes; lane++) s->state[lane] = s->blocks + lane * bytes;
}

static void carve_trial(stream *s)
{
    const size_t bytes = decoder_state_bytes(s->d);
    s->trial = arena_bytes(&s->trial_memory, s->lanes * sizeof *s->trial);
    char *blocks = arena_bytes(&s->trial_memory, s->lanes * bytes);
    for (size_t lane = 0; blocks && lane < s->lanes; lane++) s->trial[lane] = blocks + lane * bytes;
}

size_t stream_bytes(const decoder *d, size_t workers, size_t lanes)
{
    stream s = {.d = d, .lanes = lanes, .n = (size_t)decoder_config(d)->segment};
    s.depth = reader_depth(d, workers, lanes);
    carve(&s);
    size_t begin = 0, end = 0, from, to;
    decoder_taken_layers(d, &from, &to);
    if (decoder_relay(d)) decoder_state_range(d, from, to, &begin, &end); /* they lie apart */
    return s.memory.used + lanes * (end - begin) + reader_bytes(d, workers, lanes);
}

size_t stream_writing_bytes(const decoder *d, size_t workers, size_t lanes)
{
    stream s = {.d = d, .lanes = lanes};
    if (stepper_serves(d) || decoder_relay(d)) return stepper_bytes(d, workers, lanes);
    carve_trial(&s);
    return s.trial_memory.used;
}

int stream_allow_writing(stream *s, pal_error *err)
{
    if (s->relay) {
        PAL_TRY(relay_allow_writing(s->relay, err));
        s->writes = 1;
        return PAL_OK;
    }
    if (s->stepper || s->trial) return PAL_OK;
    if (stepper_serves(s->d)) return stepper_create(&s->stepper, s->d, s->threads, s->lanes, err);
    carve_trial(s);
    const int code = arena_allocate(&s->trial_memory, "copies of the states", err);
    if (code == PAL_OK) carve_trial(s);
    return code;
}

/* Pages of layers that others read stay untouched. */
static int make_spread(stream *s, pal_error *err)
{
    const size_t bytes = decoder_state_bytes(s->d);
    s->relay = reader_relay(s->reader);
    if (!s->relay) return PAL_OK;
    s->spread = calloc(1, s->lanes * bytes + ARENA_ALIGN);
    if (!s->spread) return pal_fail(err, PAL_INTERNAL, "out of memory for the streaming states");
    s->blocks = s->spread + (ARENA_ALIGN - (uintptr_t)s->spread % ARENA_ALIGN) % ARENA_ALIGN;
    for (size_t lane = 0; lane < s->lanes; lane++) s->state[lane] = s->blocks + lane * bytes;
    return PAL_OK;
}

int stream_create(stream **out, const decoder *d, pool *threads, size_t lanes, pal_error *err)
{
    stream *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "out of memory for the stream");
    *s = (stream){.d = d, .threads = threads, .lanes = lanes, .n = (size_t)decoder_config(d)->segment};
    s->depth = reader_depth(d, (size_t)pool_threads(threads), lanes);
    carve(s);
    int code = arena_allocate(&s->memory, "the streaming states", err);
    if (code == PAL_OK) code = reader_create(&s->reader, d, threads, lanes, err);
    if (code != PAL_OK) {
        stream_destroy(s);
        return code;
    }
    carve(s);
    code = make_spread(s, err);
    if (code != PAL_OK) {
        stream_destroy(s);
        return code;
    }
    stream_reset(s);
    *out = s;
    return PAL_OK;
}

void stream_destroy(stream *s)
{
    if (!s) return;
    reader_destroy(s->reader);
    stepper_destroy(s->stepper);
    arena_free(&s->trial_memory);
    arena_free(&s->memory);
    free(s->spread);
    free(s);
}

/* The empty state, which counts `seen` tokens. */
static void reset_lane(stream *s, size_t lane, uint64_t seen)
{
    if (s->relay)
        relay_reset(s->relay, lane, s->state[lane], seen);
    else
        decoder_state_skip(s->d, s->state[lane], seen);
}

void stream_reset(stream *s)
{
    s->fill = 0;
    s->position = 0;
    s->stepped = 0;
    for (size_t lane = 0; lane < s->lanes; lane++) {
        s->passed[lane] = 0;
        cycle_forget(&s->cycle[lane]);
        reset_lane(s, lane, 0);
    }
}

/* Lay the first `count` buffered tokens out as `segments`, the last one padded. A padded row's target is token 0:
 * its loss is never delivered. */
static void lay_out(stream *s, size_t segments, size_t count)
{
    for (size_t row = 0; row < segments * s->lanes; row++) {
        const size_t lane = row % s->lanes, first = row / s->lanes * s->n;
        const int32_t *from = s->buffer + lane * s->room;
        int32_t *tokens = s->tokens + row * s->n, *targets = s->targets + row * s->n;
        for (size_t i = 0; i < s->n; i++) {
            tokens[i] = first + i < count ? from[first + i] : 0;
            targets[i] = first + i + 1 < s->fill ? from[first + i + 1] : 0;
        }
        s->valid[lane] = count - first < s->n ? count - first : s->n;
    }
}

static void drop_buffered(stream *s, size_t count)
{
    s->fill -= count;
    s->stepped = 0; /* of another segment */
    for (size_t lane = 0; lane < s->lanes; lane++) {
        int32_t *from = s->buffer + lane * s->room;
        memmove(from, from + count, s->fill * sizeof *from);
    }
}

/* Read the segments in s->tokens of those lanes that have valid tokens, without scores. */
static void read_unscored(stream *s)
{
    const scored_tokens unscored = {.tokens = s->tokens};
    reader_read(s->reader, 1, &unscored, s->valid, s->state);
}

/* Bring a lane's state up to date. */
static void settle_lane(stream *s, size_t lane)
{
    const int32_t *tokens = NULL;
    const size_t segments = cycle_open(&s->cycle[lane], s->state[lane], &tokens);
    memset(s->valid, 0, s->lanes * sizeof *s->valid);
    s->valid[lane] = s->n;
    for (size_t i = 0; i < segments; i++) {
        memcpy(s->tokens + lane * s->n, tokens + i * s->n, s->n * sizeof *tokens);
        read_unscored(s);
    }
    s->passed[lane] -= segments * s->n;
}

static void settle(stream *s)
{
    for (size_t lane = 0; lane < s->lanes; lane++) settle_lane(s, lane);
}

static void forget_cycles(stream *s)
{
    for (size_t lane = 0; lane < s->lanes; lane++) cycle_forget(&s->cycle[lane]);
}

/* Read the first `count` buffered tokens, which are of one segment, and need no scores. Lanes that know it stay
 * where they are. */
static void skim(stream *s, size_t count)
{
    size_t known = 0;
    for (size_t lane = 0; lane < s->lanes; lane++) {
        s->known[lane] = count == s->n && cycle_passes(&s->cycle[lane], s->buffer + lane * s->room);
        known += (size_t)s->known[lane];
        if (s->known[lane])
            s->passed[lane] += s->n;
        else
            settle_lane(s, lane);
    }
    if (known < s->lanes) {
        lay_out(s, 1, count);
        for (size_t lane = 0; lane < s->lanes; lane++)
            if (s->known[lane]) s->valid[lane] = 0;
        read_unscored(s);
    }
    for (size_t lane = 0; lane < s->lanes; lane++)
        if (count < s->n || s->all)
            cycle_forget(&s->cycle[lane]);
        else if (!s->known[lane])
            cycle_computed(&s->cycle[lane], s->tokens + lane * s->n, s->state[lane]);
    drop_buffered(s, count);
}

/* Targets of the first `count` buffered tokens that are known. */
static size_t known_of(const stream *s, size_t count)
{
    return s->fill - 1 < count ? s->fill - 1 : count;
}

/* Read the first `count` buffered tokens; deliver their scores. */
static void score(stream *s, size_t count, uint64_t score_from, stream_sink *sink, void *arg)
{
    const uint64_t first = s->position - s->fill; /* of the buffer */
    const size_t known = known_of(s, count), segments = (count + s->n - 1) / s->n;
    settle(s);
    forget_cycles(s);
    lay_out(s, segments, count);
    const scored_tokens scored = {.tokens = s->tokens, .targets = s->targets, .nll = s->nll, .argmax = s->argmax};
    reader_read(s->reader, segments, &scored, s->valid, s->state);
    for (size_t row = 0; row < segments * s->lanes; row++) {
        const size_t before = row / s->lanes * s->n, at = row * s->n;
        for (size_t i = 0; i < s->n && before + i < known; i++)
            if (first + before + i + 1 >= score_from)
                sink(arg, row % s->lanes, first + before + i + 1, s->nll[at + i], s->argmax[at + i]);
    }
    drop_buffered(s, count);
}

/* Read a segment of the buffered tokens, or what there is of it; or all whole ones that are to be scored and whose
 * targets are known. */
static void advance(stream *s, uint64_t score_from, stream_sink *sink, void *arg)
{
    const size_t one = s->fill < s->n ? s->fill : s->n, whole = (s->fill - 1) / s->n * s->n;
    const uint64_t first = s->position - s->fill;
    if (!sink || known_of(s, one) == 0 || first + known_of(s, one) < score_from)
        skim(s, one);
    else
        score(s, whole > one ? whole : one, score_from, sink, arg);
}

void stream_feed(stream *s, const int32_t *tokens, size_t stride, size_t count, uint64_t score_from,
                 stream_sink *sink, void *arg)
{
    for (size_t done = 0; done < count;) {
        const size_t room = s->room - s->fill, take = count - done < room ? count - done : room;
        for (size_t lane = 0; lane < s->lanes; lane++)
            memcpy(s->buffer + lane * s->room + s->fill, tokens + lane * stride + done, take * sizeof *tokens);
        s->fill += take;
        s->position += take;
        done += take;
        /* A full segment waits for one more token: the target of its last position. */
        while (s->fill > s->n && (s->fill == s->room || done == count)) advance(s, score_from, sink, arg);
    }
}

void stream_flush(stream *s, uint64_t score_from, stream_sink *sink, void *arg)
{
    if (s->fill > 0) advance(s, score_from, sink, arg);
}

const real *stream_predict(stream *s, size_t *stride)
{
    if (s->fill == 0) return NULL; /* nothing read yet: there is no distribution to continue from */
    settle(s);
    *stride = stream_vocab(s);
    if (s->stepper || s->writes) {
        const int32_t *tokens = s->buffer + s->stepped;
        const size_t count = s->fill - s->stepped;
        if (count > 0 && s->stepper)
            s->logits = stepper_read(s->stepper, tokens, s->room, s->stepped, count, s->state);
        else if (count > 0)
            s->logits = relay_step(s->relay, tokens, s->room, s->stepped, count, s->state);
        s->stepped = s->fill;
        return s->logits;
    }
    if (!s->trial) return NULL;
    lay_out(s, 1, s->fill);
    memcpy(s->trial[0], s->state[0], s->lanes * decoder_state_bytes(s->d));
    return reader_predict(s->reader, s->tokens, s->valid, s->trial, s->fill - 1);
}

size_t stream_vocab(const stream *s)
{
    return (size_t)decoder_config(s->d)->vocab;
}

int32_t stream_argmax(const real *logits, size_t vocab)
{
    return (int32_t)kernels_get()->argmax(logits, vocab);
}

int32_t stream_choice(const stream *s, const real *logits)
{
    /* Steps make equal logits of equal weights. */
    return s->stepper || s->writes ? stream_argmax(logits, stream_vocab(s)) : decoder_choice(s->d, logits, NULL);
}

void stream_generate(stream *s, size_t count, int32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t stride;
        const real *logits = stream_predict(s, &stride);
        if (!logits) return;
        for (size_t lane = 0; lane < s->lanes; lane++)
            out[lane * count + i] = stream_choice(s, logits + lane * stride);
        stream_feed(s, out + i, count, 1, 0, NULL, NULL);
    }
}

uint64_t stream_position(const stream *s)
{
    return s->position;
}

uint64_t stream_buffered(const stream *s)
{
    return s->fill;
}

uint64_t stream_passed(const stream *s, size_t lane)
{
    return s->passed[lane];
}

double stream_reused(const stream *s, size_t lane)
{
    return reader_reused(s->reader, lane);
}

void stream_read_all(stream *s)
{
    settle(s);
    s->all = 1;
    reader_read_all(s->reader);
}

/* A snapshot: position, fill, buffered tokens, state. */
static size_t snapshot_head(const stream *s)
{
    return 2 * sizeof(uint64_t) + (s->n + 1) * sizeof *s->buffer;
}

const void *stream_state(stream *s, size_t lane)
{
    settle_lane(s, lane);
    if (s->relay) relay_pull(s->relay, lane, s->state[lane], s->state[lane]);
    return s->state[lane];
}

int stream_finite(stream *s, size_t lane)
{
    settle_lane(s, lane);
    if (s->relay) return relay_finite(s->relay, lane, s->state[lane]);
    return decoder_state_finite(s->d, s->state[lane], 0, (size_t)decoder_config(s->d)->n_layers);
}

int stream_check(const stream *s, pal_error *err)
{
    return s->relay ? relay_check(s->relay, err) : PAL_OK;
}

size_t stream_snapshot_bytes(const stream *s)
{
    return snapshot_head(s) + decoder_state_bytes(s->d);
}

void stream_save(stream *s, size_t lane, void *out)
{
    settle_lane(s, lane);
    const uint64_t head[2] = {s->position, s->fill};
    memcpy(out, head, sizeof head);
    memset((char *)out + sizeof head, 0, (s->n + 1) * sizeof *s->buffer);
    memcpy((char *)out + sizeof head, s->buffer + lane * s->room, s->fill * sizeof *s->buffer);
    char *state = (char *)out + snapshot_head(s);
    if (s->relay)
        relay_pull(s->relay, lane, s->state[lane], state);
    else
        memcpy(state, s->state[lane], decoder_state_bytes(s->d));
}

/* A snapshot from a file may be damaged or forged: whatever is later used as a size or an index is checked here.
 */
static int check_snapshot(const stream *s, const uint64_t head[2], const char *in, const char *state,
                          pal_error *err)
{
    const uint64_t position = head[0], fill = head[1];
    state_header header; /* a snapshot need not be aligned */
    memcpy(&header, state, sizeof header);
    PAL_TRY(decoder_state_check(s->d, &header, err));
    if (fill > s->n || fill > position || (position - fill) % s->n != 0)
        return pal_fail(err, PAL_DATA, "the snapshot's buffer is damaged; start the sample again");
    if (header.seen > position - fill)
        return pal_fail(err, PAL_DATA,
                        "the snapshot's state counts more tokens than were read; start the sample again");
    for (size_t i = 0; i < fill; i++) {
        int32_t token;
        memcpy(&token, in + 2 * sizeof(uint64_t) + i * sizeof token, sizeof token);
        if (token < 0 || (size_t)token >= stream_vocab(s))
            return pal_fail(err, PAL_DATA, "the snapshot holds token %d of %zu; start the sample again",
                            (int)token, stream_vocab(s));
    }
    return PAL_OK;
}

int stream_restore(stream *s, size_t lane, const void *in, pal_error *err)
{
    uint64_t head[2];
    memcpy(head, in, sizeof head);
    const char *state = (const char *)in + snapshot_head(s);
    PAL_TRY(check_snapshot(s, head, in, state, err));
    s->stepped = 0;
    cycle_forget(&s->cycle[lane]);
    s->position = head[0];
    s->fill = (size_t)head[1];
    memcpy(s->buffer + lane * s->room, (const char *)in + sizeof head, (s->n + 1) * sizeof *s->buffer);
    if (s->relay)
        relay_push(s->relay, lane, state, s->state[lane]);
    else
        memcpy(s->state[lane], state, decoder_state_bytes(s->d));
    return PAL_OK;
}

void stream_zero_lane(stream *s, size_t lane)
{
    settle_lane(s, lane);
    s->stepped = 0;
    cycle_forget(&s->cycle[lane]);
    reset_lane(s, lane, 0);
}

void stream_zero_memory(stream *s)
{
    for (size_t lane = 0; lane < s->lanes; lane++) stream_zero_lane(s, lane);
}

uint64_t stream_age(stream *s, uint64_t tokens)
{
    uint64_t seen = s->position - s->fill;
    if (s->relay) return seen;
    tokens -= tokens % s->n;
    settle(s);
    s->stepped = 0;
    forget_cycles(s);
    for (size_t lane = 0; lane < s->lanes; lane++) seen = decoder_state_age(s->d, s->state[lane], tokens);
    s->position = seen + s->fill;
    return seen;
}

void stream_skip(stream *s, uint64_t tokens, int seen)
{
    stream_reset(s);
    s->position = tokens;
    if (!seen) return;
    for (size_t lane = 0; lane < s->lanes; lane++) reset_lane(s, lane, tokens);
}
