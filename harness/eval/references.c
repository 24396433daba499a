/* The rows of a task that take no model: which task has which. */
#include "harness/eval/references.h"

#include "tasks/booksum/reference_summaries.h"
#include "tasks/perplexity/compressors.h"

#include <string.h>

static const struct {
    const char *task;
    int (*run)(eval_request *r, results *held, journal *j, references_complete *complete, void *arg,
               pal_error *err);
} table[] = {
    {"perplexity", compressors_run},
    {"booksum", summaries_run},
};

int references_run(eval_request *r, results *held, journal *j, references_complete *complete, void *arg,
                   pal_error *err)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].task, r->task->name) == 0) return table[i].run(r, held, j, complete, arg, err);
    return PAL_OK;
}
