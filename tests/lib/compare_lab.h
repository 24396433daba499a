/* Cells of made-up runs for the suites of paired comparison. */
#ifndef PAL_TEST_COMPARE_LAB_H
#define PAL_TEST_COMPARE_LAB_H

#include "harness/journal/cells.h"

#include <string.h>

static inline result_cell lab_run_cell(const char *model, const char *weights, const char *name)
{
    result_cell cell = {.length = 1024};
    strcpy(cell.model, model);
    strcpy(cell.weights, weights);
    strcpy(cell.name, name);
    strcpy(cell.config, "c0");
    strcpy(cell.tokenizer, "bytes");
    strcpy(cell.blas_core, "Core");
    strcpy(cell.settings, "seed=1");
    return cell;
}

#endif
