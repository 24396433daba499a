/* Weights shared out among the workers in blocks of outputs, each read once for all rows.
 * Weights that lie elsewhere are multiplied as bf16, or expanded block by block on their way. */
#include "models/engine/linear_rows.h"

#include "models/engine/kernels.h"

/* Outputs of a task: so many that workers end at about the same time, and take no task too often. */
enum { BLOCK_REALS = 9216, BLOCK_MOST = 32, BLOCK_STEP = 4 };

static size_t block_of(size_t in)
{
    const size_t most = BLOCK_REALS / in / BLOCK_STEP * BLOCK_STEP;
    return most < BLOCK_STEP ? BLOCK_STEP : most > BLOCK_MOST ? BLOCK_MOST : most;
}

typedef struct rows_job {
    size_t rows, in, out, block;
    const real *x;
    size_t ldx;
    matrix w;
    const real *bias;
    real *y;
    size_t ldy;
    real *expanded; /* [workers, block, in] */
} rows_job;

static void multiply_source(const rows_job *j, size_t first, size_t count, real *room)
{
    const kernels *k = kernels_get();
    const weight_source *s = j->w.source;
    for (size_t there = 0; count > 0; first += there, count -= there) {
        const uint16_t *half = s->bf16 ? s->bf16(s->arg, j->w.first + first, &there) : NULL;
        if (!half) break;
        there = there < count ? there : count;
        k->row_products_bf16(j->y + first, j->ldy, j->x, j->ldx, j->rows, half, j->in, there, j->in);
    }
    if (count == 0) return;
    s->read(s->arg, j->w.first + first, count, 0, j->in, room);
    k->row_products(j->y + first, j->ldy, j->x, j->ldx, j->rows, room, j->in, count, j->in);
}

static void rows_task(void *arg, int task, int worker)
{
    const rows_job *j = arg;
    const kernels *k = kernels_get();
    const size_t first = (size_t)task * j->block, left = j->out - first, count = left < j->block ? left : j->block;
    if (j->w.w)
        k->row_products(j->y + first, j->ldy, j->x, j->ldx, j->rows, j->w.w + first * j->in, j->in, count, j->in);
    else
        multiply_source(j, first, count, j->expanded + (size_t)worker * j->block * j->in);
    for (size_t row = 0; j->bias && row < j->rows; row++)
        k->axpy(j->y + row * j->ldy + first, 1, j->bias + first, count);
}

void linear_rows(pool *p, rows r, size_t in, size_t out, const real *x, size_t ldx, matrix w, const real *bias,
                 real *y, size_t ldy)
{
    rows_job job = {.rows = r.lanes * r.rows,
                    .in = in,
                    .out = out,
                    .block = block_of(in),
                    .x = x,
                    .ldx = ldx,
                    .w = w,
                    .bias = bias,
                    .y = y,
                    .ldy = ldy};
    if (!w.w) job.expanded = pool_scratch(p, (size_t)pool_threads(p) * job.block * in * sizeof(real));
    pool_run(p, (int)((out + job.block - 1) / job.block), rows_task, &job);
}
