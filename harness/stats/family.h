/* Many comparisons at once: p values that hold for all of them together. */
#ifndef PAL_FAMILY_H
#define PAL_FAMILY_H

#include "harness/base/error.h"

#include <stddef.h>

/* One comparison: the parts of its sum, document by document. Rows of equal `documents` are about the same
 * documents in the same order, whose signs are flipped together. */
typedef struct family_row {
    const double *part;
    size_t count, documents;
} family_row;

/* Step-down min-P (Westfall & Young 1993, algorithm 2.8) with joint sign flips: p[i] is the probability, were
 * there no difference at all, that some row whose own p is not below this one's gets a p as small. It is the max-T
 * of rows whose statistics have unlike distributions, never above Holm's p, and rows that say the same add
 * nothing: the least p does not grow with their number. NaN where a part is no number. PAL_INTERNAL without
 * memory. */
int stats_family(const family_row *row, size_t count, double *p, pal_error *err);

#endif
