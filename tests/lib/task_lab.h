/* Any task's requests and samples for its suite: begin, open, read, check what every task promises, score. A suite
 * defines `lab` (the task) and includes corpus_fixture.h's folder through this file. */
#ifndef PAL_TEST_TASK_LAB_H
#define PAL_TEST_TASK_LAB_H

#include "tests/lib/corpus_fixture.h"

#include "tasks/task.h"
#include "tests/lib/shape_of.h"

#include <jansson.h>
#include <math.h>

enum { LAB_RECORD = 4096 };
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

typedef struct planned {
    const task_module *task;
    const tokenizer *tokenizer;
    task_run *run;
    const task_cell *cells;
    size_t count;
} planned;

/* A sample as it was read; to be freed by drop_text. */
typedef struct read_text {
    int32_t *token;
    size_t count, prompt;
    char *text; /* of all tokens */
    sample_shape shape;
} read_text;

static inline int begin(planned *p, const task_module *task, const tokenizer *t, const char *const *words)
{
    *p = (planned){.task = task, .tokenizer = t};
    void *request = calloc(1, task->eval->request_bytes);
    assert_int_equal(kv_defaults(task->eval->request_table, task->eval->request_count, request, &err), PAL_OK);
    for (; *words; words++) {
        char key[64];
        const char *equals = strchr(*words, '=');
        snprintf(key, sizeof key, "%.*s", (int)(equals - *words), *words);
        const kv_spec *spec = kv_find(task->eval->request_table, task->eval->request_count, key);
        assert_non_null(spec);
        if (kv_set(spec, request, equals + 1, &err) != PAL_OK) fail_msg("%s", err.text);
    }
    int code = task->eval->settle ? task->eval->settle(request, &err) : PAL_OK;
    if (code == PAL_OK) code = task->eval->begin(request, t, &p->run, &err);
    free(request);
    if (code == PAL_OK) p->count = task->eval->cells(p->run, &p->cells);
    return code;
}

static inline planned plan(const task_module *task, const tokenizer *t, const char *const *words)
{
    planned p;
    if (begin(&p, task, t, words) != PAL_OK) fail_msg("%s", err.text);
    return p;
}

static inline void drop(planned *p)
{
    p->task->eval->end(p->run);
}

static inline task_sample *open_sample(const planned *p, size_t cell, int64_t index)
{
    task_sample *s = NULL;
    if (p->task->eval->open(p->run, &p->cells[cell], index, &s, &err) != PAL_OK) fail_msg("%s", err.text);
    return s;
}

/* All of it in reads of at most `chunk` tokens; the promised lengths hold. */
static inline read_text read_open(const planned *p, task_sample *s, size_t cell, size_t chunk)
{
    read_text r = {.shape = shape_of(p->task, s)};
    const size_t room = (size_t)r.shape.tokens + 1;
    r.token = malloc(room * sizeof *r.token);
    for (size_t got = 1; got > 0; r.count += got) {
        const size_t max = chunk < room - r.count ? chunk : room - r.count;
        if (max == 0) fail_msg("more than %d tokens", (int)r.shape.tokens);
        assert_int_equal(p->task->eval->read(s, r.token + r.count, max, &got, &err), PAL_OK);
        assert_true(got <= max);
    }
    assert_int_equal(r.count, r.shape.tokens);
    if (p->cells[cell].length) assert_int_equal(r.count, p->cells[cell].length);
    assert_true(r.shape.prompt > 0 && r.shape.prompt <= r.shape.tokens);
    assert_true(r.shape.score_from > 0 && r.shape.score_from <= r.shape.tokens);
    assert_true(r.shape.shared <= r.shape.prompt && r.shape.forget <= r.shape.prompt);
    r.prompt = (size_t)r.shape.prompt;
    const size_t size = tokenizer_decode(p->tokenizer, r.token, r.count, NULL, 0);
    r.text = malloc(size + 1);
    tokenizer_decode(p->tokenizer, r.token, r.count, r.text, size + 1);
    return r;
}

static inline read_text read_sample(const planned *p, size_t cell, int64_t index, size_t chunk)
{
    task_sample *s = open_sample(p, cell, index);
    const read_text r = read_open(p, s, cell, chunk);
    p->task->eval->close(s);
    return r;
}

static inline void drop_text(read_text *r)
{
    free(r->token);
    free(r->text);
}

/* Another size of reads gives the same tokens, and so does opening again. */
static inline void check_any_reads(const planned *p, size_t cell, int64_t index)
{
    static const size_t chunk[] = {1, 7, 64, 100000};
    read_text whole = read_sample(p, cell, index, 4096);
    for (size_t i = 0; i < 4; i++) {
        read_text r = read_sample(p, cell, index, chunk[i]);
        assert_memory_equal(whole.token, r.token, whole.count * sizeof *whole.token);
        drop_text(&r);
    }
    drop_text(&whole);
}

/* Samples of one shared_id agree in their first tokens, and those of one tail_id from their tails on. */
static inline void check_shared(const planned *p, size_t cell, int64_t count)
{
    read_text first = read_sample(p, cell, 0, 4096);
    for (int64_t i = 1; i < count; i++) {
        read_text r = read_sample(p, cell, i, 4096);
        const uint64_t less = r.shape.shared < first.shape.shared ? r.shape.shared : first.shape.shared;
        if (r.shape.shared_id == first.shape.shared_id)
            assert_memory_equal(first.token, r.token, less * sizeof *r.token);
        drop_text(&r);
    }
    drop_text(&first);
}

/* Score as if the model had generated `text`, and chosen each true token (right) or token 0, at one nat each.
 * Returns the record, to be given back by json_decref. */
static inline json_t *score_open(const planned *p, task_sample *s, size_t cell, int right, const char *text,
                                 double *value)
{
    char record[LAB_RECORD];
    read_text r = read_open(p, s, cell, 4096);
    const size_t from = (size_t)r.shape.score_from, count = r.count - from;
    double *nll = malloc((count + 1) * sizeof *nll);
    int32_t *argmax = calloc(count + 1, sizeof *argmax),
            *made = malloc((tokenizer_room(p->tokenizer, strlen(text)) + 1) * sizeof *made);
    for (size_t i = 0; i < count; i++) {
        nll[i] = 1;
        argmax[i] = right ? r.token[from + i] : -1;
    }
    const size_t generated = tokenizer_encode(p->tokenizer, text, strlen(text), made);
    const task_output out = {from, count, nll, argmax, made, generated};
    p->task->eval->score(s, &out, value, record, sizeof record);
    free(nll);
    free(argmax);
    free(made);
    drop_text(&r);
    json_t *object = json_loads(record, 0, NULL);
    assert_non_null(object);
    return object;
}

static inline json_t *score_sample(const planned *p, size_t cell, int64_t index, int right, const char *text,
                                   double *value)
{
    task_sample *s = open_sample(p, cell, index);
    json_t *record = score_open(p, s, cell, right, text, value);
    p->task->eval->close(s);
    return record;
}

/* One value of a sample for which `text` was generated. */
static inline double value_of(const planned *p, size_t cell, int64_t index, const char *text, const char *name)
{
    double value[TASK_VALUES];
    json_decref(score_sample(p, cell, index, 1, text, value));
    for (size_t i = 0; i < p->task->value_count; i++)
        if (strcmp(p->task->value[i], name) == 0) return value[i];
    fail_msg("no value %s", name);
    return 0;
}

/* Tokens of other kinds than bytes: the shipped BPE. */
static inline tokenizer *load_tokens(const char *name)
{
    tokenizer *t;
    if (tokenizer_load(&t, name, &err) != PAL_OK) fail_msg("%s", err.text);
    return t;
}
#define TEXT_2K "models/tokenizers/text-2k.json"

/* A request that is refused: the code, and a word of the message. */
static inline void check_refused(const task_module *task, const tokenizer *t, const char *const *words, int code,
                                 const char *word)
{
    planned p;
    const int got = begin(&p, task, t, words);
    if (got != code || !strstr(err.text, word)) fail_msg("%d, expected %d with %s: %s", got, code, word, err.text);
}

#endif
