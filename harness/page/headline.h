/* The top of the page: for each task one small table of its main models, and the best of it in a sentence. */
#ifndef PAL_PAGE_HEADLINE_H
#define PAL_PAGE_HEADLINE_H

#include "harness/report/evidence.h"

#include <stdio.h>

enum { HEADLINE_ROWS = 8, HEADLINE_COLUMNS = 6 };

/* One table: values[row * columns + column] is a metric as report_row has it, the mean over the depths that all
 * columns share; NaN: not evaluated. Rows are sorted by the main column, the best first. */
typedef struct headline {
    const report *rep;
    const task_metric *metric;
    const report_row *row[HEADLINE_ROWS]; /* any of the model's */
    char column[HEADLINE_COLUMNS][64];    /* "32K", or the name of a set of documents */
    double value[HEADLINE_ROWS * HEADLINE_COLUMNS];
    double depth[64]; /* that means are over; none for documents */
    size_t rows, columns, depths;
    size_t main;         /* the longest input, or the documents that most models read */
    int64_t least, most; /* samples of a cell */
} headline;

/* The main models: those trained on this task, if any are; with their memory, in the run that has the plain name;
 * the ones with most cells. Columns: the lengths or documents that most of them have. rows 0: there is nothing to
 * say. */
headline headline_of(const report *rep);
void html_headline(FILE *out, const headline *h);

#endif
