/* How workers share the reading of segments: lanes apart, layers in a pipeline, or every operator together.
 * The bits do not depend on the choice. */
#include "models/stream/reader.h"

#include "harness/base/os.h"
#include "models/decoder/pass.h"
#include "models/engine/gemm.h"
#include "models/stream/reuse.h"

#include <stdlib.h>
#include <string.h>

/* Segments of a pipeline's run: the workers idle for one segment less than there are groups of layers. */
enum { LINE_SEGMENTS = 64 };

typedef enum plan { TOGETHER, APART, LINE, RELAY } plan;

struct reader {
    const decoder *d;
    plan plan;
    size_t lanes, n, vocab;
    pool *workers, **alone; /* alone: of one thread, one for each pass of `own` */
    pass *shared;           /* [lanes] by all workers together; NULL where lanes are read apart */
    pass **own;             /* [count] one lane each: of a worker, or of a group of layers */
    size_t count;
    size_t *border;      /* [count + 1] of a pipeline: group g has layers border[g] to border[g + 1] - 1 */
    int shared_head;     /* of a pipeline: all workers make the logits, not the one of the last group */
    real *logits;        /* [lanes, vocab] */
    real *panels;        /* of all weights: decoder_pack */
    relay_stream *relay; /* then nothing of what follows is used */
    arena memory;        /* of what is reused */
    reuse reuse;
    reuse_entry **entry; /* [lanes] of the segment at work; NULL: nothing is kept of it */
    int *known;          /* [lanes] */
    int all;             /* nothing is reused */
    uint64_t *reused;    /* [lanes] segments whose lowest layers were known */
};

/* Lanes that do not fill the workers' last round would leave some idle for longer than sharing costs. */
static plan choose(const decoder *d, size_t workers, size_t lanes)
{
    if (decoder_relay(d)) return RELAY;
    if (lanes % workers == 0 || lanes >= 2 * workers) return APART;
    /* A recurrence above the attention wants the last layer's word before the next segment begins. */
    return lanes == 1 && decoder_config(d)->n_layers > 1 && !decoder_config(d)->recurrence ? LINE : TOGETHER;
}

static size_t own_passes(const decoder *d, size_t workers, plan how)
{
    const size_t layers = (size_t)decoder_config(d)->n_layers;
    return how == APART ? workers : how == LINE ? (layers < workers ? layers : workers) : 0;
}

static void carve(reader *r)
{
    reuse_carve(&r->reuse, r->d, &r->memory);
    r->entry = arena_bytes(&r->memory, r->lanes * sizeof *r->entry);
    r->known = arena_bytes(&r->memory, r->lanes * sizeof *r->known);
    r->reused = arena_bytes(&r->memory, r->lanes * sizeof *r->reused);
}

size_t reader_bytes(const decoder *d, size_t workers, size_t lanes)
{
    const plan how = choose(d, workers, lanes);
    if (how == RELAY) return relay_stream_bytes(d, workers, lanes);
    reader r = {.d = d, .lanes = lanes};
    carve(&r);
    return r.memory.used + (how != APART ? pass_bytes(d, workers, lanes, 0) : 0) +
           own_passes(d, workers, how) * pass_bytes(d, 1, 1, 0) +
           (lanes * (size_t)decoder_config(d)->vocab + (decoder_uses_panels(d) ? decoder_panel_reals(d) : 0)) *
               sizeof(real);
}

static void make_line(reader *r)
{
    const double shared = decoder_groups(r->d, (double)r->n, r->count, 1, r->border);
    r->shared_head = shared <= decoder_groups(r->d, (double)r->n, r->count, 0, r->border);
    if (!r->shared_head) return;
    decoder_groups(r->d, (double)r->n, r->count, 1, r->border);
    pass_share_head(r->own[r->count - 1], r->workers);
}

int reader_create(reader **out, const decoder *d, pool *workers, size_t lanes, pal_error *err)
{
    const model_config *cfg = decoder_config(d);
    const size_t threads = (size_t)pool_threads(workers);
    reader *r = calloc(1, sizeof *r);
    if (!r) return pal_fail(err, PAL_INTERNAL, "out of memory for the stream");
    *r = (reader){
        .d = d, .workers = workers, .lanes = lanes, .n = (size_t)cfg->segment, .vocab = (size_t)cfg->vocab};
    r->plan = choose(d, threads, lanes);
    if (r->plan == RELAY) {
        const int code = relay_stream_create(&r->relay, d, workers, lanes, err);
        if (code != PAL_OK)
            reader_destroy(r);
        else
            *out = r;
        return code;
    }
    r->count = own_passes(d, threads, r->plan);
    r->own = calloc(r->count + 1, sizeof *r->own);
    r->border = calloc(r->count + 1, sizeof *r->border);
    r->alone = calloc(r->count + 1, sizeof *r->alone);
    r->logits = malloc(lanes * r->vocab * sizeof *r->logits);
    if (decoder_uses_panels(d)) r->panels = os_allocate(decoder_panel_reals(d) * sizeof *r->panels);
    int code = r->own && r->border && r->alone && r->logits && (r->panels || !decoder_uses_panels(d))
                   ? PAL_OK
                   : pal_fail(err, PAL_INTERNAL, "out of memory for the stream");
    carve(r);
    if (code == PAL_OK) code = arena_allocate(&r->memory, "what segments have in common", err);
    if (code == PAL_OK) carve(r);
    if (code == PAL_OK && decoder_is_left(d))
        code = gemm_reserve(workers, (size_t)cfg->d_model, err); /* the head */
    if (code == PAL_OK && r->plan != APART) code = pass_create(&r->shared, d, workers, lanes, 0, err);
    for (size_t i = 0; code == PAL_OK && i < r->count; i++) {
        code = pool_create(&r->alone[i], 1, err);
        if (code == PAL_OK) code = pass_create(&r->own[i], d, r->alone[i], 1, 0, err);
    }
    if (code != PAL_OK) {
        reader_destroy(r);
        return code;
    }
    if (r->panels) decoder_pack(d, r->panels);
    if (r->shared) pass_use_panels(r->shared, r->panels);
    for (size_t i = 0; i < r->count; i++) pass_use_panels(r->own[i], r->panels);
    if (r->plan == LINE) make_line(r);
    *out = r;
    return PAL_OK;
}

void reader_destroy(reader *r)
{
    if (!r) return;
    for (size_t i = 0; r->own && i < r->count; i++) pass_destroy(r->own[i]);
    for (size_t i = 0; r->alone && i < r->count; i++) pool_destroy(r->alone[i]);
    pass_destroy(r->shared);
    relay_stream_destroy(r->relay);
    free(r->alone);
    free(r->own);
    free(r->border);
    free(r->logits);
    free(r->panels);
    arena_free(&r->memory);
    free(r);
}

size_t reader_depth(const decoder *d, size_t workers, size_t lanes)
{
    const plan how = choose(d, workers, lanes);
    return how == LINE || how == RELAY ? LINE_SEGMENTS : 1;
}

relay_stream *reader_relay(const reader *r)
{
    return r->relay;
}

/* ---- What a call asks for ---- */

typedef struct order {
    reader *r;
    scored_tokens t;
    const size_t *valid;
    void *const *state;
    int predict;
    size_t row;
    size_t segments, tick; /* of a pipeline */
} order;

/* Without what comes before `first`. */
static scored_tokens at(const scored_tokens *t, size_t first)
{
    scored_tokens rest = {.tokens = t->tokens + first};
    if (!t->targets) return rest;
    rest.targets = t->targets + first;
    rest.nll = t->nll + first;
    rest.argmax = t->argmax + first;
    return rest;
}

/* A pass of `count` lanes from `lane` on has read rows of them from `first` on: what is wanted of it. */
static void deliver(const order *o, pass *p, size_t lane, size_t count, size_t first)
{
    reader *r = o->r;
    const real *logits = o->predict ? pass_logits(p, 0) : NULL;
    for (size_t i = 0; o->predict && i < count; i++)
        memcpy(r->logits + (lane + i) * r->vocab, logits + (i * r->n + o->row) * r->vocab,
               r->vocab * sizeof *logits);
    if (!o->t.targets) return;
    const scored_tokens t = at(&o->t, first);
    pass_score(p, &t);
}

/* Of what is only read, what the lowest layers made before. */
static int reuses(const order *o)
{
    const reader *r = o->r;
    if (r->reuse.layers == 0 || r->all || o->t.targets || o->predict) return 0;
    for (size_t lane = 0; lane < r->lanes; lane++)
        if (o->valid[lane] > 0 && o->valid[lane] < r->n) return 0;
    return 1;
}

/* Before the workers begin: which lanes are known, and where the others' rows shall go. A lane without tokens is
 * as good as known. */
static void claim(const order *o)
{
    reader *r = o->r;
    size_t known = 0;
    reuse_begin(&r->reuse);
    for (size_t lane = 0; lane < r->lanes; lane++) {
        r->entry[lane] = NULL;
        r->known[lane] = 1;
        if (o->valid[lane] > 0)
            r->entry[lane] = reuse_claim(&r->reuse, o->t.tokens + lane * r->n, o->state[lane], &r->known[lane]);
        known += (size_t)r->known[lane];
    }
    for (size_t lane = 0; lane < r->lanes; lane++)
        if (r->known[lane] && r->entry[lane] && (r->plan == APART || known == r->lanes)) r->reused[lane]++;
}

/* `count` lanes from `lane` on, which are computed unless all of them are known. */
static void forward(const order *o, pass *p, size_t lane, size_t count)
{
    reader *r = o->r;
    const int32_t *tokens = o->t.tokens + lane * r->n;
    const size_t layers = (size_t)decoder_config(r->d)->n_layers, lowest = r->reuse.layers;
    if (!reuses(o)) {
        pass_forward(p, 0, tokens, o->valid + lane, o->state + lane, o->t.targets || o->predict);
        return;
    }
    size_t known = 0;
    for (size_t i = 0; i < count; i++) known += (size_t)r->known[lane + i];
    pass_begin(p, 0, tokens, o->valid + lane, o->state + lane);
    if (known < count) pass_layers(p, 0, o->state + lane, 0, lowest, 0);
    for (size_t i = 0; i < count; i++) {
        real *lane_rows = pass_rows(p) + i * r->n * r->reuse.width;
        if (!r->entry[lane + i]) continue;
        if (known == count)
            reuse_recall(&r->reuse, r->entry[lane + i], lane_rows, o->state[lane + i]);
        else if (!r->known[lane + i])
            reuse_store(&r->reuse, r->entry[lane + i], lane_rows, o->state[lane + i]);
    }
    pass_layers(p, 0, o->state + lane, lowest, layers, 0);
}

static void read_lane(void *arg, int task, int worker)
{
    const order *o = arg;
    const size_t lane = (size_t)task, first = lane * o->r->n;
    pass *p = o->r->own[worker];
    if (o->valid[lane] == 0 && !o->t.targets && !o->predict) return;
    forward(o, p, lane, 1);
    deliver(o, p, lane, 1, first);
}

static void read_one(order *o)
{
    reader *r = o->r;
    if (reuses(o)) claim(o);
    if (r->plan == APART) {
        pool_run(r->workers, (int)r->lanes, read_lane, o);
        return;
    }
    forward(o, r->shared, 0, r->lanes);
    deliver(o, r->shared, 0, r->lanes, 0);
}

/* Group g is at the segment that group 0 had g ticks ago. */
static void read_group(void *arg, int task, int worker)
{
    (void)worker;
    const order *o = arg;
    reader *r = o->r;
    const size_t group = (size_t)task, segment = o->tick - group, first = segment * r->n;
    if (group > o->tick || segment >= o->segments) return;
    pass *p = r->own[group];
    if (group == 0) pass_begin(p, 0, o->t.tokens + first, o->valid, o->state);
    pass_layers(p, 0, o->state, r->border[group], r->border[group + 1], 1);
    if (group + 1 == r->count && !r->shared_head) deliver(o, p, 0, 1, first);
}

static void read_line(order *o)
{
    reader *r = o->r;
    for (o->tick = 0; o->tick < o->segments + r->count - 1; o->tick++) {
        for (size_t group = r->count - 1; group > 0; group--)
            if (group <= o->tick && o->tick - group < o->segments) pass_follow(r->own[group], r->own[group - 1]);
        pool_run(r->workers, (int)r->count, read_group, o);
        if (r->shared_head && o->tick + 1 >= r->count)
            deliver(o, r->own[r->count - 1], 0, 1, (o->tick + 1 - r->count) * r->n);
    }
}

void reader_read(reader *r, size_t segments, const scored_tokens *t, const size_t *valid, void *const *state)
{
    order o = {.r = r, .t = *t, .valid = valid, .state = state, .segments = segments};
    if (r->plan == RELAY) {
        relay_read(r->relay, segments, t, valid, state);
        return;
    }
    if (r->plan == LINE && t->targets && segments > 1) {
        read_line(&o);
        return;
    }
    for (size_t i = 0; i < segments; i++) {
        o.t = at(t, i * r->lanes * r->n);
        read_one(&o);
    }
}

void reader_read_all(reader *r)
{
    r->all = 1;
}

double reader_reused(const reader *r, size_t lane)
{
    return r->reused ? (double)r->reused[lane] * (double)r->n * reuse_part(&r->reuse) : 0;
}

const real *reader_predict(reader *r, const int32_t *tokens, const size_t *valid, void *const *state, size_t row)
{
    order o = {.r = r, .t = {.tokens = tokens}, .valid = valid, .state = state, .predict = 1, .row = row};
    read_one(&o);
    return r->logits;
}
