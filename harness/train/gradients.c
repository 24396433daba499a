/* The gradient of a step: parts of its lanes, each by itself, added in a tree whose shape hangs on the number of
 * parts alone. So one process and any number of ranks give the same bits; MPI adds nothing. */
#include "harness/train/trainer.h"

#include <string.h>

size_t gradients_blocks(int64_t parts, int ranks_count)
{
    size_t blocks = 1;
    for (int64_t own = parts / ranks_count; own > 1; own /= 2) blocks++;
    return ranks_count > 1 && blocks < 2 ? 2 : blocks;
}

/* A piece of two blocks; the pieces are independent of each other. */
enum { PIECE = 16384 };

typedef struct addition {
    real *to;
    const real *from;
    size_t count;
} addition;

static void add_task(void *arg, int task, int worker)
{
    const addition *a = arg;
    const size_t first = (size_t)task * PIECE, left = a->count - first, count = left < PIECE ? left : PIECE;
    (void)worker;
    for (size_t i = first; i < first + count; i++) a->to[i] += a->from[i];
}

static void add(const trainer *t, real *to, const real *from)
{
    addition a = {to, from, decoder_grad_reals(t->model)};
    pool_run(t->pool, (int)((a.count + PIECE - 1) / PIECE), add_task, &a);
}

static double part_weight(const batch *b, size_t part)
{
    const size_t tokens = b->lanes.lanes / b->parts * (size_t)b->length;
    double sum = 0;
    for (size_t i = part * tokens; i < (part + 1) * tokens; i++) sum += (double)b->weight[i];
    return sum;
}

/* The gradient of one part, scaled to its share of the step's loss. */
static void run_part(trainer *t, batch *b, size_t part, double total, real *grad)
{
    const size_t lanes = b->lanes.lanes / b->parts, at = part * lanes * (size_t)b->length;
    const size_t reals = decoder_grad_reals(t->model);
    const double share = total > 0 ? b->part_weight[part] / total : 0;
    const scored_tokens scored = {
        .tokens = b->tokens + at, .targets = b->targets + at, .weight = b->weight + at, .nll = b->nll + at};
    memset(grad, 0, reals * sizeof *grad);
    if (b->lead.before) window_put_caches(b->window, b->lead.before + part * lanes * b->lead.segments);
    b->part_loss[part] = window_step(b->window, (size_t)(b->length / t->model_cfg.segment), &scored,
                                     b->lanes.state + part * lanes, grad, b->write_penalty);
    if (b->parts == 1) return;
    b->part_loss[part] *= share;
    for (size_t i = 0; i < reals; i++) grad[i] *= (real)share;
}

/* This rank's parts; neighbours are added as soon as both are there. */
static void run_own(trainer *t, batch *b, double total)
{
    size_t top = 0;
    for (size_t k = 0; k < b->own_parts; k++) {
        run_part(t, b, b->own_first + k, total, t->grad + top++ * t->grad_stride);
        for (size_t pairs = k + 1; pairs % 2 == 0; pairs /= 2) {
            top--;
            add(t, t->grad + (top - 1) * t->grad_stride, t->grad + top * t->grad_stride);
        }
    }
}

/* Up the tree over ranks: both of a pair add the same two numbers, so all end with the same sum. */
static int add_ranks(trainer *t, pal_error *err)
{
    const size_t bytes = decoder_grad_reals(t->model) * sizeof *t->grad;
    real *theirs = t->grad + t->grad_stride;
    for (int distance = 1; distance < t->ranks.count; distance *= 2) {
        PAL_TRY(ranks_swap(&t->ranks, t->ranks.rank ^ distance, t->grad, theirs, bytes, err));
        add(t, t->grad, theirs);
    }
    return PAL_OK;
}

int gradients_step(trainer *t, batch *b, double *loss, pal_error *err)
{
    double total = 0;
    for (size_t p = 0; p < b->parts; p++) total += b->part_weight[p] = part_weight(b, p);
    run_own(t, b, total);
    if (t->ranks.count > 1) {
        const size_t tokens = b->lanes.lanes / (size_t)t->ranks.count * (size_t)b->length;
        PAL_TRY(add_ranks(t, err));
        PAL_TRY(ranks_gather_all(&t->ranks, b->part_loss, b->own_parts * sizeof *b->part_loss, err));
        PAL_TRY(ranks_gather(&t->ranks, b->nll, tokens * sizeof *b->nll, err));
    }
    *loss = 0;
    for (size_t p = 0; p < b->parts; p++) *loss += b->part_loss[p];
    return PAL_OK;
}
