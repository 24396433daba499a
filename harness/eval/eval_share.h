/* One evaluation that several processes share, seen by one of them: which samples it takes, and when.
 * How work is dealt is the business of who fills the struct (harness/shard/). */
#ifndef PAL_EVAL_SHARE_H
#define PAL_EVAL_SHARE_H

#include "harness/eval/plan.h"
#include "harness/journal/cells.h"

/* All that there is to share. */
typedef struct eval_whole {
    const eval_request *request;
    const plan *plan;        /* of plan_list */
    const result_cell *cell; /* the cells of all processes, in the order of one machine's journal */
    const int64_t *asked;    /* samples of each */
    size_t count;            /* of them */
    const size_t *first;     /* [parts]: where a part's cells begin among them; skipped parts have none */
    size_t rows;             /* cells of the request that rows without a model are measured on */
} eval_whole;

/* What is done in one go: samples of one part, or the rows that take no model on one cell of the request. */
typedef struct eval_unit {
    size_t part; /* of the plan; EVAL_ROWS: rows of `cell` */
    size_t cell;
    double flops; /* about */
} eval_unit;
#define EVAL_ROWS SIZE_MAX

typedef struct eval_share {
    const char *journal; /* of this process alone */
    int pieces;          /* a part comes in several units */
    /* Everything is known. *samples and *flops: what is to be done here, at most. */
    int (*begin)(void *arg, const eval_whole *whole, size_t *samples, double *flops, pal_error *err);
    /* The next unit. *more: 0 when there is none left. May wait for others. */
    int (*next)(void *arg, eval_unit *unit, int *more, pal_error *err);
    /* Whether a sample of a part is of the unit in hand. */
    int (*takes)(void *arg, size_t part, size_t cell, int64_t index);
    /* Whether a sample is in a journal of others. */
    int (*known)(void *arg, const char *key, int64_t index);
    /* Every sample of the unit is in the journal, or in one of others. */
    int (*done)(void *arg, const eval_unit *unit, pal_error *err);
    /* Called in the end, however it came to it. */
    void (*end)(void *arg);
    /* Set by the evaluation before begin: shows a line for people. */
    void (*note)(void *note_arg, const char *text);
    void *note_arg;
    void *arg;
} eval_share;

#endif
