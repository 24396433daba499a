/* Book summarisation: a sample is
 *
 *   begin token, the first k tokens of a book, separator | summary, begin token
 *
 * where `|` ends the prompt. The continuation after it is scored by ROUGE against the book's true summaries, and
 * the loss of the first of them is measured given its own tokens. */
#ifndef PAL_BOOKSUM_H
#define PAL_BOOKSUM_H

#include "tasks/task.h"

extern const task_module booksum_task;

#endif
