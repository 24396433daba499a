/* Long documents as training sequences: every lane reads documents from their beginning to their end, window after
 * window, so that the streaming state carries over from one to the next. */
#ifndef PAL_PERPLEXITY_TRAIN_H
#define PAL_PERPLEXITY_TRAIN_H

#include "tasks/task.h"

typedef struct perplexity_train {
    char data[KV_TEXT_MAX], split[KV_TEXT_MAX];
} perplexity_train;

enum { PERPLEXITY_TRAIN_KEYS = 2 };
extern const kv_spec perplexity_train_table[PERPLEXITY_TRAIN_KEYS];

/* task_module.source_*. Documents queue in an order drawn from (seed, epoch); a lane whose document ends takes the
 * next in the queue, from an empty state, at its next window. What is left of the window is not scored. */
int perplexity_source_open(const void *train, const tokenizer *t, uint64_t seed, task_source **out,
                           pal_error *err);
int perplexity_source_phase(task_source *s, int64_t lanes, int64_t length, pal_error *err);
int perplexity_source_fill(task_source *s, int64_t step, int64_t lane, int32_t *tokens, int32_t *targets,
                           float *weight, int *fresh, pal_error *err);
int perplexity_source_save(const task_source *s, char *out, size_t size, pal_error *err);
int perplexity_source_restore(task_source *s, const char *saved, pal_error *err);
void perplexity_source_close(task_source *s);

#endif
