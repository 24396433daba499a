/* Reading CSV files (RFC 4180) with a line of names: every value is found by its column's name. */
#ifndef PAL_CSV_H
#define PAL_CSV_H

#include "harness/base/error.h"

#include <stddef.h>

typedef struct csv_table {
    char *text;         /* the file, cut into fields */
    const char **field; /* [rows + 1, columns]; the first row holds the names */
    size_t rows, columns;
} csv_table;

/* Read a file that text.h's functions wrote, or any other with as many fields in every line. PAL_DATA names the
 * line that does not fit. */
int csv_read(csv_table *out, const char *path, pal_error *err);
void csv_free(csv_table *t);

/* The place of a column; t->columns: there is none of that name. */
size_t csv_column(const csv_table *t, const char *name);
/* A field as text, without the apostrophe that text_csv puts before a formula; "" outside the table. */
const char *csv_text(const csv_table *t, size_t row, size_t column);
/* A field as a number; NaN where it is empty, is none, or lies outside the table. */
double csv_number(const csv_table *t, size_t row, size_t column);

#endif
