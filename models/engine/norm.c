/* Norms of rows in tasks of NORM_ROWS rows. A task sums the gradients of its rows; the tasks' sums are added in
 * their order, so that the bits do not depend on the number of threads. */
#include "models/engine/norm.h"

#include "models/engine/kernels.h"

#include <string.h>

typedef struct norm_job {
    const row_norm *n;
    size_t count;
    real *sum, *y, *mean, *rstd;
    const real *add, *dy, *x, *saved_mean, *saved_rstd;
    real *dx, *partial;
} norm_job;

static size_t tasks_of(size_t count)
{
    return (count + NORM_ROWS - 1) / NORM_ROWS;
}

static size_t end_of(const norm_job *j, size_t task)
{
    return (task + 1) * NORM_ROWS < j->count ? (task + 1) * NORM_ROWS : j->count;
}

static void layer_forward(const row_norm *n, const real *x, real *y, real *mean, real *rstd)
{
    kernels_get()->norm(y, x, n->gain, n->bias, n->cols, n->eps, mean, rstd);
}

static void layer_backward(const row_norm *n, const real *dy, const real *x, real mean, real rstd, real *dx,
                           real *dgain, real *dbias)
{
    kernels_get()->norm_backward(dx, dgain, dbias, dy, x, n->gain, n->cols, mean, rstd);
}

static void rms_forward(const row_norm *n, const real *x, real *y, real *mean, real *rstd)
{
    *mean = 0;
    kernels_get()->rms(y, x, n->gain, n->cols, n->eps, rstd);
}

static void rms_backward(const row_norm *n, const real *dy, const real *x, real mean, real rstd, real *dx,
                         real *dgain, real *dbias)
{
    (void)mean, (void)dbias;
    kernels_get()->rms_backward(dx, dgain, dy, x, n->gain, n->cols, rstd);
}

const norm_op norm_ops[NORM_KINDS] = {
    [NORM_LAYER] = {1, layer_forward, layer_backward},
    [NORM_RMS] = {0, rms_forward, rms_backward},
};

void norm_row(const row_norm *n, const real *x, real *y, real *mean, real *rstd)
{
    n->op->forward(n, x, y, mean, rstd);
}

static void forward_task(void *arg, int task, int worker)
{
    (void)worker;
    const norm_job *j = arg;
    const size_t cols = j->n->cols;
    for (size_t i = (size_t)task * NORM_ROWS; i < end_of(j, (size_t)task); i++) {
        if (j->add) kernels_get()->axpy(j->sum + i * cols, 1, j->add + i * cols, cols);
        norm_row(j->n, j->sum + i * cols, j->y + i * cols, &j->mean[i], &j->rstd[i]);
    }
}

void norm_rows(pool *p, const row_norm *n, size_t count, real *sum, const real *add, real *y, real *mean,
               real *rstd)
{
    norm_job job = {.n = n, .count = count, .sum = sum, .add = add, .y = y, .mean = mean, .rstd = rstd};
    pool_run(p, (int)tasks_of(count), forward_task, &job);
}

size_t norm_partial_reals(size_t count, size_t cols)
{
    return tasks_of(count) * 2 * cols;
}

static void backward_task(void *arg, int task, int worker)
{
    (void)worker;
    const norm_job *j = arg;
    const size_t cols = j->n->cols;
    real *dgain = j->partial + (size_t)task * 2 * cols, *dbias = dgain + cols;
    memset(dgain, 0, 2 * cols * sizeof *dgain);
    for (size_t i = (size_t)task * NORM_ROWS; i < end_of(j, (size_t)task); i++)
        j->n->op->backward(j->n, j->dy + i * cols, j->x + i * cols, j->saved_mean[i], j->saved_rstd[i],
                           j->dx ? j->dx + i * cols : NULL, dgain, dbias);
}

void norm_rows_backward(pool *p, const row_norm *n, size_t count, const real *dy, const real *x, const real *mean,
                        const real *rstd, real *dx, real *partial)
{
    const kernels *k = kernels_get();
    norm_job job = {.n = n,
                    .count = count,
                    .dy = dy,
                    .x = x,
                    .saved_mean = mean,
                    .saved_rstd = rstd,
                    .dx = dx,
                    .partial = partial};
    pool_run(p, (int)tasks_of(count), backward_task, &job);
    for (size_t task = 0; n->dgain && task < tasks_of(count); task++) {
        k->axpy(n->dgain, 1, partial + task * 2 * n->cols, n->cols);
        if (n->dbias) k->axpy(n->dbias, 1, partial + task * 2 * n->cols + n->cols, n->cols);
    }
}
