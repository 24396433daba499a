#include "harness/base/os.h"
#include "harness/batch.h"
#include "harness/commands.h"
#include "harness/eval.h"
#include "harness/progress.h"
#include "models/attention/attention.h"
#include "models/engine/gemm.h"

#include <stdio.h>
#include <stdlib.h>

/* How long the speed of a model is measured, seconds. */
static const double probe_seconds = 1;

/* FLOPs per second that this model reaches with so many lanes when it reads: from streaming a few segments of
 * token 0, again and again, so that a bounded cache cannot overflow. */
static int probe(const decoder *d, pool *threads, size_t lanes, double *flops_per_second, pal_error *err)
{
    const size_t segment = (size_t)decoder_config(d)->segment;
    const int64_t most = decoder_config(d)->attention->max_tokens(decoder_config(d));
    const size_t segments = most && (size_t)most <= 4 * segment ? 1 : 4;
    const size_t count = segments * segment + 1; /* a segment is read when the token after it is there */
    stream *s;
    PAL_TRY(stream_create(&s, d, threads, lanes, err));
    int32_t *tokens = calloc(lanes * count, sizeof *tokens);
    if (!tokens) {
        stream_destroy(s);
        return pal_fail(err, PAL_INTERNAL, "out of memory for the measurement");
    }
    double done = 0, seconds = 0;
    for (int warm = 1; seconds < probe_seconds; warm = 0) {
        stream_reset(s);
        const double began = os()->now();
        stream_feed(s, tokens, count, count, UINT64_MAX, NULL, NULL);
        if (warm) continue;
        seconds += os()->now() - began;
        done += (double)(lanes * segments * segment) * decoder_flops(d, (double)(segments * segment) / 2, 0);
    }
    *flops_per_second = done / seconds;
    free(tokens);
    stream_destroy(s);
    return PAL_OK;
}

/* Samples of a length over all its cells; 0 when an earlier cell has the same length. */
static int64_t samples_of(const eval_request *r, size_t cell)
{
    int64_t samples = 0;
    for (size_t c = 0; c < r->cell_count; c++) {
        if (r->cell[c].length != r->cell[cell].length) continue;
        if (c < cell) return 0;
        samples += r->cell[c].samples;
    }
    return samples;
}

/* One row: a model at one length. Adds the expected seconds to *total. */
static int plan_row(const eval_request *r, const eval_model *m, pool *threads, size_t cell, double *total,
                    pal_error *err)
{
    const int64_t length = r->cell[cell].length, samples = samples_of(r, cell);
    uint64_t tokens, scored;
    char text[24], why[160], time[32];
    PAL_TRY(eval_request_measure(r, &r->cell[cell], &tokens, &scored, err));
    printf("%-22s %6s ", m->file.name, kv_format_size(length, text));
    if (eval_model_too_short(m, tokens, why, sizeof why)) {
        printf("skipped: %s\n", why);
        return PAL_OK;
    }
    const size_t wanted = (size_t)(samples < r->options.batch ? samples : r->options.batch);
    const size_t lanes = eval_lanes_that_fit(m->decoder, (size_t)r->threads, wanted, scored);
    if (lanes == 0) {
        printf("does not fit\n");
        return eval_no_room(m, r, scored, err);
    }
    double speed = 1;
    PAL_TRY(probe(m->decoder, threads, lanes, &speed, err));
    const double all = (double)samples * (double)length;
    const double flops = (double)samples * eval_sample_flops(m->decoder, tokens, scored);
    printf("%8lld %14.0f %10.3g %12zu %12zu %6zu %12s\n", (long long)samples, all, flops,
           decoder_memory_bytes(m->decoder), batch_bytes(m->decoder, (size_t)r->threads, lanes, scored), lanes,
           progress_format_time(flops / speed, time));
    fflush(stdout);
    *total += flops / speed;
    return PAL_OK;
}

int cmd_plan(int argc, char **argv, pal_error *err)
{
    eval_request r;
    PAL_TRY(eval_request_read(&r, argc, argv, 1, err));
    gemm_setup();
    pool *threads = NULL;
    int code = pool_create(&threads, r.threads, err);
    if (code == PAL_OK)
        printf("%-22s %6s %8s %14s %10s %12s %12s %6s %12s\n", "model", "length", "samples", "tokens", "FLOPs",
               "state bytes", "peak bytes", "batch", "time");
    double total = 0;
    for (size_t c = 0; code == PAL_OK && c < r.cell_count; c++)
        for (size_t m = 0; code == PAL_OK && samples_of(&r, c) > 0 && m < r.model_count; m++)
            code = plan_row(&r, &r.model[m], threads, c, &total, err);
    char time[32];
    if (code == PAL_OK)
        printf("about %s in all (samples that the journal holds already cost nothing)\n",
               progress_format_time(total, time));
    pool_destroy(threads);
    eval_request_free(&r);
    return code;
}
