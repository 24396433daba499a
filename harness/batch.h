/* One batch of samples through one model: the only place where a task's tokens meet a stream. */
#ifndef PAL_BATCH_H
#define PAL_BATCH_H

#include "models/stream.h"
#include "tasks/task.h"

enum { BATCH_RECORD = 4096 };

typedef struct batch_item {
    const task_cell *cell;
    int64_t index;
} batch_item;

typedef struct batch_result {
    double metric[TASK_METRICS];
    char record[BATCH_RECORD];
} batch_result;

/* Called now and then with the tokens that were read since the last call, all lanes together. */
typedef void batch_progress(void *arg, uint64_t tokens);

/* Bytes that batch_run and its stream need for `lanes` samples of `length` tokens, of which `scored` are scored.
 */
size_t batch_bytes(const decoder *d, size_t workers, size_t lanes, uint64_t scored);

/* Run item[count] in lockstep, one lane each; they must agree in length and in where prompt, scores and generation
 * lie. The true answer is scored and the greedy continuation is generated from the same state after the prompt. A
 * sample's result has the same bits whatever runs beside it. `scored` of each sample's tokens, from score_from to
 * the end, are held. PAL_USAGE: a token beyond the model's vocabulary; PAL_INTERNAL: no memory, or a task that
 * breaks its word about lengths. */
int batch_run(const decoder *d, pool *threads, const task_module *task, const void *request,
              const batch_item *item, size_t count, batch_result *result, batch_progress *progress, void *arg,
              pal_error *err);

#endif
