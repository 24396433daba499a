/* Books with their summaries as training sequences. */
#ifndef PAL_BOOKSUM_TRAIN_H
#define PAL_BOOKSUM_TRAIN_H

#include "tasks/task.h"

typedef struct booksum_train {
    char data[KV_TEXT_MAX], split[KV_TEXT_MAX];
    double lm_weight, lead, quiz, span;
    int64_t start;
} booksum_train;

enum { BOOKSUM_TRAIN_KEYS = 7 };
extern const kv_spec booksum_train_table[BOOKSUM_TRAIN_KEYS];

/* task_module.source_*; `train` is a booksum_train. The text of a sequence is length + 1 tokens, laid out as a
 * sample of the evaluation is: targets[] ends with the begin token that ends the summary. A story is as long as
 * that leaves room for. A book is drawn evenly, one of its summaries too, and as many of its tokens are read as
 * there is room for, from its beginning or from a drawn place on; of a summary longer than half of the sequence
 * only that much, without an end, is read. Behind a book that is too short to fill its sequence the rest is not
 * scored.
 *
 * A sequence is a pure function of (seed, step, lane), so nothing is saved. All books are held as tokens. */
int booksum_source_open(const void *train, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err);
int booksum_source_phase(task_source *s, int64_t lanes, int64_t length, pal_error *err);
int booksum_source_fill(task_source *s, int64_t step, int64_t lane, int32_t *tokens, int32_t *targets,
                        float *weight, int *fresh, pal_error *err);
/* A story in which nothing is told, or what comes before the book's tokens, its end before its beginning. */
void booksum_source_lead(task_source *s, int64_t step, int64_t lane, int32_t *tokens, int64_t count);
int booksum_source_save(const task_source *s, char *out, size_t size, pal_error *err);
int booksum_source_restore(task_source *s, const char *saved, pal_error *err);
void booksum_source_close(task_source *s);

#endif
