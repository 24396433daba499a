#include "harness/base/os.h"
#include "harness/batch.h"
#include "harness/commands.h"
#include "harness/plan.h"
#include "harness/progress.h"
#include "models/attention/attention.h"
#include "models/cycle.h"
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
    stream_read_all(s);
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

/* Feed the beginning of a sample until its stream comes round; *round stays 0 where it does not. */
static int read_round(const eval_request *r, const batch_item *item, stream *s, uint64_t most, uint64_t *round,
                      pal_error *err)
{
    enum { CHUNK = 1024 };
    int32_t tokens[CHUNK];
    task_sample *sample = NULL;
    PAL_TRY(r->task->open(r->run, item->cell, item->index, &sample, err));
    int code = PAL_OK;
    while (code == PAL_OK && stream_position(s) < most && stream_passed(s) == 0) {
        size_t got = 0;
        code = r->task->read(sample, tokens, CHUNK, &got, err);
        if (code != PAL_OK || got == 0) break;
        stream_feed(s, tokens, got, got, UINT64_MAX, NULL, NULL);
    }
    if (stream_passed(s) > 0) *round = stream_position(s) - stream_passed(s);
    r->task->close(sample);
    return code;
}

/* Whether the model comes back to states that it had when it reads this part's samples. Only looked for where it
 * would make a difference. */
static int find_round(const eval_request *r, plan_part *p, pool *threads, pal_error *err)
{
    const decoder *d = p->model->decoder;
    const uint64_t most = 2 * CYCLE_SEGMENTS * (uint64_t)decoder_config(d)->segment;
    const uint64_t reads = p->count ? p->item[0].first : 0;
    uint64_t round = 0;
    if (!r->options.share || p->zeroed || decoder_settles(d) == UINT64_MAX || reads < 2 * most) return PAL_OK;
    stream *s;
    PAL_TRY(stream_create(&s, d, threads, 1, err));
    const int code = read_round(r, &p->item[0], s, most, &round, err);
    stream_destroy(s);
    if (round) plan_part_round(p, round);
    return code;
}

/* One row: a model at one length. Adds the expected seconds to *total. */
static int plan_row(const eval_request *r, plan_part *p, pool *threads, double *total, pal_error *err)
{
    const decoder *d = p->model->decoder;
    char text[24], time[32];
    printf("%-28s %-12s ", p->model->file.name, p->length ? kv_format_size(p->length, text) : p->cell[0]->name);
    if (p->skip[0]) {
        printf("skipped: %s\n", p->skip);
        return PAL_OK;
    }
    double speed = 1;
    PAL_TRY(find_round(r, p, threads, err));
    PAL_TRY(probe(d, threads, p->lanes, &speed, err));
    printf("%8zu %14.0f %14.0f %10.3g %12zu %12zu %6zu %12s%s\n", p->count, p->all_tokens, p->work, p->flops,
           decoder_memory_bytes(d), batch_bytes(d, (size_t)r->threads, p->lanes, p->scored, r->options.share != 0),
           p->lanes, progress_format_time(p->flops / speed, time), p->zeroed ? "  (memory zeroed)" : "");
    fflush(stdout);
    *total += p->flops / speed;
    return PAL_OK;
}

int cmd_plan(int argc, char **argv, pal_error *err)
{
    eval_request r;
    PAL_TRY(eval_request_read(&r, argc, argv, 1, err));
    gemm_setup();
    plan all = {0};
    pool *threads = NULL;
    int code = plan_make(&all, &r, NULL, NULL, err);
    if (code == PAL_OK) code = pool_create(&threads, r.threads, err);
    if (code == PAL_OK)
        printf("%-28s %-12s %8s %14s %14s %10s %12s %12s %6s %12s\n", "model",
               r.cell[0].length ? "length" : "texts", "samples", "tokens", "read", "FLOPs", "state bytes",
               "peak bytes", "batch", "time");
    double total = 0;
    for (size_t i = 0; code == PAL_OK && i < all.count; i++)
        code = plan_row(&r, &all.part[i], threads, &total, err);
    char time[32];
    if (code == PAL_OK)
        printf("about %s in all (samples that the journal holds already cost nothing)\n",
               progress_format_time(total, time));
    plan_free(&all);
    pool_destroy(threads);
    eval_request_free(&r);
    return code;
}
