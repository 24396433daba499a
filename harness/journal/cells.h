/* What a task's journal holds: cells (one model, one length, one depth, ...) and the samples done in each. The
 * same code reads the journal and takes in a record that was just written, so a resumed run and an uninterrupted
 * one hold the same. Two kinds of record:
 *
 *   "cell"    announces a cell and how many samples of it are asked for; once for each number asked
 *   "sample"  one sample's values, what a reader wants to see of it, and what it cost
 *
 * A cell's key hashes everything that shapes its samples: weights, config, tokenizer, texts, task and scorer
 * version, the request's settings, the cell's name, and the BLAS core, whose kernels choose the bits. */
#ifndef PAL_RESULTS_H
#define PAL_RESULTS_H

#include "harness/base/hash.h"
#include "harness/journal/journal.h"
#include "tasks/task.h"

#include <stdio.h>

/* What stands for the BLAS core of rows that no model made: part of their keys. */
#define REFERENCES_CORE "none"

enum { RESULT_KEY = 33, RESULT_TEXT = 512, RESULT_INDEX_MAX = 10000000 };

typedef struct result_sample {
    int64_t index;
    int not_finite;            /* a logit, state or loss was no number: every value is NaN, and none is a score */
    uint64_t cluster;          /* equal for samples of the same task_module.cluster; 0: of none */
    double value[TASK_VALUES]; /* in the task's order; NaN where the journal has none */
    double seconds;            /* of wall time, shared with the samples beside it */
    int64_t tokens;
    double
        read; /* tokens that the model read for it, fewer where a start is shared or passed over; NaN: unknown */
    int64_t threads, batch;
    uint64_t held; /* bytes of streaming state that its lane kept, buffered tokens included */
    uint64_t peak_rss;
} result_sample;

/* Who made a cell: a model, or something that takes none (a compressor, a copied summary). */
typedef enum result_kind { RESULT_MODEL, RESULT_REFERENCE } result_kind;
/* Whether the model kept its memory, or lost it (the control). */
typedef enum result_memory { RESULT_KEPT, RESULT_ZEROED } result_memory;
/* What one sample is: so many tokens, or a whole document. */
typedef enum result_extent { RESULT_LENGTH, RESULT_DOCUMENTS } result_extent;

typedef struct result_cell {
    char key[RESULT_KEY];
    char model[KV_TEXT_MAX];
    char weights[HASH_HEX], config[HASH_HEX], tokenizer[HASH_HEX];
    char data[HASH_HEX]; /* of the texts; "" where there are none */
    char blas_core[64];
    char settings[RESULT_TEXT]; /* "seed=1 jitter=2": what shapes a sample; with "memory=zeroed", the control */
    char request[RESULT_TEXT];  /* all of them: the words that ask for this cell and its neighbours */
    char name[64];
    result_kind kind;
    result_memory memory;
    result_extent extent;
    char variant[32];  /* task_cell.variant */
    model_facts facts; /* of a model's weights */
    int64_t length;
    double depth;
    uint64_t parameters, state_bytes;
    int64_t *asked; /* every number of samples that was asked for */
    size_t asked_count;
    /* Those that are done, by index. Where n samples are complete, the first n are samples 0 to n - 1. */
    result_sample *sample;
    size_t count, capacity;
} result_cell;

typedef struct results {
    const task_module *task;
    const char *path; /* of the journal, for messages */
    result_cell *cell;
    size_t count, capacity;
    int64_t outdated;  /* records of other versions of the task or its scorer; left out */
    journal_tail tail; /* what the journal holds behind its last intact record */
} results;

void results_init(results *r, const task_module *task, const char *path);
void results_free(results *r);
/* A line on `out` for whatever the journal holds and the results do not; nothing where they hold all. */
void results_note(const results *r, FILE *out);
/* Take in one line of a journal: a journal_visit with a results as its argument. */
int results_visit(void *results_arg, const char *line, size_t size, int64_t number, pal_error *err);

/* Fill cell->key from the other members and the task. */
void result_cell_identify(const task_module *task, result_cell *cell);
/* Whether a model's attention is known. It is not in records of before facts were journaled: see eval/facts.h. */
int result_described(const result_cell *cell);
/* The cell as its task knows it, with n samples. */
task_cell result_place(const result_cell *cell, int64_t n);
/* Parameters are equal within 2 %: a larger difference would pass for one of attention. */
int result_same_size(const result_cell *a, const result_cell *b);
/* The cell with this key, or NULL; valid until the next record is taken in. */
result_cell *results_find(const results *r, const char *key);
int result_done(const result_cell *cell, int64_t index);
/* The sample, or NULL when it is not done. */
const result_sample *result_sample_at(const result_cell *cell, int64_t index);
/* Take in a sample; one that is known already stays as it is. */
int result_put(result_cell *cell, const result_sample *sample, pal_error *err);
/* How many of samples 0 to n - 1 are not finite. */
int64_t result_not_finite(const result_cell *cell, int64_t n);
/* Whether this number of samples was announced. */
int result_asked(const result_cell *cell, int64_t samples);
/* The largest number of samples that was asked for and is done to the last one; 0: none. Anything beyond belongs
 * to a request that was interrupted and is not reported. */
int64_t result_complete(const result_cell *cell);

/* How many clusters samples 0 .. n-1 fall into. These two return 0 without memory. */
size_t result_clusters(const result_cell *cell, int64_t n);
/* The columns of a metric over samples 0 .. n-1: what is summed (num) and over what (den), before the exp or ln 2
 * of its kind. Samples of one cluster are summed into one row, where the first of them stands. Returns the number
 * of rows, which is that of clusters. */
size_t result_columns(const task_metric *metric, const result_cell *cell, int64_t n, double *num, double *den);

/* Append a record to the journal and take it in; `index` goes before that of `sample`. `record` is the task's JSON
 * object. */
int results_announce(results *r, journal *j, const result_cell *cell, int64_t asked, pal_error *err);
int results_add(results *r, journal *j, const char *key, int64_t index, const result_sample *sample,
                const char *record, pal_error *err);

#endif
