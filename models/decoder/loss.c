/* Logits, losses and the likeliest tokens of a segment: whole, by tiles of rows, or by blocks of columns that no
 * memory holds. */
#include "models/decoder/pass.h"
#include "models/decoder/pass_parts.h"

static void make_logits(const pass *p, pool *workers, rows r, const real *x, real *logits)
{
    const decoder *d = p->d;
    const size_t width = (size_t)d->cfg.d_model, vocab = (size_t)d->cfg.vocab;
    linear_forward(workers, r, width, vocab, x, width, matrix_of(p, d->output),
                   d->cfg.output_bias ? weight_of(p, d->output_bias) : NULL, logits, vocab);
}

real *pass_logits(pass *p, size_t index)
{
    make_logits(p, p->head, token_rows_of(p), head_input(p, &p->slot[index]), p->logits);
    return p->logits;
}

/* Of wide outputs the log-sum-exp is that of the blocks' own: so the logits need not lie in memory. */
static int loss_by_blocks(const decoder *d)
{
    return gemm_is_wide((size_t)d->cfg.d_model, (size_t)d->cfg.vocab);
}

static size_t loss_blocks(const decoder *d)
{
    return ((size_t)d->cfg.vocab + WIDE_COLUMNS - 1) / WIDE_COLUMNS;
}

static real log_sum_exp_of(const decoder *d, real *logits)
{
    const size_t vocab = (size_t)d->cfg.vocab;
    const kernels *k = kernels_get();
    if (!loss_by_blocks(d)) return k->log_sum_exp(logits, vocab);
    size_t blocks = 0; /* block by block over what is no longer wanted */
    for (size_t at = 0; at < vocab; at += WIDE_COLUMNS)
        logits[blocks++] = k->log_sum_exp(logits + at, vocab - at < WIDE_COLUMNS ? vocab - at : WIDE_COLUMNS);
    return k->log_sum_exp(logits, blocks);
}

/* The loss of row `row` from its logits, which become the gradient where there is a weight. */
static void row_loss(const loss_job *j, size_t row, real *logits)
{
    const size_t vocab = (size_t)j->p->d->cfg.vocab;
    const kernels *k = kernels_get();
    if (j->argmax)
        j->argmax[row] =
            decoder_choice(j->p->d, logits, head_input(j->p, &j->p->slot[0]) + row * (size_t)j->p->d->cfg.d_model);
    const real wanted = logits[j->targets[row]];
    const real lse = j->weight ? k->softmax(logits, 0, vocab, vocab, 1) : log_sum_exp_of(j->p->d, logits);
    if (j->nll) j->nll[row] = (double)lse - (double)wanted;
    if (j->weight) {
        k->scale(logits, (real)j->weight[row], vocab);
        logits[j->targets[row]] -= (real)j->weight[row];
    }
}

static void loss_block(void *arg, int task, int worker)
{
    (void)worker;
    const loss_job *j = arg;
    const size_t begin = (size_t)task * ROW_BLOCK;
    for (size_t i = begin; i < begin + ROW_BLOCK && i < j->count; i++)
        row_loss(j, i, j->p->logits + i * (size_t)j->p->d->cfg.vocab);
}

void pass_run_loss(pass *p, loss_job *job)
{
    pool_run(p->head, (int)((job->count + ROW_BLOCK - 1) / ROW_BLOCK), loss_block, job);
}

/* Logits and losses, a tile after the other in one place that the worker's cache keeps. */
static void score_strip(void *arg, int task, int worker)
{
    (void)worker;
    const loss_job *j = arg;
    pass *p = j->p;
    const size_t n = (size_t)p->d->cfg.segment, width = (size_t)p->d->cfg.d_model, vocab = (size_t)p->d->cfg.vocab;
    const size_t in_lane = (n + j->tile - 1) / j->tile;
    real *logits = p->logits + (size_t)task * j->tile * vocab;
    for (size_t i = (size_t)task; i < p->lanes * in_lane; i += j->strips) {
        const size_t at = i % in_lane * j->tile, row = i / in_lane * n + at;
        const size_t count = n - at < j->tile ? n - at : j->tile;
        make_logits(p, NULL, (rows){1, count}, head_input(p, &p->slot[0]) + row * width, logits);
        for (size_t k = 0; k < count; k++) row_loss(j, row + k, logits + k * vocab);
    }
}

/* Losses from blocks of logits, which are nowhere else. */
typedef struct block_losses {
    const loss_job *j;
    size_t blocks;
    real *lse, *top, *wanted; /* [R, blocks] of a block, its largest logit, and [R] the target's */
    int32_t *at;              /* [R, blocks] where that is */
} block_losses;

static void take_logits(void *arg, size_t row, size_t col, const real *logits, size_t cols)
{
    const block_losses *b = arg;
    const kernels *k = kernels_get();
    const size_t block = row * b->blocks + col / WIDE_COLUMNS, target = (size_t)b->j->targets[row];
    b->lse[block] = k->log_sum_exp(logits, cols);
    if (target >= col && target < col + cols) b->wanted[row] = logits[target - col];
    if (!b->j->argmax) return;
    const size_t top = k->argmax(logits, cols);
    b->top[block] = logits[top];
    b->at[block] = (int32_t)(col + top);
}

static void end_losses(void *arg, int task, int worker)
{
    (void)worker;
    const block_losses *b = arg;
    const kernels *k = kernels_get();
    const size_t begin = (size_t)task * ROW_BLOCK;
    for (size_t i = begin; i < begin + ROW_BLOCK && i < b->j->p->tokens; i++) {
        const size_t first = i * b->blocks;
        const real lse = k->log_sum_exp(b->lse + first, b->blocks);
        if (b->j->nll) b->j->nll[i] = (double)lse - (double)b->wanted[i];
        /* Equal weights have equal logits, to the bit: the first of the largest is decoder_choice's. */
        if (b->j->argmax) b->j->argmax[i] = b->at[first + k->argmax(b->top + first, b->blocks)];
    }
}

/* 0: not done. What blocks leave takes the place of logits. */
static int score_blocks(pass *p, const loss_job *j)
{
    const decoder *d = p->d;
    const size_t width = (size_t)d->cfg.d_model, blocks = loss_blocks(d), room = p->tokens * blocks;
    if (!loss_by_blocks(d)) return 0;
    block_losses b = {.j = j,
                      .blocks = blocks,
                      .lse = p->logits,
                      .top = p->logits + room,
                      .wanted = p->logits + 2 * room,
                      .at = (int32_t *)(p->logits + 2 * room + p->tokens)};
    if (!linear_forward_to(p->head, token_rows_of(p), width, (size_t)d->cfg.vocab, head_input(p, &p->slot[0]),
                           width, matrix_of(p, d->output),
                           d->cfg.output_bias ? weight_of(p, d->output_bias) : NULL, take_logits, &b))
        return 0;
    pool_run(p->head, (int)((p->tokens + ROW_BLOCK - 1) / ROW_BLOCK), end_losses, &b);
    return 1;
}

void pass_score(pass *p, const scored_tokens *t)
{
    loss_job job = {.p = p, .targets = t->targets, .nll = t->nll, .argmax = t->argmax, .count = p->tokens};
    if (score_blocks(p, &job)) return;
    job.tile = decoder_is_left(p->d)
                   ? 0
                   : linear_tile((size_t)p->d->cfg.segment, (size_t)p->d->cfg.d_model, (size_t)p->d->cfg.vocab);
    if (job.tile == 0 || p->tokens < job.tile) {
        pass_logits(p, 0);
        pass_run_loss(p, &job);
        return;
    }
    const size_t room = p->tokens / job.tile, threads = (size_t)pool_threads(p->head);
    job.strips = room < threads ? room : threads;
    pool_run(p->head, (int)job.strips, score_strip, &job);
}
