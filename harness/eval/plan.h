/* What an evaluation consists of: parts, each one model at one length (or on one cell of whole documents), whose
 * samples run side by side in groups. */
#ifndef PAL_PLAN_H
#define PAL_PLAN_H

#include "harness/eval/request.h"
#include "harness/eval/speed.h"
#include "harness/journal/cells.h"

/* FLOPs of tokens that are only read, and of those that are scored or made; apart from them what looking back
 * further than SPEED_NEAR segments takes, which goes at a speed of its own (speed_far). */
typedef struct plan_flops {
    double read, scored, far;
} plan_flops;

typedef struct plan_part {
    const eval_model *model;
    int zeroed;     /* the control memory=zeroed */
    int64_t length; /* 0: whole documents */
    const task_cell **cell;
    size_t *place; /* of each cell in the request */
    size_t cell_count;
    int64_t most; /* samples of a cell that are taken: fewer than its own where the task left the number open */
    int keep;     /* plan_choose: the rest of the part comes later, to the same runner (BATCH_KEEP) */
    batch_item *item; /* samples to do, in the order of batch_cut */
    size_t count;
    batch_group *group;
    size_t group_count;
    size_t lanes;
    int shares;              /* a stream may read what samples have in common */
    uint64_t tokens, scored; /* of the longest sample of the cells, done or not */
    int64_t samples;         /* of all cells, done or not */
    double all_tokens;       /* of the samples to do */
    double work;             /* tokens that pass through the model for them: a shared start counts once */
    double flops;            /* of that work, and of continuations as long as the true answers: the sum of */
    plan_flops many;         /* what is done in several lanes, */
    plan_flops alone;        /* and in one: a shared start, or a sample that outlasts those beside it */
    double whole;            /* FLOPs of all samples, done or not; on no machine different */
    double passing;          /* seconds of a token that is passed over then */
    uint64_t round; /* tokens that are read before a stream comes back to a state it had (models/stream/cycle.h),
                       from its start and again after a needle; 0: it does not, as far as is known */
    char skip[160]; /* why the model cannot take this part; "" if it can */
} plan_part;

typedef struct plan {
    plan_part *part; /* short lengths first; all models at one length before the next */
    size_t *order;   /* of running them: at one length those first that take less work */
    size_t count;
} plan;

/* Set *take when a sample of the part's cell is to be done, and then item->key and item->resume. NULL: all are. */
typedef int plan_wanted(void *arg, plan_part *p, size_t cell, batch_item *item, int *take, pal_error *err);

/* Where a task leaves the number of samples open, a part takes task_cell.least of each cell, and as many more as
 * cost no more than PLAN_OPEN FLOPs. `speeds` tells which streams come round; NULL: none is taken to. PAL_USAGE:
 * one lane of a model needs more memory than there is. */
#define PLAN_OPEN 2e12
int plan_make(plan *out, eval_request *r, speed_book *speeds, plan_wanted *wanted, void *arg, pal_error *err);
/* The first half of plan_make: every part with all of its samples, none of them done, in groups of as many lanes
 * as on any machine. Processes that share an evaluation deal what is listed here. */
int plan_list(plan *out, eval_request *r, speed_book *speeds, pal_error *err);
/* The second half, for one part: leave the samples that are wanted, in groups that fit this machine. May be called
 * again. */
int plan_choose(plan_part *p, eval_request *r, plan_wanted *wanted, void *arg, pal_error *err);
/* FLOPs of a group: of its samples by themselves, and of the start that they share when it is read anew. */
typedef struct plan_share {
    double own, start;
} plan_share;
plan_share plan_group_flops(const plan_part *p, const batch_group *g);
void plan_free(plan *p);
/* Set `round`, and the work that is then left. */
void plan_part_round(plan_part *p, uint64_t tokens);
/* The seconds that the part is expected to take; what is not known of the machine's speed is measured. */
int plan_part_time(const eval_request *r, const plan_part *p, speed_book *speeds, double *seconds, pal_error *err);
/* Bytes that so many samples of the part side by side take beside the model's weights. */
size_t plan_part_bytes(const plan_part *p, const eval_request *r, size_t lanes);
/* Samples of a cell of the part. */
int64_t plan_samples(const plan_part *p, size_t cell);

#endif
