/* The passkey training source: sequences in the evaluation's text with needles and one or more questions. */
#ifndef PAL_PASSKEY_TRAIN_H
#define PAL_PASSKEY_TRAIN_H

#include "tasks/task.h"

typedef struct passkey_train {
    double headerless, lead, needle_span, near;
    int64_t keys, questions, gap_min, gap_max;
    double answer_noise, mention_weight, lm_weight, prose, prose_weight;
    char prose_data[KV_TEXT_MAX], prose_split[KV_TEXT_MAX];
} passkey_train;

enum { PASSKEY_TRAIN_KEYS = 15 };
extern const kv_spec passkey_train_table[PASSKEY_TRAIN_KEYS];

/* task_module.source_*; `train` is a passkey_train. A sequence reads
 *
 *   [header] filler needle { filler needle } { filler question answer "." } filler question answer
 *
 * where filler is the cycle or prose, and its text is length + 1 tokens: targets[] ends with the last digit of the
 * last answer, as a prompt and its answer do in evaluation, and tokens[] just before it. All needles come before
 * all questions, each of which asks for any of them. The keys are those that evaluation never asks for. A sequence
 * is a pure function of (seed, step, lane), so nothing is saved. */
int passkey_source_open(const void *train, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err);
int passkey_source_phase(task_source *s, int64_t lanes, int64_t length, pal_error *err);
int passkey_source_fill(task_source *s, int64_t step, int64_t lane, int32_t *tokens, int32_t *targets,
                        float *weight, int *fresh, pal_error *err);
/* The haystack's tokens that come before the sequence's own: its cycle, or its prose. */
void passkey_source_lead(task_source *s, int64_t step, int64_t lane, int32_t *tokens, int64_t count);
int passkey_source_save(const task_source *s, char *out, size_t size, pal_error *err);
int passkey_source_restore(task_source *s, const char *saved, pal_error *err);
void passkey_source_close(task_source *s);

#endif
