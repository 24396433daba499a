/* Books with their summaries as training sequences. */
#ifndef PAL_BOOKSUM_TRAIN_H
#define PAL_BOOKSUM_TRAIN_H

#include "tasks/task.h"

typedef struct booksum_train {
    char data[KV_TEXT_MAX], split[KV_TEXT_MAX];
    double lm_weight, lead, quiz, span;
    int64_t start;
} booksum_train;

/* The text of a sequence is length + 1 tokens, laid out as a
 * sample of the evaluation is: targets[] ends with the begin token that ends the summary. A story is as long as
 * that leaves room for. A book is drawn evenly, one of its summaries too, and as many of its tokens are read as
 * there is room for, from its beginning or from a drawn place on; of a summary longer than half of the sequence
 * only that much, without an end, is read. Behind a book that is too short to fill its sequence the rest is not
 * scored.
 *
 * A sequence is a pure function of (seed, step, lane), so nothing is saved. All books are held as tokens. What may
 * be read before a sequence is a story in which nothing is told, or what comes before the book's tokens, its end
 * before its beginning. */
extern const task_train booksum_training;

#endif
