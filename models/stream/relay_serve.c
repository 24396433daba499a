/* Layers over processes, as the ranks after the first see them: every order is handed on before it is done, so
 * that the next rank is at work as soon as there is something to read. */
#include "models/stream/relay_parts.h"

#include "harness/base/os.h"

#include <stdlib.h>
#include <string.h>

/* A stream's part here: its states, and room for what passes through. */
typedef struct served {
    station at;
    char *block;  /* states as they are allocated */
    void **state; /* [lanes] */
    size_t *valid;
    real *x; /* [rows, d_model] that come in */
    int32_t *targets, *argmax;
    double *nll;
    size_t room; /* segments of these three */
} served;

typedef struct server {
    relay *r;
    pool *workers;
    served *stream[RELAY_STREAMS];
} server;

static size_t before(const server *v)
{
    return v->r->link.rank - 1;
}

static int is_last(const server *v)
{
    return v->r->link.rank + 1 == v->r->link.count;
}

static void hand_on(const server *v, const void *data, size_t bytes)
{
    if (!is_last(v)) relay_put(v->r, v->r->link.rank + 1, data, bytes);
}

/* ---- Streams ---- */

static void close_stream(server *v, size_t id)
{
    served *s = v->stream[id];
    if (!s) return;
    station_close(&s->at);
    free(s->block);
    free(s->state);
    free(s->valid);
    free(s->x);
    free(s->targets);
    free(s->argmax);
    free(s->nll);
    free(s);
    v->stream[id] = NULL;
}

/* Pages of layers that are read elsewhere stay untouched. */
static int make_states(served *s, pal_error *err)
{
    const size_t bytes = decoder_state_bytes(s->at.d), lanes = s->at.lanes;
    s->block = calloc(1, lanes * bytes + ARENA_ALIGN);
    s->state = calloc(lanes + 1, sizeof *s->state);
    s->valid = calloc(lanes + 1, sizeof *s->valid);
    s->x = os_allocate(station_segment_bytes(&s->at));
    if (!s->block || !s->state || !s->valid || !s->x)
        return pal_fail(err, PAL_INTERNAL, "out of memory for the stream");
    char *first = s->block + (ARENA_ALIGN - (uintptr_t)s->block % ARENA_ALIGN) % ARENA_ALIGN;
    for (size_t lane = 0; lane < lanes; lane++) {
        s->state[lane] = first + lane * bytes;
        decoder_state_reset_layers(s->at.d, s->state[lane], s->at.from, s->at.to, 0);
    }
    return PAL_OK;
}

static int open_stream(server *v, const relay_order *o, pal_error *err)
{
    const relay *r = v->r;
    if (o->model < 0 || (size_t)o->model >= r->models || o->lanes < 1)
        return pal_fail(err, PAL_INTERNAL, "an order of rank 0 names no model of this one");
    close_stream(v, (size_t)o->stream);
    served *s = v->stream[o->stream] = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "out of memory for the stream");
    PAL_TRY(station_open(&s->at, r->model[o->model], v->workers, (size_t)o->lanes, err));
    return make_states(s, err);
}

/* ---- Reading ---- */

static int make_room(served *s, size_t segments, pal_error *err)
{
    if (segments <= s->room) return PAL_OK;
    const size_t all = segments * s->at.rows;
    free(s->targets);
    free(s->argmax);
    free(s->nll);
    s->targets = malloc(all * sizeof *s->targets);
    s->argmax = malloc(all * sizeof *s->argmax);
    s->nll = malloc(all * sizeof *s->nll);
    s->room = segments;
    if (s->targets && s->argmax && s->nll) return PAL_OK;
    s->room = 0;
    return pal_fail(err, PAL_INTERNAL, "out of memory for the scores");
}

static int read_segments(server *v, served *s, const relay_order *o, pal_error *err)
{
    const station *at = &s->at;
    const size_t segments = (size_t)o->segments, all = segments * at->rows;
    const int scored = o->scored != 0;
    relay_get(v->r, before(v), s->valid, at->lanes * sizeof *s->valid);
    hand_on(v, s->valid, at->lanes * sizeof *s->valid);
    if (scored) {
        PAL_TRY(make_room(s, segments, err));
        relay_get(v->r, before(v), s->targets, all * sizeof *s->targets);
        hand_on(v, s->targets, all * sizeof *s->targets);
    }
    for (size_t i = 0; i < segments; i++) {
        const size_t first = i * at->rows;
        relay_get(v->r, before(v), s->x, station_segment_bytes(at));
        if (v->r->error.code != PAL_OK) return PAL_OK; /* said by the loop */
        pass_enter(at->pass, s->x, s->valid, s->state, at->from);
        pass_layers(at->pass, 0, s->state, at->from, at->to, scored);
        if (!is_last(v))
            hand_on(v, pass_residual(at->pass, 0, at->to), station_segment_bytes(at));
        else if (scored)
            pass_score(at->pass, &(scored_tokens){.targets = s->targets + first,
                                                  .nll = s->nll + first,
                                                  .argmax = s->argmax + first});
    }
    if (!is_last(v) || !scored) return PAL_OK;
    relay_put(v->r, 0, s->nll, all * sizeof *s->nll);
    relay_put(v->r, 0, s->argmax, all * sizeof *s->argmax);
    return PAL_OK;
}

static void step(server *v, served *s, const relay_order *o)
{
    const station *at = &s->at;
    const size_t count = (size_t)o->count, bytes = station_step_bytes(at, count);
    stepper_begin(at->stepper, count, s->state);
    relay_get(v->r, before(v), stepper_rows(at->stepper), bytes);
    stepper_layers(at->stepper, at->from, at->to, (size_t)o->first, s->state);
    hand_on(v, stepper_rows(at->stepper), bytes);
    if (is_last(v) && o->scored)
        relay_put(v->r, 0, stepper_logits(at->stepper),
                  at->lanes * (size_t)decoder_config(at->d)->vocab * sizeof(real));
}

/* ---- States ---- */

static void pull(server *v, const served *s, size_t lane)
{
    size_t begin, end;
    decoder_state_range(s->at.d, s->at.from, s->at.to, &begin, &end);
    relay_put(v->r, 0, (const char *)s->state[lane] + begin, end - begin);
}

/* The whole block passes through; of it the header and the own layers are kept. */
static int push(server *v, const served *s, size_t lane, pal_error *err)
{
    const size_t bytes = decoder_state_bytes(s->at.d);
    size_t begin, end, head;
    decoder_state_range(s->at.d, 0, 0, &head, &end);
    decoder_state_range(s->at.d, s->at.from, s->at.to, &begin, &end);
    char *in = malloc(bytes);
    if (!in) return pal_fail(err, PAL_INTERNAL, "out of memory for a state");
    relay_get(v->r, before(v), in, bytes);
    hand_on(v, in, bytes);
    memcpy(s->state[lane], in, head);
    memcpy((char *)s->state[lane] + begin, in + begin, end - begin);
    free(in);
    return PAL_OK;
}

/* ---- Orders ---- */

static int obey(server *v, const relay_order *o, pal_error *err)
{
    served *s = v->stream[o->stream];
    if (o->op == RELAY_OPEN) return open_stream(v, o, err);
    if (!s || o->lane < 0 || (size_t)o->lane >= s->at.lanes || o->count < 0 || o->count > ATTN_STEP_ROWS)
        return pal_fail(err, PAL_INTERNAL, "an order of rank 0 names no stream of this one");
    const size_t lane = (size_t)o->lane;
    switch ((relay_op)o->op) {
    case RELAY_CLOSE:
        close_stream(v, (size_t)o->stream);
        return PAL_OK;
    case RELAY_READ:
        return read_segments(v, s, o, err);
    case RELAY_WRITE:
        return s->at.stepper ? PAL_OK : stepper_create(&s->at.stepper, s->at.d, v->workers, s->at.lanes, err);
    case RELAY_STEP:
        step(v, s, o);
        return PAL_OK;
    case RELAY_RESET:
        decoder_state_reset_layers(s->at.d, s->state[lane], s->at.from, s->at.to, o->seen);
        return PAL_OK;
    case RELAY_PULL:
        pull(v, s, lane);
        return PAL_OK;
    case RELAY_PUSH:
        return push(v, s, lane, err);
    case RELAY_FINITE: {
        const int32_t finite = decoder_state_finite(s->at.d, s->state[lane], s->at.from, s->at.to);
        relay_put(v->r, 0, &finite, sizeof finite);
        return PAL_OK;
    }
    default:
        return pal_fail(err, PAL_INTERNAL, "rank 0 gave an order that this one does not know");
    }
}

int relay_serve(relay *r, pool *workers, pal_error *err)
{
    server v = {.r = r, .workers = workers};
    int code = PAL_OK;
    for (;;) {
        relay_order o = {0};
        relay_get(r, before(&v), &o, sizeof o);
        if (r->error.code != PAL_OK) code = pal_fail(err, r->error.code, "%s", r->error.text);
        if (code != PAL_OK) break;
        hand_on(&v, &o, sizeof o);
        if (o.op == RELAY_END) break;
        if (o.stream < 0 || o.stream >= RELAY_STREAMS)
            code = pal_fail(err, PAL_INTERNAL, "rank 0 gave an order that this one does not know");
        if (code == PAL_OK) code = obey(&v, &o, err);
        if (code != PAL_OK) break;
    }
    for (size_t i = 0; i < RELAY_STREAMS; i++) close_stream(&v, i);
    return code;
}
