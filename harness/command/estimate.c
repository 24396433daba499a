#include "harness/base/os.h"
#include "harness/command/commands.h"
#include "harness/eval/batch.h"
#include "harness/eval/plan.h"
#include "harness/eval/progress.h"
#include "models/attention/attention.h"
#include "models/engine/gemm.h"
#include "models/stream/cycle.h"

#include <stdio.h>
#include <stdlib.h>

/* How long the speed of a model is measured, seconds. */
static const double probe_seconds = 0.5;

static void ignore(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    (void)arg, (void)lane, (void)position, (void)nll, (void)argmax;
}

/* FLOPs per second that this model reaches with so many lanes when it reads, or reads and scores: from streaming a
 * few segments of token 0, again and again, so that a bounded cache cannot overflow. */
static int probe(const decoder *d, pool *threads, size_t lanes, int scored, double *flops_per_second,
                 pal_error *err)
{
    const size_t segment = (size_t)decoder_config(d)->segment;
    const int64_t most = attn_sizes_of(decoder_config(d), 0, 1).max_tokens;
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
        const double began = os_now();
        stream_feed(s, tokens, count, count, scored ? 0 : UINT64_MAX, scored ? ignore : NULL, NULL);
        if (warm) continue;
        seconds += os_now() - began;
        done += (double)(lanes * segments * segment) * decoder_flops(d, (double)(segments * segment) / 2, scored);
    }
    *flops_per_second = done / seconds;
    free(tokens);
    stream_destroy(s);
    return PAL_OK;
}

/* Feed the beginning of a sample until its stream comes round, and then some more; *round stays 0 where it does
 * not. *seconds_each: of a token that is passed over from there on, its text included. */
static int read_round(const eval_request *r, const batch_item *item, stream *s, uint64_t most, uint64_t *round,
                      double *seconds_each, pal_error *err)
{
    enum { CHUNK = 1024, MORE = 64 * CHUNK };
    int32_t tokens[CHUNK];
    double began = 0;
    uint64_t from = 0;
    task_sample *sample = NULL;
    PAL_TRY(r->task->eval->open(r->run, item->cell, item->index, &sample, err));
    int code = PAL_OK;
    while (code == PAL_OK && stream_position(s) < (*round ? from + MORE : most)) {
        size_t got = 0;
        code = r->task->eval->read(sample, tokens, CHUNK, &got, err);
        if (code != PAL_OK || got == 0) break;
        stream_feed(s, tokens, got, got, UINT64_MAX, NULL, NULL);
        if (*round || stream_passed(s) == 0) continue;
        *round = stream_position(s) - stream_passed(s);
        from = stream_position(s);
        began = os_now();
    }
    if (*round) *seconds_each = (os_now() - began) / (double)(stream_position(s) - from);
    r->task->eval->close(sample);
    return code;
}

/* Whether the model comes back to states that it had when it reads this part's samples. Only looked for where it
 * would make a difference. */
static int find_round(const eval_request *r, plan_part *p, pool *threads, double *seconds_each, pal_error *err)
{
    const decoder *d = p->model->decoder;
    const uint64_t most = 2 * CYCLE_SEGMENTS * (uint64_t)decoder_config(d)->segment;
    const uint64_t reads = p->count ? p->item[0].first : 0;
    uint64_t round = 0;
    if (!r->options.share || p->zeroed || decoder_settles(d) == UINT64_MAX || reads < 2 * most) return PAL_OK;
    stream *s;
    PAL_TRY(stream_create(&s, d, threads, 1, err));
    const int code = read_round(r, &p->item[0], s, most, &round, seconds_each, err);
    stream_destroy(s);
    if (round) plan_part_round(p, round);
    return code;
}

/* Seconds that the task takes for a token of this part's texts, whoever reads it then. */
static int time_text(const eval_request *r, const plan_part *p, double *seconds_each, pal_error *err)
{
    enum { CHUNK = 1024, MOST = 256 * CHUNK };
    int32_t tokens[CHUNK];
    task_sample *sample = NULL;
    size_t sum = 0, got = 1;
    *seconds_each = 0;
    if (p->count == 0) return PAL_OK;
    PAL_TRY(r->task->eval->open(r->run, p->item[0].cell, p->item[0].index, &sample, err));
    const double began = os_now();
    int code = PAL_OK;
    for (; code == PAL_OK && got > 0 && sum < MOST; sum += got)
        code = r->task->eval->read(sample, tokens, CHUNK, &got, err);
    if (sum) *seconds_each = (os_now() - began) / (double)sum;
    r->task->eval->close(sample);
    return code;
}

/* The expected seconds of FLOPs done in `lanes` lanes. */
static int time_flops(const decoder *d, pool *threads, size_t lanes, plan_flops work, double *seconds,
                      pal_error *err)
{
    double speed;
    if (work.read > 0) {
        PAL_TRY(probe(d, threads, lanes, 0, &speed, err));
        *seconds += work.read / speed;
    }
    if (work.scored > 0) {
        PAL_TRY(probe(d, threads, lanes, 1, &speed, err));
        *seconds += work.scored / speed;
    }
    return PAL_OK;
}

/* Below a minute with the tenths. */
static char *format_time(double seconds, char out[32])
{
    if (seconds >= 59.95) return progress_format_time(seconds, out);
    snprintf(out, 32, "%.1f s", seconds);
    return out;
}

/* One row: a model at one length. Adds the expected seconds to *total. */
static int plan_row(const eval_request *r, plan_part *p, pool *threads, double *total, pal_error *err)
{
    const decoder *d = p->model->decoder;
    char length[24], time[32];
    printf("%-28s %-12s ", p->model->file.name, p->length ? kv_format_size(p->length, length) : p->cell[0]->name);
    if (p->skip[0]) {
        printf("skipped: %s\n", p->skip);
        return PAL_OK;
    }
    double passing = 0, text = 0;
    PAL_TRY(find_round(r, p, threads, &passing, err));
    PAL_TRY(time_text(r, p, &text, err));
    double seconds = p->all_tokens * text;
    if (passing > text) seconds += (p->all_tokens - p->work) * (passing - text);
    PAL_TRY(time_flops(d, threads, p->lanes, p->many, &seconds, err));
    PAL_TRY(time_flops(d, threads, 1, p->alone, &seconds, err));
    printf("%8zu %14.0f %14.0f %10.3g %12zu %12zu %6zu %12s%s\n", p->count, p->all_tokens, p->work, p->flops,
           decoder_memory_bytes(d), batch_bytes(d, (size_t)r->threads, p->lanes, p->scored, r->options.share != 0),
           p->lanes, format_time(seconds, time), p->zeroed ? "  (memory zeroed)" : "");
    fflush(stdout);
    *total += seconds;
    return PAL_OK;
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    eval_request r;
    PAL_TRY(eval_request_make(&r, options, rest, 1, err));
    say_left_out(&r);
    plan all = {0};
    pool *threads = NULL;
    int code = gemm_setup(r.threads, err);
    if (code == PAL_OK) code = plan_make(&all, &r, NULL, NULL, err);
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
               format_time(total, time));
    plan_free(&all);
    pool_destroy(threads);
    eval_request_free(&r);
    return code;
}

const pal_command plan_command = {
    .name = "plan",
    .summary = "what an eval would cost: tokens, FLOPs, bytes, time",
    .examples = "plan task=passkey len=1M\n"
                "plan task=perplexity data=books\n",
    .options = eval_options_rows,
    .count = EVAL_OPTIONS,
    .bytes = sizeof(eval_options),
    .groups = groups_of_tasks,
    .words = words_of_eval,
    .run = run,
};
