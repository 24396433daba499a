/* How fast this machine runs models: the measurements, and the file that keeps them. One line of the file is the
 * hash of what was measured, and two numbers. */
#include "harness/eval/speed.h"
#include "models/decoder/config_keys.h"
#include "models/decoder/state.h"

#include "harness/base/os.h"
#include "harness/base/version.h"
#include "models/attention/attention.h"
#include "models/engine/gemm.h"
#include "models/stream/cycle.h"

#include <stdlib.h>
#include <string.h>

/* How long one speed is measured, seconds. */
static const double probe_seconds = 0.15;
static const char file_head[] = "palimpsest speeds 2\n";
enum { KEY = 33, ENTRIES_MAX = 4096, PATH_TEXT = 4096 };
/* Tokens that speed_far reads before it makes the stream old, and over how many it measures. */
enum { FAR = 4096, STRETCH = 512 };

typedef struct entry {
    char key[KEY];
    double value[2];
} entry;

struct speed_book {
    pool *threads;
    FILE *log;
    char path[PATH_TEXT]; /* "": nowhere to keep anything */
    char machine[512];
    entry *list;
    size_t count;
    int measured;
};

/* ---- The file ---- */

static void find_path(char out[PATH_TEXT])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int size = -1;
    if (cache && cache[0] == '/') size = snprintf(out, PATH_TEXT, "%s/palimpsest/speed", cache);
    if (size < 0 && home && home[0] == '/') size = snprintf(out, PATH_TEXT, "%s/.cache/palimpsest/speed", home);
    if (size < 0 || size >= PATH_TEXT) out[0] = '\0';
}

/* The processor's name as the kernel gives it; "" where it gives none. */
static void find_processor(char out[128])
{
    char line[256];
    FILE *info = fopen("/proc/cpuinfo", "r");
    out[0] = '\0';
    while (info && !out[0] && fgets(line, sizeof line, info)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon)
            snprintf(out, 128, "%.*s", (int)strcspn(colon + 1, "\n"), colon + 1);
    }
    if (info) fclose(info);
}

/* A file of another form is none. */
static int load(speed_book *b, pal_error *err)
{
    char *text = NULL;
    size_t size;
    pal_error none;
    b->list = calloc(ENTRIES_MAX, sizeof *b->list);
    if (!b->list) return pal_fail(err, PAL_INTERNAL, "out of memory for the speeds of this machine");
    if (!b->path[0] || !os_file_exists(b->path) || os_read_file(b->path, &text, &size, &none) != PAL_OK)
        return PAL_OK;
    const char *line = strncmp(text, file_head, sizeof file_head - 1) == 0 ? text + sizeof file_head - 1 : "";
    for (; *line && b->count < ENTRIES_MAX; line += strcspn(line, "\n"), line += *line == '\n') {
        entry *e = &b->list[b->count];
        if (sscanf(line, "%32[0-9a-f] %lg %lg", e->key, &e->value[0], &e->value[1]) == 3 &&
            strlen(e->key) == KEY - 1 && e->value[0] >= 0 && e->value[1] >= 0)
            b->count++;
    }
    free(text);
    return PAL_OK;
}

static void store(const speed_book *b)
{
    char *text = NULL, dir[PATH_TEXT];
    size_t size = 0;
    pal_error none;
    FILE *out = b->path[0] && b->measured ? open_memstream(&text, &size) : NULL;
    if (!out) return;
    fputs(file_head, out);
    for (size_t i = 0; i < b->count; i++)
        fprintf(out, "%s %.9g %.9g\n", b->list[i].key, b->list[i].value[0], b->list[i].value[1]);
    snprintf(dir, sizeof dir, "%s", b->path);
    *strrchr(dir, '/') = '\0';
    if (fclose(out) == 0 && os_make_dirs(dir, &none) == PAL_OK) os_write_file(b->path, text, size, &none);
    free(text);
}

int speed_open(speed_book **out, pool *threads, FILE *log, pal_error *err)
{
    speed_book *b = calloc(1, sizeof *b);
    if (!b) return pal_fail(err, PAL_INTERNAL, "out of memory for the speeds of this machine");
    char processor[128];
    b->threads = threads;
    b->log = log;
    find_path(b->path);
    find_processor(processor);
    snprintf(b->machine, sizeof b->machine, "%s\n%s\n%d\n%s", processor, gemm_core(), pool_threads(threads),
             pal_version());
    const int code = load(b, err);
    if (code == PAL_OK)
        *out = b;
    else
        free(b);
    return code;
}

void speed_close(speed_book *b)
{
    if (!b) return;
    store(b);
    free(b->list);
    free(b);
}

int speed_measured(const speed_book *b)
{
    return b->measured;
}

/* The entry of what `what` names; made, with *fresh set, where it is not there. */
static entry *find_entry(speed_book *b, const char *what, int *fresh)
{
    char text[2048], digest[HASH_HEX];
    const int size = snprintf(text, sizeof text, "%s\n%s", b->machine, what);
    hash_hex(text, size < (int)sizeof text ? (size_t)size : sizeof text - 1, digest);
    *fresh = 0;
    for (size_t i = 0; i < b->count; i++)
        if (strncmp(b->list[i].key, digest, KEY - 1) == 0) return &b->list[i];
    if (b->count == ENTRIES_MAX) { /* the older half makes room */
        b->count /= 2;
        memmove(b->list, b->list + ENTRIES_MAX - b->count, b->count * sizeof *b->list);
    }
    if (!b->measured && b->log) {
        if (b->path[0])
            fprintf(b->log, "measuring the speed of this machine, once (kept in %s)\n", b->path);
        else
            fprintf(b->log, "measuring the speed of this machine (no HOME to keep it in)\n");
        fflush(b->log);
    }
    b->measured = *fresh = 1;
    entry *e = &b->list[b->count++];
    *e = (entry){.value = {0, 0}};
    memcpy(e->key, digest, KEY - 1);
    return e;
}

/* A measurement that failed is not kept. */
static int drop_last(speed_book *b, int code)
{
    b->count--;
    return code;
}

/* ---- FLOPs ---- */

static void ignore(void *arg, size_t lane, uint64_t position, double nll, int32_t argmax)
{
    (void)arg, (void)lane, (void)position, (void)nll, (void)argmax;
}

/* A model that takes seconds for a segment: layers are alike, and one of them tells enough. */
static int is_large(const decoder *d)
{
    return (double)decoder_config(d)->segment * decoder_flops(d, 0, 1) > 2e11;
}

/* What to measure of a model: all of it, or its beginning, in which one layer is read whole. To be destroyed. */
static int open_part(const eval_model *m, decoder **out, pal_error *err)
{
    enum { LAYERS = 2 };
    *out = NULL;
    return is_large(m->decoder) ? decoder_shorten(out, m->decoder, LAYERS, err) : PAL_OK;
}

/* Lanes that are enough to measure: more of a model that takes long take longer, and are no faster each. */
static size_t lanes_to_probe(const decoder *d, size_t lanes)
{
    const double one = (double)decoder_config(d)->segment * decoder_flops(d, 0, 1), most = 2e11 / one;
    return most < 1 ? 1 : most < (double)lanes ? (size_t)most : lanes;
}

/* From streaming a few segments of token 0, again and again, so that a bounded cache cannot overflow. */
static int probe(const decoder *d, pool *threads, size_t lanes, int scored, double *flops_per_second,
                 pal_error *err)
{
    const size_t segment = (size_t)decoder_config(d)->segment;
    const int64_t most = attn_sizes_of(decoder_config(d), 0, 1).max_tokens;
    lanes = lanes_to_probe(d, lanes);
    if (decoder_flops(d, 0, 0) <= 0) scored = 1; /* its layers keep nothing: reading would end at once */
    const int slow = (double)(lanes * 4 * segment) * decoder_flops(d, 0, 1) > 2e11;
    const size_t segments = slow || (most && (size_t)most <= 4 * segment) ? 1 : 4;
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
    for (int warm = 1; warm || seconds < probe_seconds; warm = 0) {
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

static int probe_model(const eval_model *m, pool *threads, size_t lanes, int scored, double *flops_per_second,
                       pal_error *err)
{
    decoder *part;
    PAL_TRY(open_part(m, &part, err));
    const int code = probe(part ? part : m->decoder, threads, lanes, scored, flops_per_second, err);
    decoder_destroy(part);
    return code;
}

/* The shape, and the form of the weights. */
static int name_model(const eval_model *m, char out[HASH_HEX], pal_error *err)
{
    const char *stored = kv_pairs_value(&m->info.metadata, "stored");
    char *config = model_config_text(decoder_config(m->decoder)), *all = NULL;
    if (!config || asprintf(&all, "%s%s %d", config, stored ? stored : "", (int)m->form) < 0) all = NULL;
    if (all) hash_hex(all, strlen(all), out);
    free(config);
    free(all);
    return all ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for a config");
}

int speed_flops(speed_book *b, const eval_model *m, size_t lanes, int scored, double *flops_per_second,
                pal_error *err)
{
    int fresh;
    char what[64 + HASH_HEX], name[HASH_HEX];
    PAL_TRY(name_model(m, name, err));
    if (is_large(m->decoder)) {
        lanes = 1;
        scored = 0;
    }
    snprintf(what, sizeof what, "flops %s %zu %d", name, lanes, scored);
    entry *e = find_entry(b, what, &fresh);
    const int code = fresh ? probe_model(m, b->threads, lanes, scored, &e->value[0], err) : PAL_OK;
    *flops_per_second = e->value[0];
    return code == PAL_OK ? PAL_OK : drop_last(b, code);
}

/* ---- Texts ---- */

static int time_text(const eval_request *r, const batch_item *item, double *seconds_each, pal_error *err)
{
    enum { CHUNK = 1024, MOST = 256 * CHUNK };
    int32_t tokens[CHUNK];
    task_sample *sample = NULL;
    size_t sum = 0, got = 1;
    PAL_TRY(r->task->eval->open(r->run, item->cell, item->index, &sample, err));
    const double began = os_now();
    int code = PAL_OK;
    for (; code == PAL_OK && got > 0 && sum < MOST; sum += got)
        code = r->task->eval->read(sample, tokens, CHUNK, &got, err);
    if (sum) *seconds_each = (os_now() - began) / (double)sum;
    r->task->eval->close(sample);
    return code;
}

/* What the texts of a sample are made of: their digest, or the settings that shape them. */
static int name_texts(const eval_request *r, const batch_item *item, const char *kind, char *out, size_t size,
                      pal_error *err)
{
    char settings[RESULT_TEXT];
    PAL_TRY(eval_cell_settings(r, item->cell, 0, settings, sizeof settings, err));
    snprintf(out, size, "%s %s %s %s %s", kind, r->task->name, tokenizer_digest(r->tokenizer), item->cell->data,
             settings);
    return PAL_OK;
}

int speed_text(speed_book *b, const eval_request *r, const batch_item *item, double *seconds_each, pal_error *err)
{
    int fresh;
    char what[RESULT_TEXT + 4 * HASH_HEX];
    PAL_TRY(name_texts(r, item, "text", what, sizeof what, err));
    entry *e = find_entry(b, what, &fresh);
    const int code = fresh ? time_text(r, item, &e->value[0], err) : PAL_OK;
    *seconds_each = e->value[0];
    return code == PAL_OK ? PAL_OK : drop_last(b, code);
}

/* ---- Looking back ---- */

/* Tokens of a sample that are measured at once: whole segments. */
static size_t stretch_of(const decoder *d)
{
    const size_t segment = (size_t)decoder_config(d)->segment;
    return (STRETCH + segment - 1) / segment * segment;
}

/* A sample, and the stream that reads it. */
typedef struct far_reading {
    const eval_request *request;
    task_sample *sample;
    stream *stream;
    int32_t *token;
    size_t stretch;
} far_reading;

/* The next `count` tokens; *seconds: what the model takes for them. */
static int read_tokens(const far_reading *f, size_t count, double *seconds, pal_error *err)
{
    const task_module *task = f->request->task;
    for (size_t got = 0, more; got < count; got += more) {
        PAL_TRY(task->eval->read(f->sample, f->token + got, count - got, &more, err));
        if (more == 0) return pal_fail(err, PAL_INTERNAL, "task %s: a sample ends too early", task->name);
    }
    const double began = os_now();
    stream_feed(f->stream, f->token, count, count, UINT64_MAX, NULL, NULL);
    *seconds = os_now() - began;
    return PAL_OK;
}

/* A new stream holds one token before anything is measured: from then on as many tokens are read as are fed. */
static int read_anew(const far_reading *f, double *seconds, pal_error *err)
{
    stream_reset(f->stream);
    PAL_TRY(read_tokens(f, 1, seconds, err));
    return read_tokens(f, f->stretch, seconds, err);
}

/* What a stretch takes more where the stream is as old as it will be half-way than where it is new. A stream that
 * `d` reads fast is first filled with text. */
static int time_far(const far_reading *f, const decoder *d, uint64_t tokens, int fast, double *flops_per_second,
                    pal_error *err)
{
    double first = 0, last = 0;
    PAL_TRY(read_anew(f, &last, err)); /* warms up */
    PAL_TRY(read_anew(f, &first, err));
    while (fast && stream_position(f->stream) < FAR) PAL_TRY(read_tokens(f, f->stretch, &last, err));
    const double age = (double)stream_age(f->stream, tokens / 2), half = (double)f->stretch / 2;
    PAL_TRY(read_tokens(f, f->stretch, &last, err));
    const double more = decoder_flops(d, age + half, 0) - decoder_flops(d, half, 0);
    if (last > first && more > 0) *flops_per_second = (double)f->stretch * more / (last - first);
    return PAL_OK;
}

static int measure_far(const eval_request *r, const eval_model *m, const batch_item *item, pool *threads,
                       double *flops_per_second, pal_error *err)
{
    decoder *part = NULL;
    far_reading f = {.request = r, .stretch = stretch_of(m->decoder)};
    f.token = malloc(f.stretch * sizeof *f.token);
    int code = f.token ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the measurement");
    if (code == PAL_OK) code = open_part(m, &part, err);
    const decoder *d = part ? part : m->decoder;
    if (code == PAL_OK) code = stream_create(&f.stream, d, threads, 1, err);
    if (code == PAL_OK) stream_read_all(f.stream);
    if (code == PAL_OK) code = r->task->eval->open(r->run, item->cell, item->index, &f.sample, err);
    if (code == PAL_OK) code = time_far(&f, d, item->tokens, !part, flops_per_second, err);
    if (f.sample) r->task->eval->close(f.sample);
    stream_destroy(f.stream);
    decoder_destroy(part);
    free(f.token);
    return code;
}

int speed_far(speed_book *b, const eval_request *r, const eval_model *m, const batch_item *item,
              double *flops_per_second, pal_error *err)
{
    const int64_t most = attn_sizes_of(decoder_config(m->decoder), 0, 1).max_tokens;
    const uint64_t read = (is_large(m->decoder) ? 0 : FAR) + 3 * stretch_of(m->decoder);
    int fresh;
    char what[RESULT_TEXT + 6 * HASH_HEX], name[HASH_HEX];
    PAL_TRY(speed_flops(b, m, 1, 0, flops_per_second, err));
    if (item->tokens < read || (most > 0 && (uint64_t)most < read)) return PAL_OK;
    PAL_TRY(name_texts(r, item, "far", what, sizeof what - 3 * HASH_HEX, err));
    PAL_TRY(name_model(m, name, err));
    snprintf(what + strlen(what), 3 * HASH_HEX, " %s %s %llu", name, m->info.digest,
             (unsigned long long)item->tokens);
    const double near = *flops_per_second;
    entry *e = find_entry(b, what, &fresh);
    if (fresh) e->value[0] = near;
    const int code = fresh ? measure_far(r, m, item, b->threads, &e->value[0], err) : PAL_OK;
    *flops_per_second = e->value[0];
    return code == PAL_OK ? PAL_OK : drop_last(b, code);
}

/* ---- Cycles ---- */

/* Feed the beginning of a sample until its stream comes round, and then some more. */
static int read_round(const eval_request *r, const batch_item *item, stream *s, uint64_t most, double value[2],
                      pal_error *err)
{
    enum { CHUNK = 1024, MORE = 64 * CHUNK };
    int32_t tokens[CHUNK];
    double began = 0;
    uint64_t from = 0;
    task_sample *sample = NULL;
    PAL_TRY(r->task->eval->open(r->run, item->cell, item->index, &sample, err));
    int code = PAL_OK;
    while (code == PAL_OK && stream_position(s) < (value[0] > 0 ? from + MORE : most)) {
        size_t got = 0;
        code = r->task->eval->read(sample, tokens, CHUNK, &got, err);
        if (code != PAL_OK || got == 0) break;
        stream_feed(s, tokens, got, got, UINT64_MAX, NULL, NULL);
        if (value[0] > 0 || stream_passed(s, 0) == 0) continue;
        value[0] = (double)(stream_position(s) - stream_passed(s, 0));
        from = stream_position(s);
        began = os_now();
    }
    if (value[0] > 0 && stream_position(s) > from)
        value[1] = (os_now() - began) / (double)(stream_position(s) - from);
    r->task->eval->close(sample);
    return code;
}

int speed_round(speed_book *b, const eval_request *r, const eval_model *m, const batch_item *item,
                speed_cycle *out, pal_error *err)
{
    const uint64_t most = 2 * CYCLE_SEGMENTS * (uint64_t)decoder_config(m->decoder)->segment;
    *out = (speed_cycle){0, 0};
    /* Looked for only where it would make a difference. */
    if (decoder_settles(m->decoder) == UINT64_MAX || item->first < 2 * most || is_large(m->decoder)) return PAL_OK;
    int fresh;
    char what[RESULT_TEXT + 5 * HASH_HEX];
    PAL_TRY(name_texts(r, item, "round", what, sizeof what - HASH_HEX, err));
    strcat(strcat(what, " "), m->info.digest);
    entry *e = find_entry(b, what, &fresh);
    stream *s = NULL;
    int code = fresh ? stream_create(&s, m->decoder, b->threads, 1, err) : PAL_OK;
    if (code == PAL_OK && fresh) code = read_round(r, item, s, most, e->value, err);
    stream_destroy(s);
    if (code != PAL_OK) return drop_last(b, code);
    *out = (speed_cycle){e->value[0], e->value[1]};
    return PAL_OK;
}
