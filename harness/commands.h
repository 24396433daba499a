/* The subcommands of the binary. A command gets the words after its name, key=value each, and returns a status;
 * only main() prints errors. */
#ifndef PAL_COMMANDS_H
#define PAL_COMMANDS_H

#include "harness/base/keyval.h"

int cmd_train(int argc, char **argv, pal_error *err);
int cmd_eval(int argc, char **argv, pal_error *err);
int cmd_plan(int argc, char **argv, pal_error *err);
int cmd_report(int argc, char **argv, pal_error *err);
int cmd_list(int argc, char **argv, pal_error *err);
int cmd_bench(int argc, char **argv, pal_error *err);
int cmd_help(int argc, char **argv, pal_error *err);

/* The keys of `bench`, for help. */
const kv_spec *bench_config_table(size_t *count);

typedef struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv, pal_error *err);
} command;

/* All of them; ends with a NULL name. */
extern const command command_table[];
const command *command_find(const char *name);

#endif
