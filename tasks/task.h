/* The task interface: a task plans cells, opens samples as token sources, and scores what a model made of them. It
 * knows nothing of models. One file per task, one row in table.c. Everything random comes from rng_make(seed,
 * domain, index), so order, batching and resume cannot change a sample. */
#ifndef PAL_TASK_H
#define PAL_TASK_H

#include "datasets/tokenizer.h"
#include "harness/base/keyval.h"

enum { TASK_METRICS = 8 };

typedef struct task_metric {
    const char *name;
    int higher_is_better;
    int binomial; /* the value is hits/trials: intervals are Clopper-Pearson over samples */
} task_metric;

typedef struct task_cell {
    int64_t length; /* tokens, prompt and answer together */
    double depth;   /* needle depth, percent; NaN where a task has none */
    int64_t samples;
    char name[64]; /* unique within the request, stable across versions of the code: "len=32768,depth=50" */
} task_cell;

typedef struct task_sample task_sample; /* defined by each task */

/* What the model made of one sample. */
typedef struct task_output {
    uint64_t first; /* the position of target[0]: nll[i] is the loss of token first + i */
    size_t count;
    const double *nll;
    const int32_t *argmax; /* the model's own choice for the same positions, given the true tokens before them */
    const int32_t *generated; /* greedy continuation after the prompt */
    size_t generated_count;
} task_output;

typedef struct task_module {
    const char *name;
    int version;        /* of the samples: bump when a prompt changes */
    int scorer_version; /* of the scores */
    const char *summary;
    const task_metric *metric;
    size_t metric_count;

    /* ---- evaluation ---- */
    const kv_spec *request_table; /* keys of an eval request (len, depths, n, seed, ...) */
    size_t request_count, request_bytes;
    /* Check a request and list its cells (malloc'ed). PAL_USAGE names what does not fit, and the fix. */
    int (*plan)(const void *request, task_cell **cells, size_t *count, pal_error *err);
    int (*open)(const void *request, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
    /* The next tokens of prompt and answer; returns how many, 0 at the end. */
    size_t (*read)(task_sample *s, int32_t *tokens, size_t max);
    uint64_t (*prompt_tokens)(const task_sample *s);
    uint64_t (*score_from)(const task_sample *s); /* position of the first target to score; the last is the end */
    size_t (*generate)(const task_sample *s);     /* tokens to continue greedily after the prompt; 0: none */
    /* metric[metric_count], and a JSON object with what a reader wants to see of the sample (needle, offset, text
     * generated, ...) into `record`. */
    void (*score)(const task_sample *s, const task_output *out, double *metric, char *record, size_t record_size);
    void (*close)(task_sample *s);
    /* The paper's own value for a cell and metric, or NaN; `row` names the paper's row ("zero-shot Linear"). */
    double (*paper)(const task_cell *cell, const char *metric, const char *model, const char **row);

    /* ---- training ---- */
    const kv_spec *train_table;
    size_t train_count, train_bytes;
    int (*train_check)(const void *train, int64_t length, pal_error *err);
    /* Sequence (seed, step, lane) of `length` tokens: tokens[i] is read, targets[i] is the next one, weight[i] its
     * share in the loss (0: not scored). */
    void (*train_fill)(const void *train, uint64_t seed, int64_t step, int64_t lane, int64_t length,
                       int32_t *tokens, int32_t *targets, float *weight);
} task_module;

extern const task_module *const task_table[];
const task_module *task_find(const char *name);

#endif
