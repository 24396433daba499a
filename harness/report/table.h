/* A table as it is shown, and its forms: Markdown, LaTeX (booktabs), CSV in long format. html.h adds another. */
#ifndef PAL_TABLES_FORM_H
#define PAL_TABLES_FORM_H

#include "harness/report/report.h"

#include <stdio.h>

enum { TABLE_TEXT = REPORT_LABEL };

/* A cell may hold our number, the paper's, both or neither. */
typedef struct table_cell {
    char text[TABLE_TEXT];   /* what is shown instead of our number, if not empty */
    double value, lo, hi, p; /* NaN: there is none. p: of the comparisons that made it bold */
    int digits;
    int sign;  /* numbers are written with a '+' */
    int64_t n; /* samples behind it; 0: it is not measured on samples */
    int bold;
    double paper; /* the paper's own value */
} table_cell;

typedef struct table {
    char file[48]; /* without suffix; tables of one file stand together */
    char id[48];
    char title[200];
    char note[1500];
    size_t labels; /* leading columns that name the row */
    char (*column)[TABLE_TEXT];
    size_t columns;
    table_cell *cell; /* [rows, columns] */
    int *rule;        /* [rows] whether a line is drawn above */
    size_t rows, capacity;
    int failed; /* out of memory while it was filled; reported by table_set_check */
} table;

typedef struct table_set {
    table *table;
    size_t count;
    int failed;
} table_set;

/* ---- Filling ---- */

/* A new last table; NULL without memory, and then all further calls do nothing. */
table *table_add(table_set *set, const char *file, const char *id, const char *title, size_t labels);
void table_column(table *t, const char *name);
/* The next row; later columns cannot be added. rule: with a line above. */
void table_row(table *t, int rule);
/* The cell of the last row in a column; a dummy when memory has run out. */
table_cell *table_at(table *t, size_t column);
__attribute__((format(printf, 3, 4))) void table_text(table *t, size_t column, const char *format, ...);
/* A metric of n samples, shares in percent, with as many digits as report_format shows. Where samples are not
 * finite there is no value, and their number says so. */
table_cell table_cell_of(const task_metric *metric, const summary *s, int64_t n);
/* Bytes: shown as "1.5 MiB", the value is exact. */
void table_bytes(table *t, size_t column, double bytes);
void table_paper(table *t, size_t column, double value);
int table_set_check(const table_set *set, pal_error *err);
void table_set_free(table_set *set);

/* ---- Showing ---- */

/* "98.0", "[93.1, 99.8]", "11.88": parts of a cell. Each out holds at least 64 bytes; "" where there is none. */
void table_value_text(const table_cell *c, char out[TABLE_TEXT]);
void table_interval_text(const table_cell *c, char out[64]);
void table_paper_text(const table_cell *c, char out[64]);

/* All tables of the set whose file is the same as that of table `first`. */
void table_markdown(FILE *out, const table_set *set, size_t first);
void table_latex(FILE *out, const table_set *set, size_t first);
void table_csv(FILE *out, const table_set *set, size_t first);

#endif
