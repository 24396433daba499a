/* Requests and samples of the passkey evaluation, for its suites. */
#ifndef PAL_TEST_PASSKEY_LAB_H
#define PAL_TEST_PASSKEY_LAB_H

#include "tests/lib/passkey_parse.h"

#include "tasks/task.h"
#include "tests/lib/shape_of.h"

enum { TEXT_MAX = 65536, RECORD = 2048 };

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A request that was begun, and its cells. */
typedef struct planned {
    const tokenizer *tokenizer;
    task_run *run;
    const task_cell *cells;
    size_t count;
} planned;

/* A sample as it was read. */
typedef struct sample_text {
    int32_t token[TEXT_MAX];
    int64_t count;
    char text[8 * TEXT_MAX];
    int64_t size;
} sample_text;

static inline const task_module *task(void)
{
    return task_find("passkey");
}

static inline void *request_of(const char *const *words)
{
    return settings(task()->eval->request_table, task()->eval->request_count, task()->eval->request_bytes, words);
}

static inline planned plan(const tokenizer *t, const char *const *words)
{
    planned p = {t, NULL, NULL, 0};
    void *request = request_of(words);
    pal_error err = {0};
    assert_int_equal(task()->eval->begin(request, t, &p.run, &err), PAL_OK);
    free(request);
    p.count = task()->eval->cells(p.run, &p.cells);
    return p;
}

static inline void drop(planned *p)
{
    task()->eval->end(p->run);
}

static inline task_sample *open_sample(const planned *p, size_t cell, int64_t index)
{
    pal_error err = {0};
    task_sample *s = NULL;
    assert_int_equal(task()->eval->open(p->run, &p->cells[cell], index, &s, &err), PAL_OK);
    return s;
}

/* The whole text in reads of `chunk` tokens. */
static inline void read_sample(const planned *p, task_sample *s, size_t chunk, sample_text *out)
{
    pal_error err = {0};
    out->count = 0;
    for (size_t got = 1; got > 0; out->count += (int64_t)got) {
        const size_t room = (size_t)(TEXT_MAX - out->count), max = chunk < room ? chunk : room;
        assert_true(max > 0);
        assert_int_equal(task()->eval->read(s, out->token + out->count, max, &got, &err), PAL_OK);
        assert_true(got <= max);
    }
    out->size =
        (int64_t)tokenizer_decode(p->tokenizer, out->token, (size_t)out->count, out->text, sizeof out->text);
    assert_true((size_t)out->size < sizeof out->text);
    assert_int_equal(out->count, shape_of(task(), s).tokens);
}

static inline void read_index(const planned *p, size_t cell, int64_t index, sample_text *out)
{
    task_sample *s = open_sample(p, cell, index);
    read_sample(p, s, 4096, out);
    task()->eval->close(s);
}

/* The key that is scored, from the text. */
static inline int sample_key(const planned *p, size_t cell, int64_t index)
{
    static sample_text t;
    read_index(p, cell, index, &t);
    return atoi(t.text + t.size - 5);
}

/* Score as if the model had chosen `argmax` (5 digits, 1 nat each on average) and generated `generated`. */
static inline void score(const planned *p, const task_sample *s, const char *argmax, const char *generated,
                         double *value, char *record)
{
    int32_t choice[64], made[64];
    const double nll[5] = {0, 0.5, 1, 1.5, 2};
    assert_int_equal(tokenizer_encode(p->tokenizer, argmax, strlen(argmax), choice), 5);
    const size_t count = tokenizer_encode(p->tokenizer, generated, strlen(generated), made);
    const task_output out = {shape_of(task(), s).score_from, 5, nll, choice, made, count};
    task()->eval->score(s, &out, value, record, RECORD);
}

static inline double record_number(const char *record, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *found = strstr(record, quoted);
    assert_non_null(found);
    return atof(found + strlen(quoted));
}

enum { TOKEN_ACCURACY, EXACT_MATCH, FIRST_INTEGER, ANSWER_NLL, SWAPPED_ACCURACY, VALUES };

#endif
