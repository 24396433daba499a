/* Throughput of training and streaming evaluation, as tokens a second and as a share of what SGEMM reaches on this
 * machine at this moment. */
#include "harness/cli/listing.h"
#include "harness/command/commands.h"
#include "harness/command/groups.h"
#include "models/decoder/config_keys.h"
#include "models/decoder/state.h"
#include "models/decoder/step.h"

#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "models/attention/attention.h"
#include "models/engine/gemm.h"
#include "models/engine/kernels.h"
#include "models/import/forms.h"
#include "models/stream/stream.h"
#include "models/training/optimiser.h"
#include "models/training/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 256, PEAK_SIDE = 1024, EVAL_SEGMENTS = 64 /* of all lanes together */ };

typedef struct bench_config {
    kv_list batch;
    char model[KV_TEXT_MAX];
    int64_t window, threads, mode, format, hold; /* hold: weights_form */
    double seconds;
} bench_config;

#define AT(field) offsetof(bench_config, field)
static const kv_spec bench_table[] = {
    {"model", KV_TEXT, AT(model), "", 0, 0, NULL,
     "a model by its path, ours, an adapter or another program's; its keys may be replaced. Empty: random "
     "weights"},
    {"hold", KV_CHOICE, AT(hold), "auto", 0, 0, FORM_CHOICES,
     "form of the weights of another program's model in memory; training wants f32"},
    {"batch", KV_SIZES, AT(batch), "1,8", 1, 4096, NULL, "lanes of the evaluation; training uses the last"},
    {"window", KV_INT, AT(window), "4", 1, 1024, NULL, "segments of a training window"},
    {"mode", KV_CHOICE, AT(mode), "all", 0, 0, "all|train|eval|write",
     "what to measure; write: text token by token, whose peak is the speed at which memory is read"},
    {"threads", KV_INT, AT(threads), "0", 0, POOL_MAX_THREADS, NULL, "0: all processors"},
    {"seconds", KV_REAL, AT(seconds), "8", 0.1, 3600, NULL, "measured time of each row"},
    {"format", KV_CHOICE, AT(format), "text", 0, 0, LISTING_FORMATS,
     "of the rows; csv and jsonl print nothing else"},
};
/* The choices of `mode`. */
enum { MODE_ALL, MODE_TRAIN, MODE_EVAL, MODE_WRITE };

/* The model stated in the README, unless the words say otherwise. */
static const char *const bench_model[][2] = {{"attention", "infini-linear"},
                                             {"d_model", "256"},
                                             {"n_layers", "4"},
                                             {"n_heads", "4"},
                                             {"d_head", "64"},
                                             {"d_ff", "1024"},
                                             {"segment", "512"}};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *value, size_t count)
{
    qsort(value, count, sizeof *value, by_value);
    return value[count / 2];
}

/* ---- the yardstick ---- */

typedef struct peak_job {
    real *a, *b, *c; /* [threads] squares each */
} peak_job;

static void peak_task(void *arg, int task, int worker)
{
    (void)worker;
    const peak_job *j = arg;
    const size_t side = PEAK_SIDE, at = (size_t)task * side * side;
    gemm_yardstick(side, j->a + at, j->b + at, j->c + at);
}

/* FLOP/s of one product of 1024-squares on every thread at once: the median of a second of runs. */
static int measure_peak(pool *p, double *flops, pal_error *err)
{
    const size_t threads = (size_t)pool_threads(p), side = PEAK_SIDE, count = 3 * threads * side * side;
    real *block = malloc(count * sizeof *block);
    if (!block) return pal_fail(err, PAL_INTERNAL, "out of memory for the SGEMM yardstick");
    for (size_t i = 0; i < count; i++) block[i] = (real)(i % 7) / 8;
    peak_job job = {block, block + threads * side * side, block + 2 * threads * side * side};
    double run[MOST_RUNS];
    size_t runs = 0;
    const double start = os_now();
    while (runs < 3 || (os_now() - start < 1 && runs < MOST_RUNS)) {
        const double before = os_now();
        pool_run(p, (int)threads, peak_task, &job);
        run[runs++] = 2.0 * (double)threads * side * side * side / (os_now() - before);
    }
    *flops = median(run, runs);
    free(block);
    return PAL_OK;
}

/* Bytes a second of memory that all threads read, each a part of what no cache holds: the median of a second of
 * runs. */
enum { READ_BYTES = 256 << 20, READ_STEP = 4096 };

typedef struct read_job {
    const real *x;
    size_t count;
    real *sums; /* [threads] */
} read_job;

static void read_task(void *arg, int task, int worker)
{
    (void)worker;
    const read_job *j = arg;
    for (size_t i = 0; i < j->count; i += READ_STEP)
        j->sums[task] += kernels_get()->sum(j->x + (size_t)task * j->count + i, READ_STEP);
}

static int measure_memory(pool *p, double *bytes, pal_error *err)
{
    const size_t threads = (size_t)pool_threads(p), step = READ_STEP * threads * sizeof(real);
    const size_t all = READ_BYTES / step * step;
    char *block = malloc(all);
    real sums[POOL_MAX_THREADS] = {0};
    if (!block) return pal_fail(err, PAL_INTERNAL, "out of memory to measure how fast it is read");
    memset(block, 1, all); /* zeros might all be one page */
    read_job job = {(const real *)(void *)block, all / threads / sizeof(real), sums};
    double run[MOST_RUNS];
    size_t runs = 0;
    const double start = os_now();
    while (runs < 3 || (os_now() - start < 1 && runs < MOST_RUNS)) {
        const double before = os_now();
        pool_run(p, (int)threads, read_task, &job);
        run[runs++] = (double)all / (os_now() - before);
    }
    *bytes = median(run, runs);
    free(block);
    return PAL_OK;
}

/* ---- the rows ---- */

typedef struct bench {
    bench_config cfg;
    model_config model_cfg;
    decoder *model;
    pool *pool;
    double peak, memory; /* FLOP/s, bytes/s */
    listing rows;
} bench;

static const listing_column columns[] = {{"mode", NULL, -5},
                                         {"batch", NULL, 5},
                                         {"tokens_per_second", "tokens/s", 12},
                                         {"gflops", "GFLOP/s", 10},
                                         {"share_of_peak", "of peak", 7},
                                         {"peak_rss_bytes", "peak MiB", 8}};

static void print_row(bench *b, const char *mode, size_t batch, double tokens_per_s, double flops_per_token,
                      double share_of_peak)
{
    char text[32];
    const double flops = tokens_per_s * flops_per_token;
    listing_text(&b->rows, mode);
    listing_number(&b->rows, (double)batch, NULL);
    snprintf(text, sizeof text, "%.*f", tokens_per_s < 1000 ? 1 : 0, tokens_per_s);
    listing_number(&b->rows, tokens_per_s, text);
    snprintf(text, sizeof text, "%.1f", flops / 1e9);
    listing_number(&b->rows, flops / 1e9, text);
    if (share_of_peak < 0) share_of_peak = flops / b->peak;
    snprintf(text, sizeof text, "%.1f %%", 100 * share_of_peak);
    listing_number(&b->rows, share_of_peak, text);
    snprintf(text, sizeof text, "%.0f", (double)os_peak_rss() / 1048576);
    listing_number(&b->rows, (double)os_peak_rss(), text);
}

static int32_t *random_tokens(const bench *b, size_t count)
{
    int32_t *tokens = malloc(count * sizeof *tokens);
    rng r = rng_make(1, "bench", 0, 0);
    for (size_t i = 0; tokens && i < count; i++) tokens[i] = (int32_t)rng_below(&r, (uint64_t)b->model_cfg.vocab);
    return tokens;
}

static int bench_train(bench *b, size_t lanes, pal_error *err)
{
    const size_t segments = (size_t)b->cfg.window, count = lanes * segments * (size_t)b->model_cfg.segment;
    const size_t state_bytes = decoder_state_bytes(b->model), weights = decoder_weight_reals(b->model);
    const optimiser_config adamw = {.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .clip = 1, .gate_lr_scale = 10};
    optimiser o = {0};
    window *w = NULL;
    int code = optimiser_create(&o, &adamw, b->model, err);
    if (code == PAL_OK) code = window_create(&w, b->model, b->pool, lanes, segments, 0, err);
    int32_t *tokens = random_tokens(b, count);
    float *weight = malloc(count * sizeof *weight);
    char *states = os_allocate(lanes * state_bytes);
    void **state = malloc(lanes * sizeof *state);
    real *grad = os_allocate(weights * sizeof *grad);
    if (code == PAL_OK && (!tokens || !weight || !states || !state || !grad))
        code = pal_fail(err, PAL_INTERNAL, "out of memory for a batch of %zu tokens", count);
    if (code == PAL_OK) {
        for (size_t i = 0; i < count; i++) weight[i] = 1;
        memset(states, 0, lanes * state_bytes);
        for (size_t lane = 0; lane < lanes; lane++) state[lane] = states + lane * state_bytes;
        double run[MOST_RUNS], total = 0;
        size_t runs = 0;
        for (int warm = 1; runs < MOST_RUNS && (total < b->cfg.seconds || runs < 3); warm = 0) {
            const double before = os_now();
            for (size_t lane = 0; lane < lanes; lane++) decoder_state_reset(b->model, state[lane]);
            memset(grad, 0, weights * sizeof *grad);
            const scored_tokens scored = {.tokens = tokens, .targets = tokens, .weight = weight};
            window_step(w, segments, &scored, state, grad, (attn_penalty){0});
            optimiser_step(&o, b->model, b->pool, grad, 1e-4);
            const double seconds = os_now() - before;
            if (warm) continue;
            run[runs++] = seconds;
            total += seconds;
        }
        const double context = 0.5 * (double)(segments * (size_t)b->model_cfg.segment);
        print_row(b, "train", lanes, (double)count / median(run, runs), 3 * decoder_flops(b->model, context, 1),
                  -1);
    }
    free(tokens);
    free(weight);
    free(states);
    free(state);
    free(grad);
    window_destroy(w);
    optimiser_destroy(&o);
    return code;
}

static void ignore_score(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    (void)arg, (void)lane, (void)position, (void)nll, (void)argmax;
}

/* Every token is scored, as in perplexity, so many segments at a time as a stream reads in a pipeline. */
static int bench_eval(bench *b, size_t lanes, pal_error *err)
{
    const int64_t most = attn_sizes_of(&b->model_cfg, 0, 1).max_tokens;
    const size_t segment = (size_t)b->model_cfg.segment, fit = most ? (size_t)most / segment : EVAL_SEGMENTS;
    const size_t wanted = lanes < EVAL_SEGMENTS ? EVAL_SEGMENTS / lanes : 1;
    size_t count = segment * (fit < 1 ? 1 : fit < wanted ? fit : wanted);
    stream *s;
    PAL_TRY(stream_create(&s, b->model, b->pool, lanes, err));
    stream_read_all(s);
    int32_t *tokens = random_tokens(b, lanes * count);
    if (!tokens) {
        stream_destroy(s);
        return pal_fail(err, PAL_INTERNAL, "out of memory for a batch of %zu tokens", lanes * count);
    }
    const double begin = os_now();
    stream_feed(s, tokens, count, segment, 1, ignore_score, NULL);
    stream_flush(s, 1, ignore_score, NULL);
    const double each = os_now() - begin; /* s of a segment of all lanes, or somewhat more */
    while (count > segment && (double)(count / segment) * each > b->cfg.seconds / 2)
        count = (count / 2 + segment - 1) / segment * segment;
    stream_reset(s);
    double run[MOST_RUNS], total = 0;
    size_t runs = 0;
    for (int warm = 2; runs < MOST_RUNS && (total < b->cfg.seconds || runs < 3); warm -= warm > 0) {
        if (most) stream_reset(s);
        const double before = os_now();
        stream_feed(s, tokens, count, count, 1, ignore_score, NULL);
        if (most) stream_flush(s, 1, ignore_score, NULL); /* or the last segment would wait for another token */
        const double seconds = os_now() - before;
        if (warm) continue; /* a feed that begins a stream leaves its last segment in the buffer */
        run[runs++] = seconds;
        total += seconds;
    }
    print_row(b, "eval", lanes, (double)(lanes * count) / median(run, runs),
              decoder_flops(b->model, (double)stream_position(s) / 2, 1), -1);
    free(tokens);
    stream_destroy(s);
    return PAL_OK;
}

/* Greedy text after an empty prompt. A segment that is full is read once more as a whole, so a token costs a step
 * and its part of that: both are measured, also where no segment is filled. */
static int bench_write(bench *b, size_t lanes, pal_error *err)
{
    const size_t segment = (size_t)b->model_cfg.segment;
    stream *s;
    PAL_TRY(stream_create(&s, b->model, b->pool, lanes, err));
    stream_read_all(s);
    int32_t *tokens = random_tokens(b, lanes * (segment + 1));
    int code = tokens ? stream_allow_writing(s, err) : pal_fail(err, PAL_INTERNAL, "out of memory for the tokens");
    double whole[3], total = 0;
    size_t runs = 0, stride;
    for (size_t i = 0; code == PAL_OK && i < sizeof whole / sizeof *whole; i++) {
        stream_reset(s);
        stream_feed(s, tokens, segment + 1, segment, UINT64_MAX, NULL, NULL);
        const double before = os_now();
        stream_feed(s, tokens + segment, segment + 1, 1, UINT64_MAX, NULL, NULL); /* the segment is full */
        whole[i] = os_now() - before;
    }
    for (size_t i = 0; code == PAL_OK && (total < b->cfg.seconds || runs < 3); i++) {
        if (i % segment == 0) stream_reset(s);
        stream_feed(s, tokens + i % segment, segment + 1, 1, UINT64_MAX, NULL, NULL);
        const double before = os_now();
        const real *logits = stream_predict(s, &stride);
        for (size_t lane = 0; lane < lanes; lane++) stream_choice(s, logits + lane * stride);
        const double seconds = os_now() - before;
        if (i < 3) continue; /* warms up */
        runs++;
        total += seconds;
    }
    if (code == PAL_OK) {
        const double each = total / (double)runs + median(whole, sizeof whole / sizeof *whole) / (double)segment;
        print_row(b, "write", lanes, (double)lanes / each,
                  decoder_flops(b->model, (double)(runs % segment) / 2, 1),
                  (double)stepper_weight_bytes(b->model) / each / b->memory);
    }
    free(tokens);
    stream_destroy(s);
    return code;
}

static int read_model(model_config *cfg, const kv_pairs *words, pal_error *err)
{
    kv_pairs model = {0};
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < sizeof bench_model / sizeof bench_model[0]; i++)
        code = kv_pairs_add(&model, bench_model[i][0], bench_model[i][1], "bench", err);
    if (code == PAL_OK) code = kv_pairs_merge(&model, words, err);
    if (code == PAL_OK) code = model_config_read(cfg, &model, err);
    for (size_t i = 0; code == PAL_OK && i < model.count; i++)
        if (!model_config_knows(cfg->attention, model.pair[i].key))
            code = pal_fail(err, PAL_USAGE, "%s: attention %s has no such key; `palimpsest help bench` lists all",
                            model.pair[i].key, cfg->attention->name);
    kv_pairs_free(&model);
    return code;
}

static void print_head(const bench *b)
{
    const model_config *cfg = &b->model_cfg;
    printf("%s, d_model %lld, %lld layers, %lld heads x %lld, segment %lld: %.2fM parameters\n",
           cfg->attention->name, (long long)cfg->d_model, (long long)cfg->n_layers, (long long)cfg->n_heads,
           (long long)cfg->d_head, (long long)cfg->segment, (double)decoder_parameters(b->model) / 1e6);
    char core[64];
    decoder_core(b->model, core, sizeof core);
    printf("%d threads, BLAS %s, kernels %s, SGEMM peak %.0f GFLOP/s (1024-squares, one on each thread)",
           pool_threads(b->pool), core, kernels_get()->isa, b->peak / 1e9);
    if (b->memory > 0) printf(", memory %.1f GB/s", b->memory / 1e9);
    puts("\n");
}

static int mode_has(const bench *b, int64_t mode)
{
    return b->cfg.mode == MODE_ALL || b->cfg.mode == mode;
}

static int run_bench(bench *b, pal_error *err)
{
    const int threads = b->cfg.threads ? (int)b->cfg.threads : os_processors();
    PAL_TRY(gemm_setup(threads, err));
    PAL_TRY(pool_create(&b->pool, threads, err));
    if (b->cfg.model[0] && import_is_foreign(b->cfg.model)) {
        PAL_TRY(model_read_weights_as(b->cfg.model, (weights_form)b->cfg.hold, NULL, b->model, err));
    } else if (!b->cfg.model[0]) {
        PAL_TRY(decoder_create(&b->model, &b->model_cfg, err));
        decoder_init(b->model, 1);
    }
    const int trains = mode_has(b, MODE_TRAIN) && !decoder_is_left(b->model);
    if (decoder_is_left(b->model) && b->cfg.mode == MODE_TRAIN)
        return pal_fail(err, PAL_USAGE, "mode=train: these weights can only be read; set hold=f32");
    PAL_TRY(measure_peak(b->pool, &b->peak, err));
    if (mode_has(b, MODE_WRITE)) PAL_TRY(measure_memory(b->pool, &b->memory, err));
    if (b->cfg.format == LISTING_TEXT || b->cfg.format == LISTING_MARKDOWN) print_head(b);
    listing_begin(&b->rows, stdout, (listing_format)b->cfg.format, columns, sizeof columns / sizeof *columns);
    for (int64_t i = 0; mode_has(b, MODE_EVAL) && i < b->cfg.batch.count; i++)
        PAL_TRY(bench_eval(b, (size_t)b->cfg.batch.value[i], err));
    for (int64_t i = 0; mode_has(b, MODE_WRITE) && i < b->cfg.batch.count; i++)
        PAL_TRY(bench_write(b, (size_t)b->cfg.batch.value[i], err));
    if (trains) PAL_TRY(bench_train(b, (size_t)b->cfg.batch.value[b->cfg.batch.count - 1], err));
    return PAL_OK;
}

/* Ours is loaded whole; another program's is only described, until its form in memory is chosen. */
static int open_model(bench *b, const kv_pairs *words, pal_error *err)
{
    instead_words instead = {0};
    const char *attention = kv_pairs_value(words, "attention");
    int code = attention ? instead_parse(attention, &instead.own, err) : PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < words->count; i++)
        if (strcmp(words->pair[i].key, "attention") != 0)
            code = kv_pairs_add(&instead.common, words->pair[i].key, words->pair[i].value, "bench", err);
    const int foreign = import_is_foreign(b->cfg.model);
    if (code == PAL_OK && !foreign && b->cfg.hold != FORM_AUTO && b->cfg.hold != FORM_F32)
        code = pal_fail(err, PAL_USAGE,
                        "hold: %s is a model of this program, which is held in f32; leave hold out", b->cfg.model);
    if (code == PAL_OK && foreign)
        code = model_describe(b->cfg.model, &instead, NULL, NULL, &b->model, NULL, NULL, err);
    else if (code == PAL_OK)
        code = model_load(b->cfg.model, &instead, &b->model, NULL, NULL, err);
    instead_words_free(&instead);
    return code;
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    bench b = {.cfg = *(const bench_config *)options};
    int code = b.cfg.model[0] ? open_model(&b, rest, err) : read_model(&b.model_cfg, rest, err);
    if (code == PAL_OK && b.model) b.model_cfg = *decoder_config(b.model);
    if (code == PAL_OK) code = run_bench(&b, err);
    decoder_destroy(b.model);
    pool_destroy(b.pool);
    return code;
}

const pal_command bench_command = {
    .name = "bench",
    .summary = "speed of training, evaluation and writing on this machine",
    .examples = "bench\n"
                "bench attention=local d_model=128 segment=256 mode=eval\n",
    .options = bench_table,
    .count = sizeof bench_table / sizeof *bench_table,
    .bytes = sizeof(bench_config),
    .groups = groups_of_model,
    .run = run,
};
