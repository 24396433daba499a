/* The option tables of tasks and attention modules, as groups of a command's keys.
 * Modules that share a table make one group, so that help prints it once. */
#include "harness/command/groups.h"

#include "harness/eval/request.h"
#include "harness/train/train.h"
#include "models/attention/attention.h"
#include "models/decoder/config_keys.h"
#include "models/decoder/instead.h"

#include <stdio.h>
#include <string.h>

/* Append a group. A table that is there already serves one topic more; of its rows the most count. */
static size_t add(command_group *out, size_t count, const char *title, const char *topic, const kv_spec *table,
                  size_t rows)
{
    size_t at = 0;
    while (at < count && out[at].table != table) at++;
    if (rows == 0 || at == COMMAND_GROUPS) return count;
    if (at == count) out[at] = (command_group){.title = title, .table = table};
    if (rows > out[at].count) out[at].count = rows;
    const size_t used = strlen(out[at].topic);
    snprintf(out[at].topic + used, sizeof out[at].topic - used, "%s%s", used ? ", " : "", topic);
    return at == count ? count + 1 : count;
}

static size_t add_attentions(command_group *out, size_t count)
{
    for (size_t i = 0; attn_table[i]; i++)
        count = add(out, count, "Keys of attention", attn_table[i]->name, attn_table[i]->options,
                    attn_table[i]->option_count);
    return count;
}

static size_t add_model(command_group *out, size_t count)
{
    size_t rows;
    const kv_spec *table = model_config_table(&rows);
    return add_attentions(out, add(out, count, "Keys of the model", "", table, rows));
}

/* The rows of the model's table whose keys an evaluation may change, in runs. */
static size_t add_changeable(command_group *out, size_t count)
{
    size_t rows;
    const kv_spec *table = model_config_table(&rows);
    for (size_t i = 1; i < rows; i++) {
        size_t end = i;
        while (end < rows && instead_allows(NULL, table[end].key)) end++;
        if (end == i) continue;
        count = add(out, count, "Keys of any attention", "attention", &table[i], end - i);
        i = end;
    }
    return count;
}

size_t groups_of_eval(command_group *out)
{
    return add_attentions(out, add_changeable(out, groups_of_tasks(out)));
}

size_t groups_of_model(command_group *out)
{
    return add_model(out, 0);
}

size_t groups_of_training(command_group *out)
{
    size_t rows;
    const kv_spec *table = train_config_table(&rows);
    size_t count = add(out, 0, "Keys of training", "", table, rows);
    count = add_model(out, count);
    for (size_t i = 0; task_table[i]; i++)
        if (task_table[i]->train)
            count = add(out, count, "Keys of training on", task_table[i]->name, task_table[i]->train->table,
                        task_table[i]->train->count);
    return count;
}
