/* The samples of a task's cells as a block of JSON in the page, packed: gzip, in base64.
 * {"columns": [NAME...], "cells": [{"show": COMMAND, "left": N, "samples": [[INDEX, VALUE...]...]}...]} */
#ifndef PAL_PAGE_SAMPLES_H
#define PAL_PAGE_SAMPLES_H

#include "harness/page/records.h"
#include "harness/report/report.h"

/* Cells are in the order of the report's rows. Where all samples are too many for a page, each cell has its first
 * ones and "left" counts the others. Columns: members of the records that differ within a cell, then metrics. */
int html_samples(FILE *out, const report *rep, const records *all, pal_error *err);

#endif
