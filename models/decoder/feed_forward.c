/* Feed-forward kinds and activations, one table each. Rows are activated in tasks of ACTIVE_ROWS; a row's bits
 * depend on nothing else. */
#include "models/decoder/feed_forward.h"

#include "models/engine/kernels.h"
#include "models/engine/linear_rows.h"

enum { ACTIVE_ROWS = 32 };

/* ---- activations ---- */

typedef struct activation_op {
    void (*forward)(const kernels *k, real *y, const real *x, size_t n);
    void (*backward)(const kernels *k, real *dx, const real *dy, const real *x, size_t n);
} activation_op;

#define ACTIVATION(name)                                                                                          \
    static void name##_forward(const kernels *k, real *y, const real *x, size_t n)                                \
    {                                                                                                             \
        k->name(y, x, n);                                                                                         \
    }                                                                                                             \
    static void name##_slope(const kernels *k, real *dx, const real *dy, const real *x, size_t n)                 \
    {                                                                                                             \
        k->name##_backward(dx, dy, x, n);                                                                         \
    }

ACTIVATION(gelu)
ACTIVATION(relu)
ACTIVATION(silu)

static const activation_op activations[ACTIVATION_KINDS] = {
    [ACTIVATION_GELU] = {gelu_forward, gelu_slope},
    [ACTIVATION_RELU] = {relu_forward, relu_slope},
    [ACTIVATION_SILU] = {silu_forward, silu_slope},
};

void activation_forward(activation_kind kind, real *y, const real *x, size_t n)
{
    activations[kind].forward(kernels_get(), y, x, n);
}

void activation_backward(activation_kind kind, real *dx, const real *dy, const real *x, size_t n)
{
    activations[kind].backward(kernels_get(), dx, dy, x, n);
}

/* ---- kinds ---- */

typedef struct row_args {
    const feed_layer *f;
    feed_saved s;           /* at the row */
    real *d_active, *dgate; /* backward: of what W2 multiplied, in: dup out; gated: dgate out */
} row_args;

typedef struct feed_op {
    size_t matrices;
    void (*forward)(const row_args *r);
    void (*backward)(const row_args *r);
} feed_op;

static void plain_forward(const row_args *r)
{
    activation_forward(r->f->activation, r->s.active, r->s.up, r->f->inner);
}

static void plain_backward(const row_args *r)
{
    activation_backward(r->f->activation, r->d_active, r->d_active, r->s.up, r->f->inner);
}

/* active = act(gate) * up, where active may be up. A row goes through a short buffer, in pieces. */
enum { PIECE = 256 };

static size_t piece_at(const row_args *r, size_t at)
{
    return r->f->inner - at < PIECE ? r->f->inner - at : PIECE;
}

static void gated_forward(const row_args *r)
{
    real open[PIECE];
    for (size_t at = 0; at < r->f->inner; at += PIECE) {
        const size_t n = piece_at(r, at);
        activation_forward(r->f->activation, open, r->s.gate + at, n);
        kernels_get()->multiply(r->s.active + at, open, r->s.up + at, n);
    }
}

static void gated_backward(const row_args *r)
{
    const kernels *k = kernels_get();
    real open[PIECE];
    for (size_t at = 0; at < r->f->inner; at += PIECE) {
        const size_t n = piece_at(r, at);
        k->multiply(r->dgate + at, r->d_active + at, r->s.up + at, n);
        activation_backward(r->f->activation, r->dgate + at, r->dgate + at, r->s.gate + at, n);
        activation_forward(r->f->activation, open, r->s.gate + at, n);
        k->multiply(r->d_active + at, r->d_active + at, open, n);
    }
}

static const feed_op feeds[FEED_KINDS] = {
    [FEED_PLAIN] = {2, plain_forward, plain_backward},
    [FEED_GATED] = {3, gated_forward, gated_backward},
};

size_t feed_matrices(feed_kind kind)
{
    return feeds[kind].matrices;
}

/* ---- all rows ---- */

typedef struct row_job {
    row_args first; /* of row 0 */
    size_t count;
    void (*row)(const row_args *r);
} row_job;

static real *moved(real *x, size_t by)
{
    return x ? x + by : NULL;
}

static void run_block(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const size_t begin = (size_t)task * ACTIVE_ROWS;
    for (size_t i = begin; i < begin + ACTIVE_ROWS && i < j->count; i++) {
        const size_t by = i * j->first.f->inner;
        const row_args *from = &j->first;
        const row_args row = {from->f,
                              {moved(from->s.up, by), moved(from->s.gate, by), moved(from->s.active, by)},
                              moved(from->d_active, by),
                              moved(from->dgate, by)};
        j->row(&row);
    }
}

static void run_rows(pool *p, rows r, row_job *job)
{
    job->count = r.lanes * r.rows;
    pool_run(p, (int)((job->count + ACTIVE_ROWS - 1) / ACTIVE_ROWS), run_block, job);
}

/* linear_forward or linear_rows. */
typedef void linear_function(pool *p, rows r, size_t in, size_t out, const real *x, size_t ldx, matrix w,
                             const real *bias, real *y, size_t ldy);

static void feed(linear_function *linear, pool *p, rows r, const feed_layer *f, const real *x, const feed_saved *s,
                 real *y)
{
    linear(p, r, f->width, f->inner, x, f->width, f->up, f->up_bias, s->up, f->inner);
    if (s->gate) linear(p, r, f->width, f->inner, x, f->width, f->gate, f->gate_bias, s->gate, f->inner);
    row_job job = {.first = {.f = f, .s = *s}, .row = feeds[f->kind].forward};
    run_rows(p, r, &job);
    linear(p, r, f->inner, f->width, s->active, f->inner, f->down, f->down_bias, y, f->width);
}

void feed_forward(pool *p, rows r, const feed_layer *f, const real *x, const feed_saved *s, real *y)
{
    feed(linear_forward, p, r, f, x, s, y);
}

void feed_step(pool *p, rows r, const feed_layer *f, const real *x, const feed_saved *s, real *y)
{
    feed(linear_rows, p, r, f, x, s, y);
}

void feed_backward(pool *p, rows r, const feed_layer *f, const real *x, const feed_saved *s, const real *dy,
                   real *work, real *dx)
{
    real *dup = work, *dgate = work + r.lanes * r.rows * f->inner;
    linear_backward_weight(p, r, f->inner, f->width, s->active, f->inner, dy, f->width, f->ddown, f->ddown_bias);
    linear_backward_input(p, r, f->inner, f->width, dy, f->width, f->down.w, dup, f->inner, 0);
    row_job job = {.first = {.f = f, .s = *s, .d_active = dup, .dgate = f->gate.w ? dgate : NULL},
                   .row = feeds[f->kind].backward};
    run_rows(p, r, &job);
    linear_backward_weight(p, r, f->width, f->inner, x, f->width, dup, f->inner, f->dup, f->dup_bias);
    linear_backward_input(p, r, f->width, f->inner, dup, f->inner, f->up.w, dx, f->width, 0);
    if (!f->gate.w) return;
    linear_backward_weight(p, r, f->width, f->inner, x, f->width, dgate, f->inner, f->dgate, f->dgate_bias);
    linear_backward_input(p, r, f->width, f->inner, dgate, f->inner, f->gate.w, dx, f->width, 1);
}
