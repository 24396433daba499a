/* The passkey training source: sequences in the evaluation's text with one needle and one or more questions. */
#ifndef PAL_PASSKEY_TRAIN_H
#define PAL_PASSKEY_TRAIN_H

#include "harness/base/keyval.h"

typedef struct passkey_train {
    double headerless, needle_span, near;
    int64_t questions, gap_min, gap_max;
    double answer_noise, mention_weight, lm_weight;
} passkey_train;

enum { PASSKEY_TRAIN_KEYS = 9 };
extern const kv_spec passkey_train_table[PASSKEY_TRAIN_KEYS];

/* task_module.train_check and task_module.train_fill; `train` is a passkey_train. A sequence reads
 *
 *   [header] filler needle { filler question answer ". " } filler question answer
 *
 * and its text is length + 1 bytes: targets[] ends with the last digit of the last answer, as a prompt and its
 * answer do in evaluation, and tokens[] just before it. The keys are those that evaluation never asks for. */
int passkey_train_check(const void *train, int64_t length, pal_error *err);
void passkey_train_fill(const void *train, uint64_t seed, int64_t step, int64_t lane, int64_t length,
                        int32_t *tokens, int32_t *targets, float *weight);

#endif
