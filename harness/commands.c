#include "harness/commands.h"

#include <stddef.h>
#include <string.h>

const command command_table[] = {
    {"train", "train a model from a recipe", cmd_train},
    {"eval", "evaluate models on a task; finished samples are never computed again", cmd_eval},
    {"plan", "what an eval would cost: tokens, FLOPs, bytes, time", cmd_plan},
    {"report", "write CSVs, tables and plots again from the journal, computing nothing", cmd_report},
    {"list", "attention modules, tasks, and the weights that are here", cmd_list},
    {"bench", "speed of training and evaluation on this machine", cmd_bench},
    {"help", "help, or help COMMAND: its keys and their defaults", cmd_help},
    {NULL, NULL, NULL},
};

const command *command_find(const char *name)
{
    for (const command *c = command_table; c->name; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}
