/* Journals with made-up numbers, in a directory of their own. */
#ifndef PAL_TEST_JOURNAL_LAB_H
#define PAL_TEST_JOURNAL_LAB_H

#include "harness/base/os.h"
#include "harness/journal/cells.h"

#include "tests/lib/facts_lab.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One journal that is being written. */
typedef struct lab_journal {
    char path[160];
    const task_module *task;
    results held;
    journal *file;
} lab_journal;

static pal_error err;
static char dir[64];

static inline int lab_make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/palimpsest-lab-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static inline int lab_remove_dir(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* A path in the directory, valid until the next call. */
static inline const char *lab_path(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* Not inlined: gcc would then take what was read for the pointer that it was read through. */
static __attribute__((noinline, unused)) char *lab_slurp(const char *name)
{
    char path[256], *data = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(os_read_file(path, &data, &size, &err), PAL_OK);
    return data;
}

static inline void lab_check_has(const char *text, const char *word)
{
    if (!strstr(text, word)) fail_msg("without \"%s\":\n%s", word, text);
}

static inline void lab_check_lacks(const char *text, const char *word)
{
    if (strstr(text, word)) fail_msg("with \"%s\":\n%s", word, text);
}

static inline lab_journal *lab_open(const task_module *task)
{
    lab_journal *j = calloc(1, sizeof *j);
    size_t cut;
    assert_non_null(j);
    j->task = task;
    snprintf(j->path, sizeof j->path, "%s/%s-journal.jsonl", dir, task->name);
    results_init(&j->held, task, j->path);
    assert_int_equal(journal_open(&j->file, j->path, results_visit, &j->held, &cut, &err), PAL_OK);
    return j;
}

static inline void lab_close(lab_journal *j)
{
    journal_close(j->file);
    results_free(&j->held);
    free(j);
}

/* A cell whose weights' hash is made from the model's name; length 0 and depth NaN: whole documents. */
static inline result_cell lab_cell(const lab_journal *j, const char *model, const char *name, int64_t length,
                                   double depth, const char *settings, int64_t n)
{
    result_cell cell = {.length = length, .depth = depth, .parameters = 1000, .state_bytes = 4096};
    snprintf(cell.model, sizeof cell.model, "%s", model);
    hash_hex(model, strlen(model), cell.weights);
    strcpy(cell.config, "c0");
    strcpy(cell.tokenizer, "t0");
    strcpy(cell.data, length ? "" : "d0");
    strcpy(cell.blas_core, "Core");
    snprintf(cell.settings, sizeof cell.settings, "%s", settings);
    snprintf(cell.request, sizeof cell.request, "%s %s=%d", settings,
             j->task->eval && j->task->eval->keys.count ? j->task->eval->keys.count : "docs", (int)n);
    snprintf(cell.name, sizeof cell.name, "%s", name);
    lab_describe(&cell);
    result_cell_identify(j->task, &cell);
    return cell;
}

static inline void lab_announce(lab_journal *j, const result_cell *cell, int64_t n)
{
    assert_int_equal(results_announce(&j->held, j->file, cell, n, &err), PAL_OK);
}

static inline void lab_sample(lab_journal *j, const result_cell *cell, int64_t index, const double *value,
                              double seconds)
{
    result_sample sample = {.seconds = seconds,
                            .tokens = cell->length ? cell->length : 100,
                            .read = cell->length ? (double)cell->length : 100,
                            .threads = 2,
                            .batch = 4,
                            .held = cell->state_bytes + 100};
    for (size_t v = 0; v < j->task->value_count; v++) sample.value[v] = value[v];
    assert_int_equal(results_add(&j->held, j->file, cell->key, index, &sample, "{}", &err), PAL_OK);
}

/* n passkey samples, of which `hits` are right and the others have one digit of five. */
static inline void lab_passkey(lab_journal *j, const char *model, int64_t length, double depth,
                               const char *settings, int64_t hits, int64_t n)
{
    char name[64];
    snprintf(name, sizeof name, "len=%d,depth=%g", (int)length, depth);
    const result_cell cell = lab_cell(j, model, name, length, depth, settings, n);
    lab_announce(j, &cell, n);
    for (int64_t i = 0; i < n; i++) {
        const double right = i < hits;
        const double value[TASK_VALUES] = {right ? 1 : 0.2, right, right, 1 - right};
        lab_sample(j, &cell, i, value, (double)length * 1e-5);
    }
}

/* Documents of 100 tokens, 50 words and 400 bytes with nll[n] nats a token. */
static inline void lab_perplexity(lab_journal *j, const char *model, const char *corpus, const char *settings,
                                  uint64_t state_bytes, const double *nll, int64_t n)
{
    result_cell cell = lab_cell(j, model, corpus, 0, NAN, settings, n);
    cell.state_bytes = state_bytes;
    lab_announce(j, &cell, n);
    for (int64_t i = 0; i < n; i++) {
        const double value[TASK_VALUES] = {100 * nll[i], 100, 50, 400, 100 * nll[i]};
        lab_sample(j, &cell, i, value, 0.01);
    }
}

#endif
