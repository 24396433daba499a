/* The passkey training source: sequences in the evaluation's text with needles and one or more questions. */
#ifndef PAL_PASSKEY_TRAIN_H
#define PAL_PASSKEY_TRAIN_H

#include "tasks/task.h"

typedef struct passkey_train {
    double headerless, lead, needle_span, near;
    int64_t keys, questions, gap_min, gap_max;
    double answer_noise, mention_weight, space_weight, lm_weight, prose, prose_weight;
    char prose_data[KV_TEXT_MAX], prose_split[KV_TEXT_MAX];
} passkey_train;

/* A sequence reads
 *
 *   [header] filler needle { filler needle } { filler question answer "." } filler question answer
 *
 * where filler is the cycle or prose, and its text is length + 1 tokens: targets[] ends with the last digit of the
 * last answer, as a prompt and its answer do in evaluation, and tokens[] just before it. All needles come before
 * all questions, each of which asks for any of them. The keys are those that evaluation never asks for. A sequence
 * is a pure function of (seed, step, lane), so nothing is saved. What may be read before it are tokens
 * of its haystack: its cycle, or its prose. */
extern const task_train passkey_training;

#endif
