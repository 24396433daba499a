/* Layers over processes, as rank 0 sees them: it embeds, reads its layers, hands on, and gets what the last one
 * made. Errors are kept until somebody asks: what is asked of the others cannot be taken back. */
#include "models/stream/relay.h"
#include "models/stream/relay_parts.h"

#include "harness/base/os.h"
#include "models/attention/attention.h"

#include <stdlib.h>
#include <string.h>

struct relay_stream {
    relay *r;
    station at;
    size_t id;
    size_t *border; /* [ranks + 1] */
    real *logits;   /* [lanes, vocab] after steps */
};

/* ---- What all ranks share ---- */

void relay_put(relay *r, size_t to, const void *data, size_t bytes)
{
    if (r->error.code == PAL_OK && bytes > 0) r->link.send(r->link.arg, to, data, bytes, &r->error);
}

void relay_get(relay *r, size_t from, void *data, size_t bytes)
{
    if (r->error.code == PAL_OK && bytes > 0) r->link.receive(r->link.arg, from, data, bytes, &r->error);
}

static void find_borders(const decoder *d, size_t count, size_t *border)
{
    decoder_groups(d, (double)decoder_config(d)->segment, count, 0, border);
}

int relay_take_layers(decoder *d, size_t rank, size_t count, const char *name, pal_error *err)
{
    const size_t layers = (size_t)decoder_config(d)->n_layers;
    if (decoder_config(d)->recurrence)
        return pal_fail(
            err, PAL_USAGE,
            "%s: a model with a recurrence above its layers cannot be split over ranks; leave ranks= away", name);
    if (layers < count)
        return pal_fail(err, PAL_USAGE, "%s has %zu layers, which %zu ranks cannot share; use at most %zu ranks",
                        name, layers, count, layers);
    size_t *border = calloc(count + 1, sizeof *border);
    if (!border) return pal_fail(err, PAL_INTERNAL, "out of memory for the ranks");
    find_borders(d, count, border);
    decoder_take_layers(d, border[rank], border[rank + 1]);
    free(border);
    return PAL_OK;
}

int relay_create(relay **out, const relay_link *link, decoder *const *model, size_t models, pal_error *err)
{
    relay *r = calloc(1, sizeof *r);
    if (!r) return pal_fail(err, PAL_INTERNAL, "out of memory for the ranks");
    r->link = *link;
    r->models = models;
    r->model = calloc(models + 1, sizeof(decoder *));
    if (!r->model) {
        free(r);
        return pal_fail(err, PAL_INTERNAL, "out of memory for the ranks");
    }
    for (size_t i = 0; i < models; i++) {
        r->model[i] = model[i];
        decoder_set_relay(model[i], r);
    }
    *out = r;
    return PAL_OK;
}

void relay_destroy(relay *r)
{
    if (!r) return;
    if (r->link.rank == 0) relay_put(r, 1, &(relay_order){.op = RELAY_END}, sizeof(relay_order));
    for (size_t i = 0; i < r->models; i++) decoder_set_relay(r->model[i], NULL);
    free(r->model);
    free(r);
}

int station_open(station *s, const decoder *d, pool *workers, size_t lanes, pal_error *err)
{
    *s = (station){.d = d, .workers = workers, .lanes = lanes, .rows = lanes * (size_t)decoder_config(d)->segment};
    decoder_taken_layers(d, &s->from, &s->to);
    PAL_TRY(pass_create(&s->pass, d, workers, lanes, 0, err));
    if (!decoder_uses_panels(d)) return PAL_OK;
    s->panels = os_allocate(decoder_panel_reals(d) * sizeof *s->panels);
    if (!s->panels) return pal_fail(err, PAL_INTERNAL, "out of memory for the stream");
    decoder_pack(d, s->panels);
    pass_use_panels(s->pass, s->panels);
    return PAL_OK;
}

void station_close(station *s)
{
    pass_destroy(s->pass);
    stepper_destroy(s->stepper);
    free(s->panels);
    *s = (station){0};
}

/* ---- Streams of rank 0 ---- */

size_t relay_stream_bytes(const decoder *d, size_t workers, size_t lanes)
{
    return pass_bytes(d, workers, lanes, 0) +
           (lanes * (size_t)decoder_config(d)->vocab + (decoder_uses_panels(d) ? decoder_panel_reals(d) : 0)) *
               sizeof(real);
}

static size_t last_of(const relay_stream *s)
{
    return s->r->link.count - 1;
}

/* To the next rank, which hands it on. */
static void order(relay_stream *s, relay_order o)
{
    o.stream = (int64_t)s->id;
    relay_put(s->r, 1, &o, sizeof o);
}

static int open_stream(relay_stream *s, const decoder *d, pool *workers, size_t lanes, pal_error *err)
{
    size_t model = 0;
    while (model < s->r->models && s->r->model[model] != d) model++;
    while (s->id < RELAY_STREAMS && s->r->used[s->id]) s->id++;
    if (model == s->r->models || s->id == RELAY_STREAMS)
        return pal_fail(err, PAL_INTERNAL, "a stream that the ranks do not know");
    s->border = calloc(s->r->link.count + 1, sizeof *s->border);
    s->logits = calloc(lanes * (size_t)decoder_config(d)->vocab, sizeof *s->logits);
    if (!s->border || !s->logits) return pal_fail(err, PAL_INTERNAL, "out of memory for the stream");
    find_borders(d, s->r->link.count, s->border);
    PAL_TRY(station_open(&s->at, d, workers, lanes, err));
    s->r->used[s->id] = 1;
    order(s, (relay_order){.op = RELAY_OPEN, .model = (int64_t)model, .lanes = (int64_t)lanes});
    return PAL_OK;
}

int relay_stream_create(relay_stream **out, const decoder *d, pool *workers, size_t lanes, pal_error *err)
{
    relay_stream *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "out of memory for the stream");
    s->r = decoder_relay(d);
    const int code = open_stream(s, d, workers, lanes, err);
    if (code == PAL_OK)
        *out = s;
    else
        relay_stream_destroy(s);
    return code;
}

void relay_stream_destroy(relay_stream *s)
{
    if (!s) return;
    if (s->id < RELAY_STREAMS && s->at.pass && s->r->used[s->id]) {
        order(s, (relay_order){.op = RELAY_CLOSE});
        s->r->used[s->id] = 0;
    }
    station_close(&s->at);
    free(s->border);
    free(s->logits);
    free(s);
}

void relay_read(relay_stream *s, size_t segments, const scored_tokens *t, const size_t *valid, void *const *state)
{
    const station *at = &s->at;
    const size_t all = segments * at->rows;
    const int scored = t->targets != NULL;
    if (segments == 0) return;
    order(s, (relay_order){.op = RELAY_READ, .segments = (int64_t)segments, .scored = scored});
    relay_put(s->r, 1, valid, at->lanes * sizeof *valid);
    if (scored) relay_put(s->r, 1, t->targets, all * sizeof *t->targets);
    for (size_t i = 0; i < segments; i++) {
        pass_begin(at->pass, 0, t->tokens + i * at->rows, valid, state);
        pass_layers(at->pass, 0, state, at->from, at->to, scored);
        relay_put(s->r, 1, pass_residual(at->pass, 0, at->to), station_segment_bytes(at));
    }
    if (!scored) return;
    relay_get(s->r, last_of(s), t->nll, all * sizeof *t->nll);
    relay_get(s->r, last_of(s), t->argmax, all * sizeof *t->argmax);
}

int relay_allow_writing(relay_stream *s, pal_error *err)
{
    station *at = &s->at;
    if (at->stepper) return PAL_OK;
    if (!stepper_serves(at->d))
        return pal_fail(err, PAL_USAGE, "attention %s does not write token by token, which ranks=layers needs",
                        decoder_config(at->d)->attention->name);
    PAL_TRY(stepper_create(&at->stepper, at->d, at->workers, at->lanes, err));
    order(s, (relay_order){.op = RELAY_WRITE});
    return PAL_OK;
}

const real *relay_step(relay_stream *s, const int32_t *tokens, size_t stride, size_t first, size_t count,
                       void *const *state)
{
    const station *at = &s->at;
    size_t step = 0;
    for (size_t done = 0; done < count; done += step) {
        step = count - done < ATTN_STEP_ROWS ? count - done : ATTN_STEP_ROWS;
        order(s, (relay_order){.op = RELAY_STEP,
                               .first = (int64_t)(first + done),
                               .count = (int64_t)step,
                               .scored = done + step == count});
        stepper_begin(at->stepper, step, state);
        stepper_embed(at->stepper, tokens + done, stride);
        stepper_layers(at->stepper, at->from, at->to, first + done, state);
        relay_put(s->r, 1, stepper_rows(at->stepper), station_step_bytes(at, step));
    }
    relay_get(s->r, last_of(s), s->logits, at->lanes * (size_t)decoder_config(at->d)->vocab * sizeof *s->logits);
    return s->logits;
}

/* ---- States ---- */

void relay_reset(relay_stream *s, size_t lane, void *state, uint64_t seen)
{
    order(s, (relay_order){.op = RELAY_RESET, .lane = (int64_t)lane, .seen = seen});
    decoder_state_reset_layers(s->at.d, state, s->at.from, s->at.to, seen);
}

/* The header and the layers that are read here. */
static void copy_own(const station *at, void *to, const void *from)
{
    size_t begin, end;
    decoder_state_range(at->d, at->from, at->to, &begin, &end);
    memcpy(to, from, end); /* from the header on: rank 0 has the first layer */
}

void relay_pull(relay_stream *s, size_t lane, const void *state, void *out)
{
    const station *at = &s->at;
    if (out != state) copy_own(at, out, state);
    order(s, (relay_order){.op = RELAY_PULL, .lane = (int64_t)lane});
    for (size_t rank = 1; rank <= last_of(s); rank++) {
        size_t begin, end;
        decoder_state_range(at->d, s->border[rank], s->border[rank + 1], &begin, &end);
        relay_get(s->r, rank, (char *)out + begin, end - begin);
    }
}

void relay_push(relay_stream *s, size_t lane, const void *in, void *state)
{
    order(s, (relay_order){.op = RELAY_PUSH, .lane = (int64_t)lane});
    relay_put(s->r, 1, in, decoder_state_bytes(s->at.d));
    copy_own(&s->at, state, in);
}

int relay_finite(relay_stream *s, size_t lane, const void *state)
{
    int finite = decoder_state_finite(s->at.d, state, s->at.from, s->at.to);
    order(s, (relay_order){.op = RELAY_FINITE, .lane = (int64_t)lane});
    for (size_t rank = 1; rank <= last_of(s); rank++) {
        int32_t theirs = 0;
        relay_get(s->r, rank, &theirs, sizeof theirs);
        finite &= theirs;
    }
    return finite;
}

int relay_check(const relay_stream *s, pal_error *err)
{
    const pal_error *e = &s->r->error;
    return e->code == PAL_OK ? PAL_OK : pal_fail(err, e->code, "%s", e->text);
}
