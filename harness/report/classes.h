/* How rows are put together: classes of model size, lengths that stand in a cell's name. */
#ifndef PAL_CLASSES_H
#define PAL_CLASSES_H

#include "harness/report/report.h"

/* The class of a cell's size among the rows, 0 for the smallest: sizes from the smallest of a class to a tenth
 * more. Rows without parameters are in class 0. */
int report_size_class(const report *rep, const result_cell *cell);
/* Tokens of a sample, of its length or of the length of its documents ("stories/test:len=16K"); NaN: whole
 * documents. */
double report_length(const result_cell *cell);
/* Cells of documents in the order of their texts' names, then of their length, whole documents last. As strcmp. */
int report_texts_order(const result_cell *a, const result_cell *b);

#endif
