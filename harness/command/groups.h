/* Keys that several commands share: those of training and of every attention module.
 * Each list is made of the tables themselves. */
#ifndef PAL_GROUPS_H
#define PAL_GROUPS_H

#include "harness/cli/command.h"

/* As command.groups. */
size_t groups_of_model(command_group *out);
size_t groups_of_eval(command_group *out); /* of tasks, and what may change in trained models */
size_t groups_of_training(command_group *out);

#endif
