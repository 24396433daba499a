/* Samples of an evaluation as sequences to train on: another one for each lane and step, from seeds that no
 * evaluation uses, with the loss on the true answer. */
#ifndef PAL_HAYSTACK_TRAINING_H
#define PAL_HAYSTACK_TRAINING_H

#include "tasks/task.h"

enum { TRAINING_KEYS = 3 };

/* A recipe's settings. value[i] is handed to the request's key[i] as it is. */
typedef struct training_settings {
    char value[TRAINING_KEYS][KV_TEXT_MAX];
    double lm_weight; /* of the loss on all tokens but those of the answer */
} training_settings;

/* key[]: of the task's request, at most TRAINING_KEYS, ends with NULL; its keys len, n and seed are set by the
 * source. Keeps the pointers. */
int training_open(const task_module *task, const char *const *key, const training_settings *settings,
                  const tokenizer *t, uint64_t seed, task_source **out, pal_error *err);
/* The other members of task_train. A phase whose length a sample does not fit into is refused; behind a shorter
 * one there are begin tokens without loss. */
int training_phase(task_source *s, int64_t lanes, int64_t length, pal_error *err);
int training_fill(task_source *s, int64_t step, int64_t lane, int32_t *tokens, int32_t *targets, float *weight,
                  int *fresh, pal_error *err);
int training_save(const task_source *s, char *out, size_t size, pal_error *err);
int training_restore(task_source *s, const char *saved, pal_error *err);
void training_close(task_source *s);

/* The rows of a recipe's table that every such task has, and its task_train. */
#define TRAINING_VALUE(i) (offsetof(training_settings, value) + (i) * (size_t)KV_TEXT_MAX)
#define TRAINING_WEIGHT(name)                                                                                     \
    {                                                                                                             \
        name, KV_REAL, offsetof(training_settings, lm_weight), "0.02", 0, 1, NULL,                                \
            "loss on all tokens but those of the answer, as a share of its loss"                                  \
    }
#define TRAINING(rows, opener)                                                                                    \
    {                                                                                                             \
        .table = (rows), .count = sizeof(rows) / sizeof *(rows), .bytes = sizeof(training_settings),              \
        .open = (opener), .phase = training_phase, .fill = training_fill, .save = training_save,                  \
        .restore = training_restore, .close = training_close                                                      \
    }

#endif
