/* A claim while it is judged: its evidence, and what each line of it says. */
#ifndef PAL_JUDGEMENT_H
#define PAL_JUDGEMENT_H

#include "harness/gate/audit.h"

typedef enum outcome { HOLDS, FAILS, OPEN, MISSING } outcome;

enum { JUDGEMENT_SEEDS = 8 };

typedef struct judgement {
    const audit_claim *claim;
    const report *rep; /* NULL: no complete cell of the task */
    const char *weights;
    FILE *out;
    size_t count[MISSING + 1];
    /* Of the lines so far: the least samples and seeds behind one, and the largest family. */
    int64_t n;
    size_t seeds, family;
} judgement;

/* A line of evidence and what it says. */
__attribute__((format(printf, 3, 4))) void judgement_note(judgement *j, outcome what, const char *format, ...);

/* The next item of a list, without the blanks around it; 0 at the end. */
int judgement_item(const char **at, char separator, char out[KV_TEXT_MAX]);

typedef struct place {
    char name[KV_TEXT_MAX];
    double x; /* for trends: log2 of the length, or the place in the list */
} place;

/* The cells of a claim; *out is malloc'ed. */
int judgement_places(const audit_claim *c, place **out, size_t *count, pal_error *err);
/* The model's row of a cell, with its memory; NULL with a note when there is none, or more than one that differ in
 * more than the BLAS core. */
const report_row *judgement_row(judgement *j, const char *model, const char *cell);
/* Whether n samples are as many as the claim asks for; else a note. */
int judgement_enough(judgement *j, const char *model, const char *cell, int64_t n);

/* Quantities that are no metrics. */
enum { STATE_BYTES = -1, HELD_BYTES = -2, SECONDS_PER_TOKEN = -3, NO_QUANTITY = -4 };

/* The metric that the claim is about, or one of these. */
int judgement_quantity(const judgement *j);
/* A cost of one sample: num over den. */
void judgement_cost(int which, const report_row *row, int64_t i, double *num, double *den);
/* A quantity of a cell, for each cluster of samples, or sample where it is a cost. Returns how many. */
int64_t judgement_columns(const judgement *j, int which, const report_row *row, double *num, double *den);

/* What a line of evidence rests on; seeds 0 or family 0: that means nothing there. */
void judgement_seeds(judgement *j, size_t seeds, int64_t n, size_t family);

/* ---- duels.c ---- */

/* Judge AUDIT_BETTER. */
int judgement_better(judgement *j, int which, const place *places, size_t count, pal_error *err);

#endif
