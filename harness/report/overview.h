/* <task>-table.md: all of a task's complete cells, in tables that any form can show. */
#ifndef PAL_OVERVIEW_H
#define PAL_OVERVIEW_H

#include "harness/report/table.h"

/* A table for each metric of cells of one length, one for each set of documents, and one of the runs. */
int overview_build(table_set *out, const report *rep, pal_error *err);

#endif
