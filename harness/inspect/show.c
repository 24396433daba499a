/* `palimpsest show`: the prompt of a sample, its answer, where its needle stands, and how many tokens it takes.
 * No model is read. */
#include "harness/base/hash.h"
#include "harness/base/home.h"
#include "harness/base/text.h"
#include "harness/eval/request.h"
#include "harness/inspect/inspect.h"

#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct show_options {
    char task[KV_TEXT_MAX], tokenizer[KV_TEXT_MAX], cell[KV_TEXT_MAX];
    int64_t index, max, format;
} show_options;

enum { SHOW_TEXT, SHOW_JSON };

#define AT(field) offsetof(show_options, field)

static const kv_spec options_table[] = {
    {"task", KV_TEXT, AT(task), "passkey", 0, 0, NULL, "whose sample; see `palimpsest list tasks`"},
    {"index", KV_INT, AT(index), "0", 0, 1e12, NULL, "which sample of the cell, from 0"},
    {"cell", KV_TEXT, AT(cell), "0", 0, 0, NULL,
     "which cell of those that the task's keys ask for: its name, as tables print it, or its number from 0"},
    {"max", KV_SIZE, AT(max), "4K", 0, INT64_C(1) << 40, NULL,
     "bytes of text to show; the middle of a longer one is left out, with a mark; 0: all"},
    {"tokenizer", KV_TEXT, AT(tokenizer), "models/tokenizers/text-2k.json", 0, 0, NULL,
     "the model's own, for its tokens: \"bytes\", the path of a tokenizer.json, or eight digits or more of the "
     "digest that results hold, for one in " HOME_TOKENIZERS},
    {"format", KV_CHOICE, AT(format), "text", 0, 0, "text|jsonl", "jsonl: one JSON object"},
};

/* A sample with its tokens and all that is said of them. */
typedef struct shown {
    const task_module *task;
    const task_cell *cell;
    int64_t index;
    sample_shape shape;
    int32_t *token; /* [shape.tokens] */
    json_t *record; /* what the task tells of the sample, without what a model would have made */
    char *prompt, *answer;
    size_t left_out; /* bytes of the prompt */
} shown;

static void shown_free(shown *s)
{
    free(s->token);
    free(s->prompt);
    free(s->answer);
    json_decref(s->record);
}

/* ---- Reading it ---- */

static int read_tokens(const task_eval *eval, task_sample *sample, shown *s, pal_error *err)
{
    s->token = calloc(s->shape.tokens + 1, sizeof *s->token);
    if (!s->token)
        return pal_fail(err, PAL_INTERNAL, "out of memory for %llu tokens", (unsigned long long)s->shape.tokens);
    for (size_t at = 0, got = 1; got > 0 && at < s->shape.tokens; at += got)
        PAL_TRY(eval->read(sample, s->token + at, s->shape.tokens - at, &got, err));
    return PAL_OK;
}

/* The record that the task would write, of a model that made nothing of the sample. */
static int read_record(const task_eval *eval, const task_sample *sample, shown *s, pal_error *err)
{
    static const char *const of_models[] = {"argmax", "generated", "generated_tokens"};
    const size_t scored = (size_t)(s->shape.tokens - s->shape.score_from);
    double *nll = calloc(scored + 1, sizeof *nll), value[TASK_VALUES];
    int32_t *argmax = calloc(scored + 1, sizeof *argmax);
    char *record = calloc(1, 1 << 20);
    if (nll && argmax && record) {
        const task_output none = {.first = s->shape.score_from, .count = scored, .nll = nll, .argmax = argmax};
        eval->score(sample, &none, value, record, 1 << 20);
        s->record = json_loads(record, JSON_ALLOW_NUL, NULL);
        for (size_t i = 0; i < sizeof of_models / sizeof *of_models; i++) json_object_del(s->record, of_models[i]);
    }
    free(nll);
    free(argmax);
    free(record);
    return s->record ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the record of a sample");
}

/* The text of tokens [from, to); malloc'ed. NULL: out of memory. */
static char *text_of(const tokenizer *t, const int32_t *token, uint64_t from, uint64_t to, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    if (!out) return NULL;
    for (uint64_t i = from; i < to; i++) {
        char piece[1024];
        const size_t bytes = tokenizer_token_text(t, token[i], piece, sizeof piece);
        fwrite(piece, 1, bytes < sizeof piece ? bytes : 0, out);
    }
    return fclose(out) == 0 ? text : NULL;
}

static int inside_character(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Keep the beginning and the end of text[size], `most` bytes together, cut between characters. */
static int shorten(char **text, size_t size, size_t most, size_t *left_out, pal_error *err)
{
    *left_out = 0;
    if (most == 0 || size <= most) return PAL_OK;
    size_t head = most / 2, tail = size - (most - most / 2);
    while (head > 0 && inside_character((*text)[head])) head--;
    while (tail < size && inside_character((*text)[tail])) tail++;
    char *kept = NULL;
    *left_out = tail - head;
    if (asprintf(&kept, "%.*s\n[... %zu bytes left out; max=0 shows all ...]\n%s", (int)head, *text, *left_out,
                 *text + tail) < 0)
        return pal_fail(err, PAL_INTERNAL, "out of memory for the text");
    free(*text);
    *text = kept;
    return PAL_OK;
}

static int read_sample(const task_run *run, const tokenizer *t, size_t most, shown *s, pal_error *err)
{
    const task_eval *eval = s->task->eval;
    task_sample *sample = NULL;
    size_t size = 0, answer_size = 0;
    PAL_TRY(eval->open(run, s->cell, s->index, &sample, err));
    s->shape = (sample_shape){.tail = UINT64_MAX, .tail_id = UINT64_MAX};
    eval->shape(sample, &s->shape);
    if (s->shape.prompt == 0 || s->shape.prompt > s->shape.tokens) s->shape.prompt = s->shape.tokens;
    int code = read_tokens(eval, sample, s, err);
    if (code == PAL_OK) code = read_record(eval, sample, s, err);
    eval->close(sample);
    PAL_TRY(code);
    s->prompt = text_of(t, s->token, 0, s->shape.prompt, &size);
    s->answer = text_of(t, s->token, s->shape.prompt, s->shape.tokens, &answer_size);
    if (!s->prompt || !s->answer) return pal_fail(err, PAL_INTERNAL, "out of memory for the text");
    return shorten(&s->prompt, size, most, &s->left_out, err);
}

/* ---- Printing it ---- */

static void print_text(const shown *s)
{
    const char *key;
    json_t *value;
    printf("task:           %s\ncell:           %s\nindex:          %lld\n", s->task->name, s->cell->name,
           (long long)s->index);
    printf("tokens:         %llu (prompt %llu, answer %llu)\n", (unsigned long long)s->shape.tokens,
           (unsigned long long)s->shape.prompt, (unsigned long long)(s->shape.tokens - s->shape.prompt));
    json_object_foreach(s->record, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(10));
        const char *plain = json_string_value(value);
        printf("%s:%*s%s\n", key, (int)(strlen(key) < 15 ? 15 - strlen(key) : 1), "",
               plain  ? plain
               : text ? text
                      : "");
        free(text);
    }
    printf("\n--- prompt ---\n%s\n", s->prompt);
    if (s->answer[0]) printf("--- answer ---\n%s\n", s->answer);
}

static int print_json(const shown *s, pal_error *err)
{
    char *record = json_dumps(s->record, JSON_COMPACT);
    if (!record) return pal_fail(err, PAL_INTERNAL, "out of memory for the record of a sample");
    printf("{\"task\": ");
    text_json(stdout, s->task->name);
    printf(", \"cell\": ");
    text_json(stdout, s->cell->name);
    printf(", \"index\": %lld, \"tokens\": %llu, \"prompt_tokens\": %llu, \"left_out_bytes\": %zu, \"record\": %s",
           (long long)s->index, (unsigned long long)s->shape.tokens, (unsigned long long)s->shape.prompt,
           s->left_out, record);
    printf(", \"prompt\": ");
    text_json(stdout, s->prompt);
    printf(", \"answer\": ");
    text_json(stdout, s->answer);
    printf("}\n");
    free(record);
    return PAL_OK;
}

/* ---- The command ---- */

/* The request must hold the sample: ask for so many where nothing else was asked for. */
static int ask_for_index(const task_module *task, int64_t index, kv_pairs *words, pal_error *err)
{
    const char *count = task->eval->keys.count;
    char text[32];
    if (!count || kv_pairs_value(words, count)) return PAL_OK;
    snprintf(text, sizeof text, "%lld", (long long)index + 1);
    return kv_pairs_add(words, count, text, "show", err);
}

/* A cell by its name or its number. */
static int find_cell(const show_options *o, const task_cell *cells, size_t count, const task_cell **out,
                     pal_error *err)
{
    char *end;
    for (size_t i = 0; i < count; i++)
        if (strcmp(cells[i].name, o->cell) == 0) {
            *out = &cells[i];
            return PAL_OK;
        }
    const unsigned long long at = strtoull(o->cell, &end, 10);
    if (o->cell[0] < '0' || o->cell[0] > '9' || *end || at >= count)
        return pal_fail(err, PAL_USAGE, "cell=%s: no such cell; the request has %zu cell%s, from 0 (%s) on",
                        o->cell, count, count == 1 ? "" : "s", count ? cells[0].name : "none");
    *out = &cells[at];
    return PAL_OK;
}

static int show_sample(const show_options *o, const eval_request *r, const tokenizer *t, const task_run *run,
                       pal_error *err)
{
    const task_cell *cells;
    const size_t count = r->task->eval->cells(run, &cells);
    const task_cell *cell = NULL;
    PAL_TRY(find_cell(o, cells, count, &cell, err));
    shown s = {.task = r->task, .cell = cell, .index = o->index};
    if (o->index >= s.cell->samples)
        return pal_fail(err, PAL_USAGE, "index=%lld: the cell %s has %lld samples, from 0", (long long)o->index,
                        s.cell->name, (long long)s.cell->samples);
    int code = read_sample(run, t, (size_t)o->max, &s, err);
    if (code == PAL_OK && o->format == SHOW_JSON) code = print_json(&s, err);
    if (code == PAL_OK && o->format == SHOW_TEXT) print_text(&s);
    shown_free(&s);
    return code;
}

static int is_digest(const char *text)
{
    const size_t digits = strspn(text, "0123456789abcdef");
    return !text[digits] && digits >= 8 && digits < HASH_HEX;
}

/* By its digest one of those that come along; else what the name says. */
static int load_tokenizer(tokenizer **out, const char *name, pal_error *err)
{
    char pattern[KV_TEXT_MAX], folder[KV_TEXT_MAX];
    glob_t found = {0};
    if (!is_digest(name)) return eval_tokenizer_load(out, name, err);
    if (snprintf(pattern, sizeof pattern, "%s/*.json", home_path(HOME_TOKENIZERS, folder)) < KV_TEXT_MAX)
        glob(pattern, 0, NULL, &found);
    int code = PAL_OK;
    *out = NULL;
    for (size_t i = 0; code == PAL_OK && !*out && i <= found.gl_pathc; i++) {
        code = tokenizer_load(out, i < found.gl_pathc ? found.gl_pathv[i] : "bytes", err);
        if (code != PAL_OK || strncmp(tokenizer_digest(*out), name, strlen(name)) == 0) continue;
        tokenizer_destroy(*out);
        *out = NULL;
    }
    globfree(&found);
    if (code != PAL_OK || *out) return code;
    return pal_fail(err, PAL_USAGE, "tokenizer=%s: no tokenizer in %s has this digest; give the path of its file",
                    name, HOME_TOKENIZERS);
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    const show_options *o = options;
    eval_options *request_options = calloc(1, sizeof *request_options);
    eval_request r = {0};
    kv_pairs words = {0};
    tokenizer *t = NULL;
    task_run *run_of_task = NULL;
    int code = request_options ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the request");
    if (code == PAL_OK) code = kv_defaults(eval_options_rows, EVAL_OPTIONS, request_options, err);
    if (code == PAL_OK) memcpy(request_options->task, o->task, sizeof o->task);
    if (code == PAL_OK) code = kv_pairs_merge(&words, rest, err);
    const task_module *task = task_find(o->task);
    if (code == PAL_OK && task) code = ask_for_index(task, o->index, &words, err);
    if (code == PAL_OK) code = eval_request_make(&r, request_options, &words, LOAD_NOTHING, err);
    if (code == PAL_OK) {
        code = load_tokenizer(&t, o->tokenizer, err);
        if (code == PAL_OK) code = r.task->eval->begin(r.task_request, t, &run_of_task, err);
        if (code == PAL_OK) code = show_sample(o, &r, t, run_of_task, err);
        if (run_of_task) r.task->eval->end(run_of_task);
        eval_request_free(&r);
    }
    tokenizer_destroy(t);
    kv_pairs_free(&words);
    free(request_options);
    return code;
}

const pal_command show_command = {
    .name = "show",
    .summary = "the prompt of a sample, its answer, its needle and its length",
    .examples = "show passkey len=1K depths=50 index=3\n"
                "show booksum max=0\n"
                "show perplexity data=books format=jsonl\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(show_options),
    .words = words_of_eval,
    .groups = groups_of_tasks,
    .run = run,
};
