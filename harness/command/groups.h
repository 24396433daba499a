/* Keys that several commands share: those of an evaluation, of every task and of every attention module.
 * Each list is made of the tables themselves. */
#ifndef PAL_GROUPS_H
#define PAL_GROUPS_H

#include "harness/cli/command.h"
#include "harness/eval/request.h"

/* The words without a key of all that evaluates: the task. */
extern const char *const words_of_eval[];

/* A line on standard error about models that model=all left out; nothing where there are none. */
void say_left_out(const eval_request *r);

/* As command.groups. */
size_t groups_of_tasks(command_group *out);
size_t groups_of_model(command_group *out);
size_t groups_of_training(command_group *out);

#endif
