/* The tasks that there are: a row for each. */
#include "tasks/task.h"

#include <math.h>
#include <strings.h>

extern const task_module passkey_task, perplexity_task, booksum_task, jsonl_task, mqar_task, ruler_task,
    phonebook_task, babilong_task;

const task_module *const task_table[] = {
    &passkey_task, &perplexity_task, &booksum_task,  &jsonl_task, &mqar_task,
    &ruler_task,   &phonebook_task,  &babilong_task, NULL,
};

const task_module *task_find(const char *name)
{
    for (size_t i = 0; task_table[i]; i++)
        if (strcasecmp(task_table[i]->name, name) == 0) return task_table[i];
    return NULL;
}

double task_paper(const task_module *task, const task_cell *cell, const char *metric, const model_facts *model,
                  const char **row)
{
    return task->tables ? task->tables->paper(cell, metric, model, row) : NAN;
}
