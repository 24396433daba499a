/* The task interface: a task lists cells, opens samples as token sources, and scores what a model made of them. It
 * knows nothing of models. A folder for each task, one row in table.c. Everything random comes from rng_make(seed,
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
    METRIC_BITS,       /* value / over / ln 2 */
    METRIC_MISSING     /* how many samples have no `value`: NaN, as METRIC_GAPS allows */
} metric_kind;

/* What one sample's value can be. */
typedef enum metric_samples {
    METRIC_NUMBERS,
    METRIC_HITS,   /* over is -1 and the value 0 or 1: intervals are Clopper-Pearson over samples */
    METRIC_COUNTS, /* hits of several trials: intervals are beta-binomial over samples */
    METRIC_GAPS /* over is -1 and a sample may have none (NaN): it is left out, and a METRIC_MISSING counts it */
} metric_samples;

typedef struct task_metric {
    const char *name;
    metric_kind kind;
    int value, over; /* indices into the task's values; over -1: the number of samples */
    int higher_is_better;
    metric_samples samples;
    int detail; /* only in the CSV, not in the tables */
    int trials; /* METRIC_COUNTS: how many a sample's value is the share of; 0: value and over are counts */
} task_metric;

typedef struct task_cell {
    int64_t length; /* tokens of each sample, prompt and answer together; 0: samples differ (whole documents) */
    double depth;   /* needle depth, percent; NaN where a task has none */
    int64_t samples;
    int64_t least;       /* samples that will do where more would take long; 0: `samples` were asked for */
    char name[64];       /* unique within the request, stable across versions of the code: "len=32768,depth=50" */
    char data[HASH_HEX]; /* digest of the texts that the samples come from; "" where there are none */
    char
        variant[32]; /* what sets the cell apart from the task's own form: "absent", "keys=4,prose"; "": nothing */
    const char *split; /* of these texts, in place of an unset task_keys.split; NULL: the request's own stands */
} task_cell;

/* Which keys of a request have a meaning outside the task; NULL: none has. */
typedef struct task_keys {
    const char *count;        /* how many samples are asked for: no part of what a sample is */
    const char *texts;        /* the texts that samples come from; a cell's name and digest tell them */
    const char *split;        /* their split; "" is unset, and the layout of the texts decides */
    const char *const *young; /* NULL-terminated; keys that journals are older than: no record names them at their
                                 defaults. NULL: there are none */
} task_keys;

/* What a weights file says of its model; "" and MODEL_SEED_UNKNOWN: it does not say. */
enum { MODEL_SEED_UNKNOWN = -1 };
typedef struct model_facts {
    char attention[32];  /* name of the module */
    char trained_on[32]; /* name of the last task */
    int64_t train_seed;
    int64_t xl_len;    /* tokens of earlier segments that attention keeps beside its memory */
    int fine_tuned;    /* training began with the weights of another model */
    char instead[160]; /* the attention that was put in place of the weights' own, with its settings; "": their own
                        */
} model_facts;

/* What a task holds; these types are never completed. Each task has structs of its own (passkey_run,
 * passkey_sample,
 * ...), of which it hands out the addresses under these names. */
typedef struct task_run task_run;       /* a request with what it needs opened */
typedef struct task_sample task_sample; /* one sample, and where it is read */
typedef struct task_source task_source; /* training sequences */
typedef struct task_rows task_rows;     /* the rows of a run that take no model */

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

/* A row of the tables that takes no model, so that a model's score means something: a compressor, sentences of the
 * text itself. */
typedef struct task_row {
    char name[64];     /* what tables call it: "xz -9e" */
    char made_of[320]; /* all that shapes what it makes; its hash stands where a model has that of its weights */
    uint64_t state_bytes; /* how far back in a text it can refer; 0: that means nothing here */
} task_row;

typedef struct task_references {
    /* Keeps the pointer to the run. */
    int (*open)(const task_run *run, task_rows **out, pal_error *err);
    /* The rows of one of the run's cells; *list[*count] is valid until the next call. */
    int (*list)(task_rows *rows, const task_cell *cell, const task_row **list, size_t *count, pal_error *err);
    /* What row `row` of that list makes of a sample of the cell, scored as task_eval.score does. Rows of one
     * sample are asked for one after the other. */
    int (*score)(task_rows *rows, size_t row, int64_t index, double *value, char *record, size_t record_size,
                 pal_error *err);
    void (*close)(task_rows *rows);
} task_references;

/* Where things lie in a sample, in tokens. The caller sets it to what is said here of members that a task leaves.
 */
typedef struct sample_shape {
    uint64_t tokens;     /* of prompt and answer */
    uint64_t prompt;     /* of the prompt */
    uint64_t score_from; /* position of the first target to score; the last is the end */
    uint64_t shared;     /* samples of one shared_id agree in so many first tokens; 0: none do */
    uint64_t shared_id;
    uint64_t tail; /* samples of one tail_id agree in all tokens from the larger of their tails up to the first */
    uint64_t tail_id; /* that is scored, position by position; UINT64_MAX: none do */
    uint64_t
        forget; /* the control memory=zeroed empties the state once, before this position; 0: at every segment */
    task_decoding decoding; /* max_tokens 0: nothing is generated */
} sample_shape;

/* Evaluation: requests, cells and samples. */
typedef struct task_eval {
    const kv_spec *request_table; /* keys of a request (len, depths, n, seed, ...) */
    size_t request_count, request_bytes;
    task_keys keys;
    int shares; /* whether samples may have shared or tail in their shape */
    struct { /* the key and its values that ask for samples with their needle and without it; NULL: there is none
              */
        const char *key, *value[2];
    } needle;
    /* Fill in what unset keys stand for, before begin and before a journal names them. PAL_USAGE: keys that do not
     * go together. NULL: nothing to do. */
    int (*settle)(void *request, pal_error *err);
    /* Check a request, open what it needs and list its cells. PAL_USAGE names what does not fit, and the fix;
     * PAL_DATA a broken or missing file. Keeps the pointer to the tokenizer. */
    int (*begin)(const void *request, const tokenizer *t, task_run **out, pal_error *err);
    size_t (*cells)(const task_run *run, const task_cell **cells);
    void (*end)(task_run *run);
    /* The index-th remark about the texts that no score tells, as one line; 0: there is none. NULL: never any. */
    int (*note)(const task_run *run, size_t index, char *out, size_t size);
    int (*open)(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
    void (*shape)(const task_sample *s, sample_shape *out);
    /* The next tokens of prompt and answer; *got 0 at the end. */
    int (*read)(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
    /* value[value_count], and a JSON object with what a reader wants to see of the sample (needle, offset, text
     * generated, ...) into `record`. */
    void (*score)(const task_sample *s, const task_output *out, double *value, char *record, size_t record_size);
    void (*close)(task_sample *s);
} task_eval;

/* Training: lanes of sequences that go on from step to step. */
typedef struct task_train {
    const kv_spec *table; /* keys of a recipe */
    size_t count, bytes;
    /* Keeps the pointers. PAL_USAGE, PAL_DATA as begin(). */
    int (*open)(const void *train, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err);
    /* From now on there are `lanes` lanes of `length` tokens a step, each starting anew. */
    int (*phase)(task_source *s, int64_t lanes, int64_t length, pal_error *err);
    /* The next sequence of a lane (called once a step, lanes in order): tokens[i] is read, targets[i] is the next
     * one, weight[i] its share in the loss (0: not scored). *fresh: it does not continue the lane's last one,
     * whose state must be emptied first. */
    int (*fill)(task_source *s, int64_t step, int64_t lane, int32_t *tokens, int32_t *targets, float *weight,
                int *fresh, pal_error *err);
    /* tokens[count] that a lane may read before its fresh sequence, without loss: more of what the sequence would
     * be found in. NULL: there is none. */
    void (*lead)(task_source *s, int64_t step, int64_t lane, int32_t *tokens, int64_t count);
    /* Serialise the source's position as a line of text that restore() reads after phase(); empty when sequences
     * depend only on the step. */
    int (*save)(const task_source *s, char *out, size_t size, pal_error *err);
    int (*restore)(task_source *s, const char *saved, pal_error *err);
    void (*close)(task_source *s);
} task_train;

/* What tables say of a task beyond its metrics. */
typedef struct task_tables {
    /* The paper's own value for a cell and metric, or NaN; `row` names the paper's row ("zero-shot Linear"). */
    double (*paper)(const task_cell *cell, const char *metric, const model_facts *model, const char **row);
} task_tables;

typedef struct task_module {
    const char *name;
    const char *summary;
    int forms; /* a cell's variant names one of several forms that the task has: tables show it behind the length
                */
    /* The member of a sample's record that names what it is a part of, such as the book of a chapter: samples of
     * one name are never taken for independent. NULL: each stands for itself. */
    const char *cluster;
    /* Members of a sample's record: the right answer, or the name of the document; and what the model generated,
     * NULL where it generates nothing. For programs that read results. */
    const char *target, *response;
    int version;              /* of the samples: bump when a prompt changes */
    int scorer_version;       /* of the scores */
    const char *const *value; /* names of what score() measures of one sample */
    size_t value_count;
    const task_metric *metric;
    size_t metric_count;
    const task_eval *eval;
    const task_train *train;           /* NULL: the task cannot be trained on */
    const task_tables *tables;         /* NULL: the paper has no values */
    const task_references *references; /* NULL: every row takes a model */
} task_module;

extern const task_module *const task_table[];
const task_module *task_find(const char *name);
/* task_tables.paper, or NaN where the task has no tables. */
double task_paper(const task_module *task, const task_cell *cell, const char *metric, const model_facts *model,
                  const char **row);

#endif
