/* Book summarisation: a sample is
 *
 *   begin token, the first k tokens of a book, separator | summary, begin token
 *
 * where `|` ends the prompt. The continuation after it is scored by ROUGE against the book's true summaries, and
 * the loss of the first of them is measured given its own tokens. Its parts that are of use outside the task: */
#ifndef PAL_BOOKSUM_H
#define PAL_BOOKSUM_H

#include "datasets/corpus/summary_file.h"
#include "tasks/task.h"

extern const task_module booksum_task;

/* The true summaries of a sample's book; *list[count] belongs to the sample. */
size_t booksum_references(const task_sample *s, const booksum_string **list);
/* Up to `most` summaries of the training split that goes with the run's texts, the first ones; none where it is
 * not beside them. *list[*count] and its texts are malloc'ed. */
int booksum_training_summaries(const task_run *run, size_t most, booksum_string **list, size_t *count,
                               pal_error *err);

#endif
