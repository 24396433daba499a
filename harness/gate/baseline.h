/* The committed losses that later builds are held against: one CSV row for each model and metric. */
#ifndef PAL_BASELINE_H
#define PAL_BASELINE_H

#include "harness/base/hash.h"
#include "harness/base/keyval.h"

#include <stdio.h>

/* What another BLAS core may change, relative to the value: its sums run in another order. Measured from SkylakeX
 * to Haswell, Zen, Sandybridge and Nehalem it is 1e-8; the rest is room for a near tie that falls the other way
 * (the nearest neighbours of a memory) and for longer recipes, whose training amplifies a difference. With the
 * same core every bit must agree. */
#define BASELINE_EVALUATED 1e-4 /* losses of given weights */
#define BASELINE_TRAINED 1e-2   /* losses of the model that the run trained itself */

enum { BASELINE_METRIC = 160 };

typedef struct baseline_row {
    char name[KV_TEXT_MAX]; /* of the model */
    char metric[BASELINE_METRIC];
    double value;
    char blas_core[64];
    char weights[HASH_HEX]; /* digest of what was evaluated; "": the run trained the model itself */
} baseline_row;

typedef struct baseline {
    baseline_row *row;
    size_t count, capacity;
} baseline;

/* PAL_USAGE: a text that cannot stand in the file, a row that is there already. */
int baseline_add(baseline *b, const baseline_row *row, pal_error *err);
void baseline_free(baseline *b);
const baseline_row *baseline_find(const baseline *b, const char *name, const char *metric);

/* PAL_DATA: no such file, or file:line with what is wrong in it. */
int baseline_read(baseline *out, const char *path, pal_error *err);
/* Replaces the file atomically. */
int baseline_write(const baseline *b, const char *path, pal_error *err);

typedef enum baseline_verdict { BASELINE_SAME, BASELINE_MOVED, BASELINE_GONE, BASELINE_NEW } baseline_verdict;

/* Either row may be NULL: it is missing on that side. */
baseline_verdict baseline_judge(const baseline_row *then, const baseline_row *now);

/* Compare all rows. Prints those that moved or are missing on a side, or, when there are none, one line for each
 * row. Returns how many there are. */
size_t baseline_compare(const baseline *then, const baseline *now, FILE *out);

#endif
