/* What a needle leaves in the state: samples are read twice up to their question, with the needle and without it,
 * and the two states are held against each other. The difference takes in what later tokens make of the needle, so
 * it is the most that a read could find of it. */
#include "harness/base/os.h"
#include "harness/cli/progress.h"
#include "harness/eval/eval.h"
#include "harness/inspect/inspect.h"
#include "harness/report/report.h"
#include "harness/stats/stats.h"
#include "models/attention/attention.h"
#include "models/decoder/state.h"
#include "models/engine/gemm.h"
#include "models/stream/stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1024, WITH = 0, WITHOUT = 1 };

typedef struct imprint {
    eval_request request[2]; /* WITH the needle, WITHOUT it */
    pool *pool;
    progress progress;
    double tokens; /* read so far, of both */
    FILE *out;
} imprint;

/* What was measured of a cell's samples: [layers, ATTN_MAX_PARTS, 2, samples], the 2 being norm and difference. */
typedef struct measured {
    const decoder *d;
    size_t samples;
    double *value;
} measured;

static double *values_of(const measured *v, size_t layer, size_t part, int which)
{
    return v->value + ((layer * ATTN_MAX_PARTS + part) * 2 + (size_t)which) * v->samples;
}

static double norm_of(const real *a, const real *b, const state_part *part)
{
    double sum = 0;
    for (size_t g = 0; g < part->groups; g++) {
        for (size_t i = 0; i < part->count; i++) {
            const size_t at = part->first + g * part->stride + i;
            const double x = (double)a[at] - (b ? (double)b[at] : 0);
            sum += x * x;
        }
    }
    return sqrt(sum);
}

/* Both readings of a sample, each in a lane, up to the last whole segment before the question. */
static int read_sample(imprint *m, stream *s, size_t cell, int64_t index, uint64_t *border, pal_error *err)
{
    int32_t tokens[2 * CHUNK];
    task_sample *sample[2] = {0};
    uint64_t end[2] = {0};
    int code = PAL_OK;
    for (int i = 0; code == PAL_OK && i < 2; i++) {
        const eval_request *r = &m->request[i];
        code = r->task->eval->open(r->run, &r->cell[cell], index, &sample[i], err);
        if (code != PAL_OK) break;
        sample_shape shape = {0};
        r->task->eval->shape(sample[i], &shape);
        end[i] = shape.forget;
    }
    const uint64_t segment = (uint64_t)decoder_config(m->request[0].model[0].decoder)->segment;
    *border = end[WITH] / segment * segment;
    if (code == PAL_OK && (end[WITH] != end[WITHOUT] || *border == 0))
        code = pal_fail(err, PAL_USAGE, "len=%lld: a sample must be longer than a segment of %llu tokens",
                        (long long)m->request[0].cell[cell].length, (unsigned long long)segment);
    stream_reset(s);
    /* A segment is read when the token after it is there. */
    while (code == PAL_OK && stream_position(s) < *border + 1) {
        const uint64_t left = *border + 1 - stream_position(s);
        const size_t want = left < CHUNK ? (size_t)left : CHUNK;
        for (int i = 0; code == PAL_OK && i < 2; i++)
            for (size_t got = 0, more = 0; code == PAL_OK && got < want; got += more) {
                code = m->request[i].task->eval->read(sample[i], tokens + i * CHUNK + got, want - got, &more, err);
                if (code == PAL_OK && more == 0)
                    code = pal_fail(err, PAL_INTERNAL, "a sample ends before its question");
            }
        if (code != PAL_OK) break;
        stream_feed(s, tokens, CHUNK, want, UINT64_MAX, NULL, NULL);
        m->tokens += 2 * (double)want;
        progress_update(&m->progress, m->tokens, NULL);
    }
    for (int i = 0; i < 2; i++)
        if (sample[i]) m->request[i].task->eval->close(sample[i]);
    return code;
}

static void keep_sample(const measured *v, const real *with, const real *without, size_t layer, size_t index)
{
    state_part part[ATTN_MAX_PARTS];
    const size_t parts = decoder_state_parts(v->d, layer, part);
    for (size_t p = 0; p < parts; p++) {
        const double norm = norm_of(with, NULL, &part[p]);
        values_of(v, layer, p, 0)[index] = norm;
        values_of(v, layer, p, 1)[index] = norm > 0 ? norm_of(with, without, &part[p]) / norm : 0;
    }
}

static void put_layer(imprint *m, const eval_model *model, const task_cell *cell, uint64_t segments, size_t layer,
                      const measured *v)
{
    state_part part[ATTN_MAX_PARTS];
    const size_t parts = decoder_state_parts(v->d, layer, part);
    for (size_t p = 0; p < parts; p++) {
        const double *norm = values_of(v, layer, p, 0), *difference = values_of(v, layer, p, 1);
        const interval ci = stats_ratio(difference, NULL, v->samples, 0.95);
        const double number[] = {stats_mean(norm, v->samples), stats_mean(difference, v->samples), ci.lo, ci.hi};
        text_csv(m->out, model->file.name);
        fprintf(m->out, ",%s,%lld,", model->info.digest, (long long)cell->length);
        text_number(m->out, cell->depth);
        fprintf(m->out, ",%llu,%zu,%s,%zu", (unsigned long long)segments, layer, part[p].name, v->samples);
        for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
            fputc(',', m->out);
            text_number(m->out, number[i]);
        }
        fputc('\n', m->out);
    }
}

static int measure_cell(imprint *m, const eval_model *model, size_t c, stream *s, pal_error *err)
{
    const task_cell *cell = &m->request[WITH].cell[c];
    const size_t layers = (size_t)decoder_config(model->decoder)->n_layers;
    measured v = {.d = model->decoder, .samples = (size_t)cell->samples};
    v.value = calloc(layers * ATTN_MAX_PARTS * 2 * v.samples + 1, sizeof *v.value);
    if (!v.value) return pal_fail(err, PAL_INTERNAL, "out of memory for %zu samples", v.samples);
    uint64_t border = 0;
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < v.samples; i++) {
        code = read_sample(m, s, c, (int64_t)i, &border, err);
        for (size_t l = 0; code == PAL_OK && l < layers; l++)
            keep_sample(&v, decoder_layer_state(v.d, stream_state(s, WITH), l),
                        decoder_layer_state(v.d, stream_state(s, WITHOUT), l), l, i);
    }
    const uint64_t segments = border / (uint64_t)decoder_config(v.d)->segment;
    for (size_t l = 0; code == PAL_OK && l < layers; l++) put_layer(m, model, cell, segments, l, &v);
    free(v.value);
    return code;
}

static int measure_model(imprint *m, size_t index, pal_error *err)
{
    const eval_request *r = &m->request[WITH];
    const eval_model *model = &r->model[index];
    stream *s = NULL;
    PAL_TRY(stream_create(&s, model->decoder, m->pool, 2, err));
    int code = PAL_OK;
    for (size_t c = 0; code == PAL_OK && c < r->cell_count; c++) {
        char why[160];
        if (eval_model_too_short(model, (uint64_t)r->cell[c].length, why, sizeof why)) {
            code = pal_fail(err, PAL_USAGE, "%s; ask for shorter samples or another model", why);
            break;
        }
        code = measure_cell(m, model, c, s, err);
    }
    stream_destroy(s);
    return code;
}

static int measure_all(imprint *m, pal_error *err)
{
    const eval_request *r = &m->request[WITH];
    char path[2 * KV_TEXT_MAX], *text = NULL;
    size_t size = 0;
    double total = 0;
    for (size_t c = 0; c < r->cell_count; c++)
        total += 2 * (double)r->cell[c].length * (double)r->cell[c].samples * (double)r->model_count;
    snprintf(path, sizeof path, "%s/%s-imprint.csv", r->options.results, r->task->name);
    PAL_TRY(os_make_dirs(r->options.results, err));
    m->out = open_memstream(&text, &size);
    if (!m->out) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    fputs("model,weights_sha256,length,depth,segments,layer,part,n,norm,difference,lo,hi\n", m->out);
    progress_start(&m->progress, stderr, "imprint", total, 0, "tokens");
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < r->model_count; i++) code = measure_model(m, i, err);
    progress_clear(&m->progress);
    if (code != PAL_OK) {
        fclose(m->out);
        free(text);
        return code;
    }
    PAL_TRY(text_finish(m->out, &text, &size, path, err));
    printf("wrote %s\n", path);
    return PAL_OK;
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    const task_module *task = task_find(((const eval_options *)options)->task);
    if (task && !task->eval->needle.key) return pal_fail(err, PAL_USAGE, "task %s has no needle", task->name);
    imprint m = {0};
    int code = PAL_OK, opened = 0;
    for (int i = 0; code == PAL_OK && i < 2; i++) {
        kv_pairs words = {0};
        code = kv_pairs_merge(&words, rest, err);
        if (code == PAL_OK && task)
            code = kv_pairs_add(&words, task->eval->needle.key, task->eval->needle.value[i], "imprint", err);
        if (code == PAL_OK) code = eval_request_make(&m.request[i], options, &words, LOAD_ALL, err);
        opened += code == PAL_OK;
        kv_pairs_free(&words);
    }
    if (code == PAL_OK) code = gemm_setup(m.request[WITH].threads, err);
    if (code == PAL_OK) code = pool_create(&m.pool, m.request[WITH].threads, err);
    if (code == PAL_OK) code = measure_all(&m, err);
    pool_destroy(m.pool);
    for (int i = 0; i < opened; i++) eval_request_free(&m.request[i]);
    return code;
}

const pal_command imprint_command = {
    .name = "imprint",
    .summary = "what a needle leaves in a model's state, by the length of what follows it",
    .examples = "imprint task=passkey model=infini-delta len=2K:32K:*2 depths=0 n=5\n",
    .options = eval_options_rows,
    .count = EVAL_OPTIONS,
    .bytes = sizeof(eval_options),
    .groups = groups_of_tasks,
    .words = words_of_eval,
    .run = run,
};
