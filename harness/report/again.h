/* The commands that make a cell again and that show a prompt, as they can be typed into a shell.
 * Names and values come from journals: each word is quoted. */
#ifndef PAL_AGAIN_H
#define PAL_AGAIN_H

#include "harness/journal/cells.h"

#include <stdio.h>

/* "build/palimpsest eval task=passkey model=NAME len=32K ...": evaluates the cell and its neighbours. A cell that
 * no model made comes with any model. */
void again_eval(FILE *out, const task_module *task, const result_cell *cell);
/* The words that ask for the cell and its neighbours, for no model by name: it evaluates those of the task. */
void again_request(FILE *out, const task_module *task, const result_cell *cell);
/* Digits of a tokenizer's digest in commands. */
enum { AGAIN_DIGEST = 12 };

/* "build/palimpsest show task=passkey len=32K depths=50 ... index=": the number of a sample completes it. */
void again_show(FILE *out, const task_module *task, const result_cell *cell);

/* The same in new memory; NULL: there is none. */
typedef void again_put(FILE *out, const task_module *task, const result_cell *cell);
char *again_text(again_put *put, const task_module *task, const result_cell *cell);

#endif
