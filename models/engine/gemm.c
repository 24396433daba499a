/* Matrix products cut into blocks for the workers: forward, and both halves of backward.
 * The cuts depend on shapes and on the BLAS core alone. */
#include "models/engine/gemm.h"

#include "models/engine/blas.h"
#include "models/engine/kernels.h"
#include "models/engine/wide.h"

#include <string.h>

/* The largest sides of a task's block: big enough to amortise packing, small enough that one lane of 512 rows
 * gives a few tasks. A single block is halved when the halves are still worth a task. */
enum {
    BLOCK_ROWS = 256,
    BLOCK_COLS = 512,
    BLOCK_WEIGHT = 512, /* both sides of a block of dW, whose inner dimension is long */
    HALF_COLS = 192,
    HALF_WEIGHT = 64
};

/* Since 0.3.17 OpenBLAS's Skylake-X family multiplies matrices of up to 10^6 multiply-adds as they lie, without
 * packing them: the fastest way it has, as long as B is not transposed. Products are cut to these sides for it.
 * A panel of B (inner x cols) stays in the first-level cache. Rows of X longer than DIRECT_LONGEST are better
 * packed: they would be fetched in pieces too short for the hardware to read ahead. */
enum {
    DIRECT_COLS = 64,
    DIRECT_ROWS = 64,
    DIRECT_INNER = 128,
    DIRECT_ROWS_TA = 128,
    DIRECT_INNER_TA = 64,
    DIRECT_LONGEST = 512
};

/* Written by gemm_setup alone, before other threads start. */
static const tile_kernel *wide_with;

int gemm_setup(int threads, pal_error *err)
{
    PAL_TRY(blas_open(threads, err));
    wide_with = blas_core_asked() ? NULL : wide_kernel();
    return PAL_OK;
}

int gemm_is_wide(size_t in, size_t out)
{
    return wide_with && in >= WIDE_LEAST && out >= WIDE_LEAST;
}

const char *gemm_wide_name(void)
{
    return wide_with ? wide_with->name : "";
}

const char *gemm_core(void)
{
    return blas_core();
}

static int has_direct(void)
{
    const char *core = gemm_core();
    return strcmp(core, "SkylakeX") == 0 || strcmp(core, "Cooperlake") == 0 || strcmp(core, "SapphireRapids") == 0;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

void gemm(int ta, int tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda, const real *b,
          size_t ldb, real beta, real *c, size_t ldc)
{
    if (tb || k == 0 || !has_direct()) {
        blas_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    const size_t rows_step = ta ? DIRECT_ROWS_TA : DIRECT_ROWS, inner_step = ta ? DIRECT_INNER_TA : DIRECT_INNER;
    for (size_t inner = 0; inner < k; inner += inner_step) {
        for (size_t col = 0; col < n; col += DIRECT_COLS) {
            for (size_t row = 0; row < m; row += rows_step) {
                blas_gemm(ta, 0, min_size(rows_step, m - row), min_size(DIRECT_COLS, n - col),
                          min_size(inner_step, k - inner), alpha, a + (ta ? inner * lda + row : row * lda + inner),
                          lda, b + inner * ldb + col, ldb, inner ? 1 : beta, c + row * ldc + col, ldc);
            }
        }
    }
}

void gemm_yardstick(size_t side, const real *a, const real *b, real *c)
{
    blas_gemm(0, 0, side, side, side, 1, a, side, b, side, 0, c, side);
}

/* `total` cut into equal blocks of at most `largest`; the size is a multiple of 16 and the last may be short. */
typedef struct split {
    size_t total, size, count;
} split;

static split split_make(size_t total, size_t largest)
{
    const size_t count = (total + largest - 1) / largest;
    if (count == 0) return (split){0, 0, 0};
    const size_t size = ((total + count - 1) / count + 15) / 16 * 16;
    return (split){total, size, (total + size - 1) / size};
}

static size_t split_length(const split *s, size_t index)
{
    const size_t left = s->total - index * s->size;
    return left < s->size ? left : s->size;
}

/* One product Y = X op(W) + (bias or old Y), in tasks of row block x column block. */
typedef struct product {
    split row, col;
    const kernels *kernel;
    size_t lane_rows, inner;
    const real *x, *w, *panels, *bias;
    const weight_source *source; /* of w, where it is NULL, */
    size_t source_first;         /* from this row on; */
    size_t w_first;              /* then w is expanded from this column of Y on */
    real *expanded;              /* room for that of each worker */
    size_t ldx, ldw;
    int transpose_w, accumulate;
    real *y;
    size_t ldy;
} product;

/* A panel: `depth` inner rows of `cols` columns of op(W), from (inner, col) on. Whole matrices are stored column
 * block after column block, each panel of one on the heels of the panel above it. */
static size_t panel_offset(size_t inner_total, size_t inner, size_t col, size_t cols)
{
    return col * inner_total + inner * cols;
}

static const real *make_panel(const product *p, size_t inner, size_t depth, size_t col, size_t cols, real *panel)
{
    if (p->transpose_w) {
        p->kernel->transpose(panel, cols, p->w + (col - p->w_first) * p->ldw + inner, p->ldw, cols, depth);
    } else {
        for (size_t i = 0; i < depth; i++)
            memcpy(panel + i * cols, p->w + (inner + i) * p->ldw + col, cols * sizeof *panel);
    }
    return panel;
}

static void fill_bias(const product *p, size_t m, size_t first, size_t n, real *c)
{
    for (size_t i = 0; i < m; i++) memcpy(c + i * p->ldy, p->bias + first, n * sizeof *c);
}

/* C[m,n] = A[m,inner] op(W) + beta C for the columns of W from `first` on, through panels that lie as direct
 * products want them. */
static void product_direct(const product *p, size_t m, size_t first, size_t n, const real *a, real beta, real *c)
{
    _Alignas(64) real panel[DIRECT_INNER * DIRECT_COLS];
    for (size_t inner = 0; inner < p->inner; inner += DIRECT_INNER) {
        const size_t depth = min_size(DIRECT_INNER, p->inner - inner);
        for (size_t col = 0; col < n; col += DIRECT_COLS) {
            const size_t cols = min_size(DIRECT_COLS, n - col);
            const real *b = p->panels ? p->panels + panel_offset(p->inner, inner, first + col, cols)
                                      : make_panel(p, inner, depth, first + col, cols, panel);
            for (size_t row = 0; row < m; row += DIRECT_ROWS) {
                const size_t height = min_size(DIRECT_ROWS, m - row);
                if (p->bias && inner == 0) fill_bias(p, height, first + col, cols, c + row * p->ldy + col);
                blas_gemm(0, 0, height, cols, depth, 1, a + row * p->ldx + inner, p->ldx, b, cols,
                          inner ? 1 : beta, c + row * p->ldy + col, p->ldy);
            }
        }
    }
}

static void multiply_block(const product *p, size_t m, size_t col, size_t n, const real *x, real *y)
{
    const real beta = p->bias || p->accumulate ? 1 : 0;
    if (p->inner <= DIRECT_LONGEST && has_direct()) {
        product_direct(p, m, col, n, x, beta, y);
        return;
    }
    if (p->bias) fill_bias(p, m, col, n, y);
    blas_gemm(0, p->transpose_w, m, n, p->inner, 1, x, p->ldx,
              p->w + (p->transpose_w ? (col - p->w_first) * p->ldw : col), p->ldw, beta, y, p->ldy);
}

static void product_task(void *arg, int task, int worker)
{
    const product *p = arg;
    const size_t col_block = (size_t)task % p->col.count, row_block = (size_t)task / p->col.count;
    const size_t lane = row_block / p->row.count, in_lane = row_block % p->row.count;
    const size_t row = lane * p->lane_rows + in_lane * p->row.size, m = split_length(&p->row, in_lane);
    const size_t col = col_block * p->col.size, n = split_length(&p->col, col_block);
    const real *x = p->x + row * p->ldx;
    real *y = p->y + row * p->ldy + col;
    if (!p->source) {
        multiply_block(p, m, col, n, x, y);
        return;
    }
    product here = *p;
    real *w = p->expanded + (size_t)worker * BLOCK_COLS * p->inner;
    p->source->read(p->source->arg, p->source_first + col, n, 0, p->inner, w);
    here.w = w;
    here.w_first = col;
    multiply_block(&here, m, col, n, x, y);
}

static void product_run(pool *workers, rows r, size_t cols, product *p)
{
    p->kernel = kernels_get();
    p->lane_rows = r.rows;
    p->row = split_make(r.rows, BLOCK_ROWS);
    p->col = split_make(cols, BLOCK_COLS);
    if (p->row.count * p->col.count == 1 && cols >= 2 * HALF_COLS) p->col = split_make(cols, (cols + 1) / 2);
    if (p->col.size % DIRECT_COLS && p->col.count > 1) p->panels = NULL; /* its column blocks are others */
    pool_run(workers, (int)(r.lanes * p->row.count * p->col.count), product_task, p);
}

int matrix_uses_panels(size_t in, size_t out)
{
    (void)out; /* parts of a matrix may be narrow where the whole is wide */
    return in <= DIRECT_LONGEST && has_direct();
}

void matrix_pack(size_t in, size_t out, const real *w, real *panels)
{
    const product job = {.kernel = kernels_get(), .inner = in, .w = w, .ldw = in, .transpose_w = 1};
    for (size_t col = 0; col < out; col += DIRECT_COLS) {
        const size_t cols = min_size(DIRECT_COLS, out - col);
        for (size_t inner = 0; inner < in; inner += DIRECT_INNER)
            make_panel(&job, inner, min_size(DIRECT_INNER, in - inner), col, cols,
                       panels + panel_offset(in, inner, col, cols));
    }
}

matrix matrix_rows(matrix m, size_t in, size_t first, size_t count)
{
    const int whole = first % DIRECT_COLS == 0 && count % DIRECT_COLS == 0;
    if (!m.w) return (matrix){NULL, NULL, m.source, m.first + first};
    return (matrix){m.w + first * in, m.panels && whole ? m.panels + panel_offset(in, 0, first, 0) : NULL, NULL,
                    0};
}

static size_t expanded_bytes(const pool *p, size_t in)
{
    return (size_t)pool_threads(p) * BLOCK_COLS * in * sizeof(real);
}

int gemm_reserve(pool *p, size_t in, pal_error *err)
{
    if (pool_scratch(p, expanded_bytes(p, in))) return PAL_OK;
    return pal_fail(err, PAL_INTERNAL, "out of memory for weights of %zu columns on their way into a product", in);
}

static wide_product wide_forward(rows r, size_t in, size_t out, const real *x, size_t ldx, matrix w,
                                 const real *bias)
{
    return (wide_product){.kernel = wide_with,
                          .left = {.x = x, .ld = ldx},
                          .right = {.x = w.w, .ld = in},
                          .source = w.w ? NULL : w.source,
                          .first = w.first,
                          .rows = r.lanes * r.rows,
                          .cols = out,
                          .depth = in,
                          .bias = bias};
}

int linear_forward_to(pool *p, rows r, size_t in, size_t out, const real *x, size_t ldx, matrix w,
                      const real *bias, wide_take *take, void *arg)
{
    if (!gemm_is_wide(in, out)) return 0;
    wide_product wide = wide_forward(r, in, out, x, ldx, w, bias);
    wide.take = take;
    wide.arg = arg;
    return wide_multiply(p, &wide);
}

void linear_forward(pool *p, rows r, size_t in, size_t out, const real *x, size_t ldx, matrix w, const real *bias,
                    real *y, size_t ldy)
{
    if (gemm_is_wide(in, out)) {
        wide_product wide = wide_forward(r, in, out, x, ldx, w, bias);
        wide.c = y;
        wide.ldc = ldy;
        wide_multiply(p, &wide);
        return;
    }
    product job = {.inner = in,
                   .x = x,
                   .ldx = ldx,
                   .w = w.w,
                   .panels = w.panels,
                   .source = w.w ? NULL : w.source,
                   .source_first = w.first,
                   .expanded = w.w ? NULL : pool_scratch(p, expanded_bytes(p, in)),
                   .ldw = in,
                   .transpose_w = 1,
                   .bias = bias,
                   .y = y,
                   .ldy = ldy};
    product_run(p, r, out, &job);
}

size_t linear_tile(size_t rows_of_lane, size_t in, size_t out)
{
    if (gemm_is_wide(in, out)) return 0; /* small tiles of rows would pack the weights too often */
    const split row = split_make(rows_of_lane, BLOCK_ROWS);
    const int whole = row.count == 1 || row.size % DIRECT_ROWS == 0;
    return whole && in <= DIRECT_LONGEST && has_direct() ? DIRECT_ROWS : 0;
}

void linear_backward_input(pool *p, rows r, size_t in, size_t out, const real *dy, size_t lddy, const real *w,
                           real *dx, size_t lddx, int accumulate)
{
    if (gemm_is_wide(in, out)) {
        const wide_product wide = {.kernel = wide_with,
                                   .left = {.x = dy, .ld = lddy},
                                   .right = {.x = w, .ld = in, .across = 1},
                                   .rows = r.lanes * r.rows,
                                   .cols = in,
                                   .depth = out,
                                   .accumulate = accumulate,
                                   .c = dx,
                                   .ldc = lddx};
        wide_multiply(p, &wide);
        return;
    }
    product job = {
        .inner = out, .x = dy, .ldx = lddy, .w = w, .ldw = in, .accumulate = accumulate, .y = dx, .ldy = lddx};
    product_run(p, r, in, &job);
}

/* dW in tasks of blocks of dW; each sums over all rows of all lanes. */
typedef struct weight_product {
    const kernels *kernel;
    split out, in;
    rows r;
    const real *x, *dy;
    size_t ldx, lddy;
    real *dw, *dbias;
} weight_product;

/* Rows of a lane first, then lanes: shorter chains of additions than one running sum. */
static void add_column_sums(const weight_product *p, size_t col, size_t cols)
{
    real sum[BLOCK_WEIGHT];
    for (size_t lane = 0; lane < p->r.lanes; lane++) {
        const real *dy = p->dy + lane * p->r.rows * p->lddy + col;
        memset(sum, 0, sizeof sum);
        for (size_t i = 0; i < p->r.rows; i++) p->kernel->axpy(sum, 1, dy + i * p->lddy, cols);
        p->kernel->axpy(p->dbias + col, 1, sum, cols);
    }
}

static void weight_task(void *arg, int task, int worker)
{
    (void)worker;
    const weight_product *p = arg;
    const size_t in_block = (size_t)task % p->in.count, out_block = (size_t)task / p->in.count;
    const size_t row = out_block * p->out.size, m = split_length(&p->out, out_block);
    const size_t col = in_block * p->in.size, n = split_length(&p->in, in_block);
    gemm(1, 0, m, n, p->r.lanes * p->r.rows, 1, p->dy + row, p->lddy, p->x + col, p->ldx, 1,
         p->dw + row * p->in.total + col, p->in.total);
    if (p->dbias && in_block == 0) add_column_sums(p, row, m);
}

static void bias_task(void *arg, int task, int worker)
{
    (void)worker;
    const weight_product *p = arg;
    add_column_sums(p, (size_t)task * p->out.size, split_length(&p->out, (size_t)task));
}

static void backward_weight_wide(pool *p, weight_product *job)
{
    const wide_product wide = {.kernel = wide_with,
                               .left = {.x = job->dy, .ld = job->lddy, .across = 1},
                               .right = {.x = job->x, .ld = job->ldx, .across = 1},
                               .rows = job->out.total,
                               .cols = job->in.total,
                               .depth = job->r.lanes * job->r.rows,
                               .accumulate = 1,
                               .c = job->dw,
                               .ldc = job->in.total};
    wide_multiply(p, &wide);
    if (job->dbias) pool_run(p, (int)job->out.count, bias_task, job);
}

void linear_backward_weight(pool *p, rows r, size_t in, size_t out, const real *x, size_t ldx, const real *dy,
                            size_t lddy, real *dw, real *dbias)
{
    weight_product job = {.kernel = kernels_get(),
                          .out = split_make(out, BLOCK_WEIGHT),
                          .in = split_make(in, BLOCK_WEIGHT),
                          .r = r,
                          .x = x,
                          .ldx = ldx,
                          .dy = dy,
                          .lddy = lddy,
                          .dw = dw,
                          .dbias = dbias};
    if (!dw) {
        if (dbias) pool_run(p, (int)job.out.count, bias_task, &job);
        return;
    }
    if (gemm_is_wide(in, out)) {
        backward_weight_wide(p, &job);
        return;
    }
    if (job.out.count * job.in.count == 1) {
        if (out > in && out >= 2 * HALF_WEIGHT)
            job.out = split_make(out, (out + 1) / 2);
        else if (in >= 2 * HALF_WEIGHT)
            job.in = split_make(in, (in + 1) / 2);
    }
    pool_run(p, (int)(job.out.count * job.in.count), weight_task, &job);
}
