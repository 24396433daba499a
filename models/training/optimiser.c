/* AdamW and Adafactor behind one clip of the global norm; tensors are decayed or not, gates learn at a rate of
 * their own. Sums of squares are added in a fixed order. */
#include "models/training/optimiser.h"

#include "models/engine/kernels.h"

#include <math.h>
#include <string.h>

/* A fixed piece of one tensor: the unit of parallel work, independent of the number of threads. */
struct optimiser_block {
    size_t param, begin, count;
};

/* Matrices have factored second moments in Adafactor, vectors full ones. */
static int is_matrix(const decoder_param *p)
{
    return p->rows > 1 && p->cols > 1;
}

static size_t adafactor_reals(const decoder_param *p)
{
    if (p->grad == PARAM_FROZEN) return 0;
    return is_matrix(p) ? p->rows + p->cols : decoder_param_elements(p);
}

static size_t learning_elements(const decoder_param *p)
{
    return p->grad == PARAM_FROZEN ? 0 : decoder_param_elements(p);
}

static void carve(optimiser *o)
{
    o->first = o->first_reals ? arena_reals(&o->memory, o->first_reals) : NULL;
    o->second = arena_reals(&o->memory, o->second_reals);
    o->block = arena_bytes(&o->memory, o->blocks * sizeof *o->block);
    o->partial = arena_bytes(&o->memory, o->blocks * sizeof *o->partial);
}

int optimiser_create(optimiser *o, const optimiser_config *cfg, const decoder *d, pal_error *err)
{
    *o = (optimiser){.cfg = *cfg};
    const size_t params = decoder_param_count(d);
    for (size_t i = 0; i < params; i++) {
        const decoder_param *p = decoder_param_at(d, i);
        o->blocks += (learning_elements(p) + KERNEL_BLOCK - 1) / KERNEL_BLOCK;
        o->second_reals += adafactor_reals(p);
    }
    if (cfg->kind == OPTIMISER_ADAMW) o->first_reals = o->second_reals = decoder_grad_reals(d);
    carve(o);
    PAL_TRY(arena_allocate(&o->memory, "the optimiser", err));
    carve(o);
    size_t next = 0;
    for (size_t i = 0; i < params; i++) {
        const size_t elements = learning_elements(decoder_param_at(d, i));
        for (size_t begin = 0; begin < elements; begin += KERNEL_BLOCK) {
            const size_t left = elements - begin;
            o->block[next++] = (struct optimiser_block){i, begin, left < KERNEL_BLOCK ? left : KERNEL_BLOCK};
        }
    }
    return PAL_OK;
}

void optimiser_destroy(optimiser *o)
{
    arena_free(&o->memory);
    *o = (optimiser){0};
}

/* ---- Parts. ---- */

/* The first piece of a part. */
static size_t part_block(const optimiser *o, int part)
{
    return o->blocks * (size_t)part / (size_t)o->peers->parts;
}

/* Where a piece begins among the weights, or in the gradient, which lacks what does not learn. */
typedef enum block_place { AMONG_WEIGHTS, IN_GRADIENT } block_place;

static size_t block_offset(const optimiser *o, const decoder *d, block_place place, size_t block)
{
    if (block == o->blocks) return place == AMONG_WEIGHTS ? decoder_weight_reals(d) : decoder_grad_reals(d);
    const decoder_param *p = decoder_param_at(d, o->block[block].param);
    return (place == AMONG_WEIGHTS ? p->offset : p->grad) + o->block[block].begin;
}

static size_t part_offset(const optimiser *o, const decoder *d, block_place place, int part)
{
    return part == 0 ? 0 : block_offset(o, d, place, part_block(o, part));
}

static int splits(const optimiser *o)
{
    return o->peers && o->cfg.kind == OPTIMISER_ADAMW;
}

int optimiser_split(optimiser *o, const decoder *d, const optimiser_peers *peers, pal_error *err)
{
    for (size_t i = 0; i < o->blocks; i++)
        if (block_offset(o, d, AMONG_WEIGHTS, i) >= block_offset(o, d, AMONG_WEIGHTS, i + 1) ||
            block_offset(o, d, IN_GRADIENT, i) >= block_offset(o, d, IN_GRADIENT, i + 1))
            return pal_fail(err, PAL_INTERNAL, "the tensors do not lie in their order");
    o->peers = peers;
    if (!splits(o)) return PAL_OK;
    optimiser old = *o;
    o->own_begin = part_offset(o, d, IN_GRADIENT, peers->part);
    o->first_reals = o->second_reals = part_offset(o, d, IN_GRADIENT, peers->part + 1) - o->own_begin;
    o->memory = (arena){0};
    carve(o);
    const int code = arena_allocate(&o->memory, "the optimiser's part", err);
    if (code != PAL_OK) {
        *o = old;
        return code;
    }
    carve(o);
    memcpy(o->first, old.first + o->own_begin, o->first_reals * sizeof *o->first);
    memcpy(o->second, old.second + o->own_begin, o->second_reals * sizeof *o->second);
    memcpy(o->block, old.block, o->blocks * sizeof *o->block);
    arena_free(&old.memory);
    return PAL_OK;
}

/* Parts of an array with one element of `size` bytes for each real of that place. */
static int gather_reals(const optimiser *o, const decoder *d, block_place place, void *data, size_t size)
{
    const optimiser_peers *peers = o->peers;
    for (int k = 0; k <= peers->parts; k++) peers->at[k] = part_offset(o, d, place, k) * size;
    return peers->gather(peers->arg, data, peers->at);
}

static int gather_squares(const optimiser *o)
{
    const optimiser_peers *peers = o->peers;
    for (int k = 0; k <= peers->parts; k++) peers->at[k] = part_block(o, k) * sizeof *o->partial;
    return peers->gather(peers->arg, o->partial, peers->at);
}

int optimiser_join(const optimiser *o, const decoder *d, optimiser *out, pal_error *err)
{
    PAL_TRY(optimiser_create(out, &o->cfg, d, err));
    out->step = o->step;
    if (o->first_reals) memcpy(out->first + o->own_begin, o->first, o->first_reals * sizeof *o->first);
    memcpy(out->second + o->own_begin, o->second, o->second_reals * sizeof *o->second);
    if (!splits(o) || (gather_reals(o, d, IN_GRADIENT, out->first, sizeof *out->first) &&
                       gather_reals(o, d, IN_GRADIENT, out->second, sizeof *out->second)))
        return PAL_OK;
    optimiser_destroy(out);
    return pal_fail(err, PAL_INTERNAL, "the parts of the optimiser cannot be put together");
}

/* One update, shared by all tasks. */
typedef struct update {
    optimiser *o;
    const decoder *d;
    real *weights;
    const real *grad;
    double grad_scale; /* brings the global norm down to cfg.clip */
    double lr;
    double step; /* of this update, from 1 */
    size_t first_block;
} update;

static double param_lr(const update *u, const decoder_param *p)
{
    return p->flags & PARAM_GATE ? u->lr * u->o->cfg.gate_lr_scale : u->lr;
}

/* What a weight loses per update, as a fraction. */
static double param_decay(const update *u, const decoder_param *p)
{
    return p->flags & (PARAM_GATE | PARAM_NO_DECAY) ? 0 : u->lr * u->o->cfg.weight_decay;
}

/* ---- The global gradient norm. ---- */

/* Eight interleaved sums, so that compilers may vectorise without changing the order of additions. */
static double sum_squares(const real *x, size_t n)
{
    double lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    for (size_t j = 0; i < n; i++, j++) lane[j] += (double)x[i] * (double)x[i];
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static void norm_task(void *arg, int task, int worker)
{
    (void)worker;
    const update *u = arg;
    const size_t at = u->first_block + (size_t)task;
    const struct optimiser_block *b = &u->o->block[at];
    u->o->partial[at] = sum_squares(u->grad + decoder_param_at(u->d, b->param)->grad + b->begin, b->count);
}

static size_t own_blocks(const update *u)
{
    return splits(u->o) ? part_block(u->o, u->o->peers->part + 1) - u->first_block : u->o->blocks;
}

static double global_norm(update *u, pool *p)
{
    pool_run(p, (int)own_blocks(u), norm_task, u);
    if (splits(u->o) && !gather_squares(u->o)) return NAN;
    double sum = 0;
    for (size_t i = 0; i < u->o->blocks; i++) sum += u->o->partial[i];
    return sqrt(sum);
}

/* ---- AdamW. ---- */

static void adamw_task(void *arg, int task, int worker)
{
    (void)worker;
    const update *u = arg;
    const optimiser_config *cfg = &u->o->cfg;
    const struct optimiser_block *b = &u->o->block[u->first_block + (size_t)task];
    const decoder_param *p = decoder_param_at(u->d, b->param);
    const size_t to = p->offset + b->begin, at = p->grad + b->begin, kept = at - u->o->own_begin;
    const double step_size = param_lr(u, p) / (1 - pow(cfg->beta1, u->step));
    const double correct2 = 1 / sqrt(1 - pow(cfg->beta2, u->step));
    kernels_get()->adamw(u->weights + to, u->o->first + kept, u->o->second + kept, u->grad + at, b->count,
                         (real)u->grad_scale, (real)cfg->beta1, (real)cfg->beta2, (real)step_size, (real)correct2,
                         (real)cfg->eps, (real)param_decay(u, p));
}

/* ---- Adafactor: algorithms 4 (matrices) and 5 (vectors) of Shazeer & Stern 2018. ---- */

static const double adafactor_eps = 1e-30; /* epsilon_1 */
static const double adafactor_clip = 1.0;  /* d: the largest root mean square of an update */

/* row[i] and col[j] follow the means of the squared gradient over a row and over a column. */
static void factored_moments(const update *u, const decoder_param *p, real *row, real *col, double beta2)
{
    enum { COLUMNS = 64 }; /* column sums are kept in registers and L1 for this many columns at a time */
    const real *g = u->grad + p->grad;
    const double square_scale = u->grad_scale * u->grad_scale;
    for (size_t i = 0; i < p->rows; i++) {
        const double mean = square_scale * sum_squares(g + i * p->cols, p->cols) / (double)p->cols;
        row[i] = (real)(beta2 * (double)row[i] + (1 - beta2) * (mean + adafactor_eps));
    }
    for (size_t begin = 0; begin < p->cols; begin += COLUMNS) {
        const size_t count = p->cols - begin < COLUMNS ? p->cols - begin : COLUMNS;
        double sum[COLUMNS] = {0};
        for (size_t i = 0; i < p->rows; i++) {
            const real *x = g + i * p->cols + begin;
            for (size_t j = 0; j < count; j++) sum[j] += (double)x[j] * (double)x[j];
        }
        for (size_t j = 0; j < count; j++) {
            const double mean = square_scale * sum[j] / (double)p->rows;
            col[begin + j] = (real)(beta2 * (double)col[begin + j] + (1 - beta2) * (mean + adafactor_eps));
        }
    }
}

/* w = w (1 - decay) - lr * g / sqrt(v) / max(1, RMS(g / sqrt(v)) / d), where v[i, j] = row[i] col[j] / mean(row)
 * of a matrix, and v = col of a vector (row NULL). */
static void adafactor_apply(const update *u, const decoder_param *p, const real *row, const real *col)
{
    const size_t rows = row ? p->rows : 1, cols = row ? p->cols : decoder_param_elements(p);
    const real *g = u->grad + p->grad;
    real *w = u->weights + p->offset;
    double row_mean = 0;
    if (row)
        for (size_t i = 0; i < rows; i++) row_mean += (double)row[i] / (double)rows;

    double squares = 0;
    for (size_t i = 0; i < rows; i++) {
        const double inverse = row ? row_mean / (double)row[i] : 1; /* 1/v = inverse / col */
        double sum = 0;
        for (size_t j = 0; j < cols; j++) {
            const double x = (double)g[i * cols + j] * u->grad_scale;
            sum += x * x * inverse / (double)col[j];
        }
        squares += sum;
    }
    const double rms = sqrt(squares / (double)(rows * cols));
    const double lr = param_lr(u, p) * u->grad_scale / fmax(1, rms / adafactor_clip);
    const double keep = 1 - param_decay(u, p);
    for (size_t i = 0; i < rows; i++) {
        const double inverse = row ? row_mean / (double)row[i] : 1;
        for (size_t j = 0; j < cols; j++) {
            const size_t at = i * cols + j;
            w[at] = (real)((double)w[at] * keep - lr * (double)g[at] * sqrt(inverse / (double)col[j]));
        }
    }
}

static void adafactor_task(void *arg, int task, int worker)
{
    (void)worker;
    const update *u = arg;
    const decoder_param *p = decoder_param_at(u->d, (size_t)task);
    if (p->grad == PARAM_FROZEN) return;
    real *moments = u->o->second;
    for (size_t i = 0; i < (size_t)task; i++) moments += adafactor_reals(decoder_param_at(u->d, i));
    const double beta2 = 1 - pow(u->step, -0.8);
    if (is_matrix(p)) {
        factored_moments(u, p, moments, moments + p->rows, beta2);
        adafactor_apply(u, p, moments, moments + p->rows);
        return;
    }
    const real *g = u->grad + p->grad;
    for (size_t i = 0; i < decoder_param_elements(p); i++) {
        const double x = (double)g[i] * u->grad_scale;
        moments[i] = (real)(beta2 * (double)moments[i] + (1 - beta2) * (x * x + adafactor_eps));
    }
    adafactor_apply(u, p, NULL, moments);
}

double optimiser_step(optimiser *o, decoder *d, pool *p, const real *grad, double lr)
{
    update u = {.o = o, .d = d, .weights = decoder_weights(d), .grad = grad, .lr = lr};
    if (splits(o)) u.first_block = part_block(o, o->peers->part);
    const double norm = global_norm(&u, p);
    if (!isfinite(norm)) return norm;
    o->step++;
    u.step = (double)o->step;
    u.grad_scale = o->cfg.clip > 0 && norm > o->cfg.clip ? o->cfg.clip / norm : 1;
    if (o->cfg.kind == OPTIMISER_ADAMW)
        pool_run(p, (int)own_blocks(&u), adamw_task, &u);
    else
        pool_run(p, (int)decoder_param_count(d), adafactor_task, &u);
    if (splits(o) && !gather_reals(o, d, AMONG_WEIGHTS, u.weights, sizeof *u.weights)) return NAN;
    return norm;
}

double schedule_lr(int64_t step, int64_t warmup, int64_t total, double peak, double floor)
{
    if (step < warmup) return peak * (double)(step + 1) / (double)warmup;
    if (step >= total) return floor;
    const double progress = (double)(step - warmup) / (double)(total - warmup);
    return floor + (peak - floor) * 0.5 * (1 + cos(3.14159265358979323846 * progress));
}
