/* What the commands that take an evaluation's request have in common: their words and the keys of the tasks.
 * The keys come from the tasks' own tables. */
#include "harness/eval/request.h"

#include <stdio.h>

const char *const words_of_eval[] = {"task", NULL};

void say_left_out(const eval_request *r)
{
    if (r->left_out == 0) return;
    fprintf(
        stderr,
        "%zu model%s of another tokenizer left out, such as %s: a run has one tokenizer; name %s with model=\n",
        r->left_out, r->left_out == 1 ? "" : "s", r->left_out_name, r->left_out == 1 ? "it" : "them");
}

size_t groups_of_tasks(command_group *out)
{
    size_t count = 0;
    for (size_t i = 0; task_table[i] && count < COMMAND_GROUPS; i++) {
        const task_eval *e = task_table[i]->eval;
        if (e->request_count == 0) continue;
        out[count] =
            (command_group){.title = "Keys of task", .table = e->request_table, .count = e->request_count};
        snprintf(out[count++].topic, sizeof out->topic, "%s", task_table[i]->name);
    }
    return count;
}
