/* An evaluation at work: what its files share. eval.c plans and runs what one process does alone; eval_units.c
 * what it does of an evaluation that several share. */
#ifndef PAL_EVAL_PARTS_H
#define PAL_EVAL_PARTS_H

#include "harness/cli/progress.h"
#include "harness/eval/eval.h"
#include "harness/eval/plan.h"

/* What the runner keeps for a part of the plan. */
typedef struct part_cells {
    char (*key)[RESULT_KEY]; /* of each cell */
    size_t shown;            /* cells that were reported, in their order */
} part_cells;

typedef struct eval_state {
    eval_request *request;
    const eval_watch *watch;
    pool *pool;
    speed_book *speeds;
    journal *journal;
    results *results;
    plan plan;
    part_cells *cells;              /* of each part */
    char partial[KV_TEXT_MAX + 16]; /* directory of checkpoints inside samples */
    progress progress;
    double *cost; /* of each part: seconds, or FLOPs where the whole is soon done */
    double work;  /* of the parts before the current one */
    double part_began, part_computed;
    plan_part *current;
    batch_runner *runner; /* of the current part: it keeps what samples share from one unit to the next */
    eval_share *share;    /* NULL: nobody shares this evaluation */
} eval_state;

/* A line for the watcher. */
__attribute__((format(printf, 2, 3))) void eval_tell(eval_state *u, const char *format, ...);
/* Cells of the part that are complete and were not told of. */
void eval_tell_complete(eval_state *u, const plan_part *p);
int eval_describe(const eval_state *u, const plan_part *p, size_t cell, result_cell *out, pal_error *err);
/* A plan_wanted with the state as its argument: the samples that no journal holds, of the unit in hand. */
int eval_wanted(void *state, plan_part *p, size_t cell, batch_item *item, int *take, pal_error *err);
/* Tell that it begins, with so many samples to do. */
void eval_begin(eval_state *u, size_t pending);
/* PAL_USAGE: no model can take any of the cells. */
int eval_all_skipped(const eval_state *u, pal_error *err);
/* Open the journal of u->results, with what it holds taken in. */
int eval_open_journal(eval_state *u, pal_error *err);
/* Run what was chosen of a part. */
int eval_run_part(eval_state *u, plan_part *p, pal_error *err);
/* eval_units.c: run the units of a shared evaluation, one after the other. */
int eval_run_units(eval_state *u, FILE *log, pal_error *err);

#endif
