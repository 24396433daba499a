/* Follows two runs of a model layer by layer to the first place where their bits differ. */
#include "harness/gate/trace.h"

#include "harness/base/os.h"
#include "models/decoder/pass.h"
#include "models/decoder/state.h"

#include <stdlib.h>
#include <string.h>

typedef struct runner {
    const decoder *d;
    pass *pass;
    void *state;
} runner;

static int open_runner(runner *r, const trace_side *side, pal_error *err)
{
    *r = (runner){.d = side->d};
    PAL_TRY(pass_create(&r->pass, side->d, side->threads, 1, 1, err));
    const size_t bytes = decoder_state_bytes(side->d);
    r->state = os_allocate(bytes);
    if (!r->state) return pal_fail(err, PAL_INTERNAL, "out of memory for a streaming state");
    memset(r->state, 0, bytes);
    decoder_state_reset(side->d, r->state);
    return PAL_OK;
}

static void close_runner(runner *r)
{
    pass_destroy(r->pass);
    free(r->state);
}

static void hash_stage(const runner *r, size_t stage, size_t rows, char out[HASH_HEX])
{
    const model_config *cfg = decoder_config(r->d);
    const int logits = stage > (size_t)cfg->n_layers;
    const real *data = logits ? pass_logits(r->pass, 0) : pass_residual(r->pass, 0, stage);
    hash_hex(data, rows * (size_t)(logits ? cfg->vocab : cfg->d_model) * sizeof *data, out);
}

static void compare_segment(runner r[2], const int32_t *tokens, size_t rows, trace_difference *out)
{
    const size_t stages = (size_t)decoder_config(r[0].d)->n_layers + 2;
    for (size_t i = 0; i < 2; i++) pass_forward(r[i].pass, 0, tokens, &rows, &r[i].state, 1);
    for (out->stage = 0; out->stage < stages; out->stage++) {
        for (size_t i = 0; i < 2; i++) hash_stage(&r[i], out->stage, rows, out->hash[i]);
        out->found = strcmp(out->hash[0], out->hash[1]) != 0;
        if (out->found) return;
    }
}

int trace_compare(const trace_side side[2], const int32_t *tokens, size_t count, trace_difference *out,
                  pal_error *err)
{
    const size_t segment = (size_t)decoder_config(side[0].d)->segment;
    *out = (trace_difference){0};
    runner r[2] = {0};
    int32_t *padded = calloc(segment, sizeof *padded);
    int code = padded ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for a segment");
    for (size_t i = 0; code == PAL_OK && i < 2; i++) code = open_runner(&r[i], &side[i], err);
    for (size_t at = 0; code == PAL_OK && at < count && !out->found; at += segment) {
        const size_t rows = count - at < segment ? count - at : segment;
        memset(padded, 0, segment * sizeof *padded);
        memcpy(padded, tokens + at, rows * sizeof *padded);
        out->segment = at / segment;
        compare_segment(r, padded, rows, out);
    }
    for (size_t i = 0; i < 2; i++) close_runner(&r[i]);
    free(padded);
    return code;
}
