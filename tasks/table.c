#include "tasks/task.h"

#include <strings.h>

extern const task_module passkey_task, perplexity_task, booksum_task;

const task_module *const task_table[] = {
    &passkey_task,
    &perplexity_task,
    &booksum_task,
    NULL,
};

const task_module *task_find(const char *name)
{
    for (size_t i = 0; task_table[i]; i++)
        if (strcasecmp(task_table[i]->name, name) == 0) return task_table[i];
    return NULL;
}
