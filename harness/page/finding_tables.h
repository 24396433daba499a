/* The tables that a page of findings may hold, each a function of the journals and of its marker's words. */
#ifndef PAL_FINDING_TABLES_H
#define PAL_FINDING_TABLES_H

#include "harness/gate/audit.h"
#include "harness/report/evidence.h"

/* A marker's words, and all that a table may need. */
typedef struct findings {
    const evidence *evidence; /* NULL: only check the marker's words */
    const audit *audit;
    int *needs_page; /* set when a table has no journals of its own; may be NULL */
    kv_pairs words;
    const char *where; /* "page:line" */
    FILE *out;
    pal_error *err;
} findings;

typedef struct finding_table {
    const char *kind;
    int (*put)(const findings *f);
} finding_table;

/* All of them; ends with a NULL kind. */
extern const finding_table finding_tables[];

#endif
