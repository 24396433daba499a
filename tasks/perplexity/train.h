/* Long documents as training sequences: every lane reads documents from their beginning to their end, window after
 * window, so that the streaming state carries over from one to the next. */
#ifndef PAL_PERPLEXITY_TRAIN_H
#define PAL_PERPLEXITY_TRAIN_H

#include "tasks/task.h"

typedef struct perplexity_train {
    char data[KV_TEXT_MAX], split[KV_TEXT_MAX];
} perplexity_train;

/* Documents queue in an order drawn from (seed, epoch); a lane whose document ends takes the next in the queue,
 * from an empty state, at its next window. What is left of the window is not scored. */
extern const task_train perplexity_training;

#endif
