/* Results in the files of lm-evaluation-harness (EleutherAI, version 0.4): its table, loggers and loaders read
 * them. For each model DIR/MODEL/results_DATE.json, and DIR/MODEL/samples_TASK_DATE.jsonl for each cell. */
#ifndef PAL_PAGE_LM_EVAL_H
#define PAL_PAGE_LM_EVAL_H

#include "harness/page/records.h"
#include "harness/report/evidence.h"

/* Journals hold no time of day, so the same journals give the same files: all have this date unless one is given.
 */
#define LM_EVAL_DATE "1970-01-01T00-00-00.000000"

enum { LM_EVAL_NAME = 128 };

/* "passkey_32k_d50", "perplexity_novels_test": letters, digits and '_' in lower case, as task names are there. */
char *lm_eval_task_name(const task_module *task, const result_cell *cell, char out[LM_EVAL_NAME]);

/* The standard error of a metric over row->n samples: by the delta method (Cochran 1977, 6.4) for ratios of sums;
 * NaN for fewer than two. */
double lm_eval_stderr(const task_metric *metric, const report_row *row);

/* One file with the results of all models, their tasks named "MODEL/passkey_32k_d50". */
int lm_eval_summary(const evidence *e, const char *path, pal_error *err);
/* A folder for each model, as above. *models: how many. PAL_USAGE: a date that is no part of a file name. */
int lm_eval_export(const evidence *e, const char *dir, const char *date, size_t *models, pal_error *err);

/* ---- lm_eval_samples.c ---- */

/* The samples of a row to `path`, a JSON object a line; *hash: of all of them, as the results name it. */
int lm_eval_samples(const report *rep, const report_row *row, const records *all, const char *path,
                    char hash[HASH_HEX], pal_error *err);

#endif
