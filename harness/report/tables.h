/* The paper's tables from our journals: 1 memory, 2 perplexity, 3 passkey, 4 BookSum; the paper's numbers beside
 * ours. */
#ifndef PAL_TABLES_H
#define PAL_TABLES_H

#include "harness/cli/command.h"
#include "harness/report/evidence.h"
#include "harness/report/table.h"

typedef struct tables_options {
    char results[KV_TEXT_MAX], out[KV_TEXT_MAX], weights[KV_TEXT_MAX];
} tables_options;

/* All that the evidence allows; a task without cells has no table. `weights`: the directory of the models whose
 * configs table 1 is evaluated for. PAL_DATA: a weights file there is damaged. */
int tables_build(table_set *out, const evidence *e, const char *weights, pal_error *err);

/* Write <out>/<file>.md, .tex and .csv for each of them and list the files on `log`. */
int tables_run(const tables_options *o, const task_module *const *tasks, FILE *log, pal_error *err);

/* A part of tables_build: it adds its tables to the set. Each is one object, listed in tables.c. */
typedef struct table_part {
    int (*add)(table_set *set, const evidence *e, const char *weights, pal_error *err);
} table_part;

extern const table_part perplexity_tables, booksum_tables, ruler_tables, mqar_tables;

/* Make the best of the rows in one column bold. line[k] is the table's row of row[k]. */
int tables_mark_best(table *t, size_t column, const task_metric *metric, size_t index,
                     const report_row *const *row, const size_t *line, size_t count, pal_error *err);

/* "each number: our mean with its interval and n": what the notes of all tables say. */
extern const char tables_note[];

extern const pal_command tables_command;

#endif
