/* The task interface: a task lists cells, opens samples as token sources, and scores what a model made of them. It
 * knows nothing of models. One file per task, one row in table.c. Everything random comes from rng_make(seed,
 * domain, index), so order, batching and resume cannot change a sample. */
#ifndef PAL_TASK_H
#define PAL_TASK_H

#include "datasets/tokenizer/tokenizer.h"
#include "harness/base/hash.h"
#include "harness/base/keyval.h"

enum { TASK_VALUES = 64, TASK_METRICS = 32 };

/* How a metric is made of the sums of its two values over the samples of a cell. */
typedef enum metric_kind {
    METRIC_SHARE,      /* value / over, in [0, 1]; shown in percent */
    METRIC_RATIO,      /* value / over */
    METRIC_PERPLEXITY, /* exp(value / over) */
    METRIC_BITS        /* value / over / ln 2 */
} metric_kind;

typedef struct task_metric {
    const char *name;
    metric_kind kind;
    int value, over; /* indices into the task's values; over -1: the number of samples */
    int higher_is_better;
    int binomial; /* over is -1 and the value 0 or 1: intervals are Clopper-Pearson over samples */
    int detail;   /* only in the CSV, not in the tables */
} task_metric;

typedef struct task_cell {
    int64_t length; /* tokens of each sample, prompt and answer together; 0: samples differ (whole documents) */
    double depth;   /* needle depth, percent; NaN where a task has none */
    int64_t samples;
    char name[64];       /* unique within the request, stable across versions of the code: "len=32768,depth=50" */
    char data[HASH_HEX]; /* digest of the texts that the samples come from; "" where there are none */
    char
        variant[32]; /* what sets the cell apart from the task's own form: "absent", "keys=4,prose"; "": nothing */
    const char *split;   /* of these texts, in place of an unset task_keys.split; NULL: the request's own stands */
} task_cell;

/* Which keys of a request have a meaning outside the task; NULL: none has. */
typedef struct task_keys {
    const char *count; /* how many samples are asked for: no part of what a sample is */
    const char *texts; /* the texts that samples come from; a cell's name and digest tell them */
    const char *split; /* their split; "" is unset, and the layout of the texts decides */
} task_keys;

/* What a weights file says of its model; "" and MODEL_SEED_UNKNOWN: it does not say. */
enum { MODEL_SEED_UNKNOWN = -1 };
typedef struct model_facts {
    char attention[32];  /* name of the module */
    char trained_on[32]; /* name of the last task */
    int64_t train_seed;
    int64_t xl_len; /* tokens of earlier segments that attention keeps beside its memory */
    int fine_tuned; /* training began with the weights of another model */
} model_facts;

typedef struct task_run task_run;       /* a request with what it needs opened; defined by each task */
typedef struct task_sample task_sample; /* defined by each task */
typedef struct task_source task_source; /* training sequences; defined by each task */

/* How to continue after the prompt. */
typedef struct task_decoding {
    size_t max_tokens;         /* 0: not at all */
    double temperature, top_p; /* temperature 0: greedy */
    uint64_t seed;             /* of the draws, together with the sample's index */
    int32_t stop;              /* a token that ends the continuation; -1: none */
} task_decoding;

/* What the model made of one sample. */
typedef struct task_output {
    uint64_t first; /* the position of target[0]: nll[i] is the loss of token first + i */
    size_t count;
    const double *nll;
    const int32_t *argmax; /* the model's own choice for the same positions, given the true tokens before them */
    const int32_t *generated; /* the continuation after the prompt */
    size_t generated_count;
} task_output;

typedef struct task_module {
    const char *name;
    /* The member of a sample's record that names what it is a part of, such as the book of a chapter: samples of
     * one name are never taken for independent. NULL: each stands for itself. */
    const char *cluster;
    /* Members of a sample's record: the right answer, or the name of the document; and what the model generated,
     * NULL where it generates nothing. For programs that read results. */
    const char *target, *response;
    int version;        /* of the samples: bump when a prompt changes */
    int scorer_version; /* of the scores */
    const char *summary;
    const char *const *value; /* names of what score() measures of one sample */
    size_t value_count;
    const task_metric *metric;
    size_t metric_count;

    /* ---- evaluation ---- */
    const kv_spec *request_table; /* keys of an eval request (len, depths, n, seed, ...) */
    size_t request_count, request_bytes;
    task_keys keys;
    /* Check a request, open what it needs and list its cells. PAL_USAGE names what does not fit, and the fix;
     * PAL_DATA a broken or missing file. Keeps the pointer to the tokenizer. */
    int (*begin)(const void *request, const tokenizer *t, task_run **out, pal_error *err);
    size_t (*cells)(const task_run *run, const task_cell **cells);
    void (*end)(task_run *run);
    /* The index-th remark about the texts that no score tells, as one line; 0: there is none. NULL: never any. */
    int (*note)(const task_run *run, size_t index, char *out, size_t size);
    int (*open)(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
    uint64_t (*tokens)(const task_sample *s); /* of prompt and answer */
    /* The next tokens of prompt and answer; *got 0 at the end. */
    int (*read)(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
    uint64_t (*prompt_tokens)(const task_sample *s);
    uint64_t (*score_from)(const task_sample *s); /* position of the first target to score; the last is the end */
    /* Samples that give the same *id agree in so many of their first tokens; NULL: none do. */
    uint64_t (*shared_prefix)(const task_sample *s, uint64_t *id);
    /* Samples that give the same *id agree in all tokens from the larger of their positions up to the first that
     * is scored, position by position; NULL: none do. */
    uint64_t (*shared_tail)(const task_sample *s, uint64_t *id);
    /* The control memory=zeroed empties the streaming state once, before this position; 0: at every segment. */
    uint64_t (*forget_at)(const task_sample *s);
    void (*decoding)(const task_sample *s, task_decoding *out); /* NULL: nothing is generated */
    /* value[value_count], and a JSON object with what a reader wants to see of the sample (needle, offset, text
     * generated, ...) into `record`. */
    void (*score)(const task_sample *s, const task_output *out, double *value, char *record, size_t record_size);
    void (*close)(task_sample *s);
    /* The paper's own value for a cell and metric, or NaN; `row` names the paper's row ("zero-shot Linear"). */
    double (*paper)(const task_cell *cell, const char *metric, const model_facts *model, const char **row);

    /* ---- training; NULL source_open: the task cannot be trained on ---- */
    const kv_spec *train_table;
    size_t train_count, train_bytes;
    /* Keeps the pointers. PAL_USAGE, PAL_DATA as begin(). */
    int (*source_open)(const void *train, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err);
    /* From now on there are `lanes` lanes of `length` tokens a step, each starting anew. */
    int (*source_phase)(task_source *s, int64_t lanes, int64_t length, pal_error *err);
    /* The next sequence of a lane (called once a step, lanes in order): tokens[i] is read, targets[i] is the next
     * one, weight[i] its share in the loss (0: not scored). *fresh: it does not continue the lane's last one,
     * whose state must be emptied first. */
    int (*source_fill)(task_source *s, int64_t step, int64_t lane, int32_t *tokens, int32_t *targets,
                       float *weight, int *fresh, pal_error *err);
    /* tokens[count] that a lane may read before its fresh sequence, without loss: more of what the sequence would
     * be found in. NULL: there is none. */
    void (*source_lead)(task_source *s, int64_t step, int64_t lane, int32_t *tokens, int64_t count);
    /* Where the source stands, as a line of text that source_restore reads after source_phase; empty where the
     * sequences hang on the step alone. */
    int (*source_save)(const task_source *s, char *out, size_t size, pal_error *err);
    int (*source_restore)(task_source *s, const char *saved, pal_error *err);
    void (*source_close)(task_source *s);
} task_module;

extern const task_module *const task_table[];
const task_module *task_find(const char *name);

#endif
