/* Facts of made-up models, whose names in these tests are TASK-ATTENTION-more: "text-infini-delta-seed2". The
 * program itself never reads a name. */
#ifndef PAL_TEST_FACTS_LAB_H
#define PAL_TEST_FACTS_LAB_H

#include "harness/journal/cells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline model_facts lab_facts(const char *name)
{
    static const char *const attention[] = {"infini-linear", "infini-delta", "infini-gated", "transformer-xl",
                                            "memorizing",    "local",        "window",       "full"};
    static const char *const tasks[][2] = {{"text", "perplexity"}, {"passkey", "passkey"}, {"booksum", "booksum"}};
    const char *seed = strstr(name, "-seed");
    model_facts facts = {.train_seed = seed ? atoi(seed + 5) : 1,
                         .xl_len = strstr(name, "memorizing-xl") ? 8 : 0,
                         .fine_tuned = strncmp(name, "text-", 5) != 0};
    for (size_t i = 0; i < sizeof attention / sizeof *attention; i++)
        if (strstr(name, attention[i])) snprintf(facts.attention, sizeof facts.attention, "%s", attention[i]);
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strncmp(name, tasks[i][0], strlen(tasks[i][0])) == 0)
            snprintf(facts.trained_on, sizeof facts.trained_on, "%s", tasks[i][1]);
    return facts;
}

/* What else a cell's own members say of it. */
static inline void lab_describe(result_cell *cell)
{
    char prefix[64];
    const int size = snprintf(prefix, sizeof prefix, "len=%lld,depth=%g,", (long long)cell->length, cell->depth);
    cell->kind = strcmp(cell->blas_core, REFERENCES_CORE) == 0 ? RESULT_REFERENCE : RESULT_MODEL;
    cell->memory = strstr(cell->settings, "memory=zeroed") ? RESULT_ZEROED : RESULT_KEPT;
    cell->extent = cell->length ? RESULT_LENGTH : RESULT_DOCUMENTS;
    cell->facts = lab_facts(cell->model);
    if (strncmp(cell->name, prefix, (size_t)size) == 0)
        snprintf(cell->variant, sizeof cell->variant, "%.31s", cell->name + size);
}

#endif
