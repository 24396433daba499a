/* The table that an evaluation fills while it runs: a row for each cell that is complete. */
#ifndef PAL_LIVE_TABLE_H
#define PAL_LIVE_TABLE_H

#include "harness/cli/listing.h"
#include "harness/eval/eval.h"

/* Evaluate, show the rows on `out` in the options' format, and write the reports of the journal (report_write).
 * What is no row goes to `out` where people read the rows, else to `log`. PAL_GATE: some samples are not finite.
 * `share` is as in eval_run; reports are then made when the journals are merged. */
int live_table_run(eval_request *r, eval_share *share, FILE *out, FILE *log, pal_error *err);

#endif
