/* Samples through one model, side by side in the lanes of one stream: the only place where a task's tokens meet a
 * model. A sample's result has the same bits whatever runs beside it, where it resumes, and whether the start it
 * shares with others is read once or by each. */
#ifndef PAL_BATCH_H
#define PAL_BATCH_H

#include "models/stream/stream.h"
#include "tasks/task.h"

enum { BATCH_RECORD = 4096 };
/* Lanes whose sample has ended are dropped when at least so many tokens are still to come. */
enum { BATCH_WORTH_DROPPING = 16384 };

/* One sample, and what batch_measure finds out about it. */
typedef struct batch_item {
    const task_cell *cell;
    int64_t index;
    const char *key; /* names the cell in checkpoints; NULL: none are kept */
    uint64_t tokens; /* of prompt and answer */
    uint64_t prompt;
    uint64_t first;             /* position of the first target to score; the last is the end */
    uint64_t shared, shared_id; /* so many first tokens agree in samples of one id; after batch_cut those after
                                   `passed` that one stream can read for all */
    uint64_t tail, tail_id;     /* sample_shape.tail */
    uint64_t forget;            /* sample_shape.forget */
    task_decoding decoding;
    uint64_t resume; /* tokens already read in the sample's checkpoint; 0: there is none */
    uint64_t passed; /* set by batch_cut: tokens at the start, whole segments, that no result hangs on */
} batch_item;

/* Fill the members after `key` from the task; resume is 0. PAL_INTERNAL: lengths that contradict each other. */
int batch_measure(const task_module *task, const task_run *run, batch_item *item, pal_error *err);

/* Samples that run side by side. */
typedef struct batch_group {
    size_t first, count; /* among the items */
    uint64_t start;      /* tokens that need not be read by each: passed over, read once for all, or resumed */
    uint64_t once;       /* of these, what the shared stream still has to read when the groups run in order */
} batch_group;

/* Sort item[count] so that neighbours have most in common (checkpoints of one position, a shared start, length)
 * and cut them into group[count] of at most `lanes`; returns how many. Tokens that the control zeroed forgets
 * before anything is made of them are passed over, and, unless share is 0, those that lie beyond the model's reach
 * from the first one that counts. share 0: every sample reads all of its tokens; BATCH_KEEP: a start that samples
 * share is read for all of them even where only one is here, as others come later. Sets item.passed and
 * item.shared, and may be called once for the items of a batch_measure. */
enum { BATCH_KEEP = 2 };
size_t batch_cut(const decoder *d, batch_item *item, size_t count, size_t lanes, int share, int zeroed,
                 batch_group *group);

typedef struct batch_result {
    int finite; /* 0: a loss, a logit or the state was no number; then every value is NaN */
    double value[TASK_VALUES];
    char record[BATCH_RECORD];
    double seconds; /* of wall time, shared evenly with the samples beside it at each moment */
    double read;    /* tokens that the model read for it in this time, likewise: not all of its own where it shares
                       a start, passes one over, or comes back to a state it had; layers that it knew
                       (models/stream/reuse.h) count by their part */
    size_t held;    /* bytes of one lane that must be kept to go on: state and buffered tokens */
} batch_result;

typedef struct batch_setup {
    const decoder *d;
    pool *threads;
    const task_module *task;
    const task_run *run;
    int share;            /* 0: read every token, as in batch_cut */
    int zeroed;           /* the control memory=zeroed: forget at each sample's `forget` */
    const char *partial;  /* directory of checkpoints inside samples; NULL: none */
    double partial_every; /* seconds between them */
    /* Called as soon as a sample is scored. */
    int (*done)(void *arg, const batch_item *item, const batch_result *result, pal_error *err);
    /* Called now and then with the tokens that were read since the last call, all lanes together, and those of
     * them that were really computed; may be NULL. */
    void (*progress)(void *arg, uint64_t tokens, double computed);
    /* One line that a reader should see; may be NULL. */
    void (*note)(void *arg, const char *text);
    void *arg;
} batch_setup;

/* Runs groups in the order of batch_cut; holds the stream that reads shared prefixes. */
typedef struct batch_runner batch_runner;

int batch_open(batch_runner **out, const batch_setup *setup, pal_error *err);
void batch_close(batch_runner *r);
/* The true answers are scored, and continuations start from the same state after the prompt. PAL_USAGE: a token
 * beyond the model's vocabulary; PAL_INTERNAL: no memory, or a task that breaks its word about lengths. */
int batch_run(batch_runner *r, const batch_item *item, const batch_group *group, pal_error *err);

/* Bytes that a runner needs for groups of `lanes` samples of which up to `scored` tokens are scored; shared: with
 * the stream for shared prefixes. */
size_t batch_bytes(const decoder *d, size_t workers, size_t lanes, uint64_t scored, int shared);

#endif
