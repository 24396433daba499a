/* The commands of the program. Each lives in the room whose work it starts.
 * Only main() prints errors. */
#ifndef PAL_COMMANDS_H
#define PAL_COMMANDS_H

#include "harness/cli/command.h"
#include "tasks/task.h"

extern const pal_command train_command, eval_command, plan_command, report_command, plots_command, list_command,
    bench_command, export_command, tokenizer_command, rouge_command, help_command;

/* All of them, in the order of help; ends with NULL. */
extern const pal_command *const command_table[];

/* The program: argv[1] names the command. Also -h, --help, -V, --version, and a command's own --help. */
int commands_main(int argc, char *const *argv, pal_error *err);

/* plots.c: the pictures of one task, or (NULL) of all tasks and of training, into the directory of results. */
int draw_pictures(const task_module *only, const char *results_dir, const char *weights, pal_error *err);

/* help.c: what a command does, its examples and its keys. `topic` picks the groups of one task or attention
 * module; NULL: the groups that are not of one, and where to ask for the others. PAL_USAGE: nothing is called so.
 */
int help_command_text(const pal_command *c, const char *topic, pal_error *err);
/* All commands in a few lines. */
void help_overview(void);

#endif
