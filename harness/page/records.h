/* What the task wrote of each sample: the "record" of its line in the journal.
 * The page and the export show it beside the values that journal/cells.h keeps. */
#ifndef PAL_PAGE_RECORDS_H
#define PAL_PAGE_RECORDS_H

#include "harness/journal/cells.h"

#include <jansson.h>

typedef struct sample_record {
    size_t cell; /* index into results.cell */
    int64_t index;
    size_t line; /* of two records of a sample the first counts, as in results */
    json_t *object;
} sample_record;

typedef struct records {
    const results *of;
    sample_record *record; /* by cell, index, line */
    size_t count, capacity, lines;
} records;

/* Read the journal of `r` once more. `r` must stay as it is while the records live. */
int records_read(records *out, const results *r, pal_error *err);
void records_free(records *all);
/* The record of a sample, or NULL. `cell` is one of the results'. */
const json_t *records_find(const records *all, const result_cell *cell, int64_t index);

/* A metric of one sample: its value over what it is measured on, through the exp or ln 2 of its kind. NaN: none.
 */
double record_metric(const task_metric *metric, const result_sample *sample);

#endif
