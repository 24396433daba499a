/* Wide products in blocks: the left factor is packed once for all workers, the right one panel by panel where it
 * is used. */
#include "models/engine/wide.h"

#include <string.h>

/* A chunk of the left factor is MOST_ROWS x MOST_DEPTH, in slices of SLICE: a slice of it and a block of C stay in
 * the second cache, a panel of the right factor in the first. Without memory from the pool chunks are as small as
 * fits on the stack; the bits are the same. */
enum {
    MOST_ROWS = 512,
    MOST_DEPTH = 1536,
    SLICE = 192,
    BLOCK = WIDE_COLUMNS, /* most columns of a task */
    LEAST_ROWS = TILE_LINES,
    LEAST_DEPTH = SOURCE_STEP
};

/* Room of one worker, and of the shared part. */
typedef struct worker_room {
    char right[SLICE * TILE_LINES * TILE_MOST_BYTES];
    real c[BLOCK * MOST_ROWS];
    real expanded[BLOCK * MOST_DEPTH];
} worker_room;

typedef struct small_room {
    _Alignas(64) char left[LEAST_DEPTH * LEAST_ROWS * TILE_MOST_BYTES];
} small_room;

/* One chunk at work. */
typedef struct chunk {
    const wide_product *w;
    size_t row, rows, from, depth;
    size_t block;       /* columns of a task: as many for each, and as many tasks for each worker */
    char *left;         /* slice after slice, each of all panels of rows */
    worker_room *rooms; /* one for each worker; NULL: on the stack */
} chunk;

static size_t at_most(size_t left, size_t most)
{
    return left < most ? left : most;
}

/* Numbers of a cache line; rows of C that are fetched before they are reached. */
enum { CACHE_LINE = 64 / sizeof(real), AHEAD = 12 };

static size_t panels_of(size_t rows)
{
    return (rows + TILE_LINES - 1) / TILE_LINES;
}

static char *slice_of(const chunk *k, size_t at)
{
    return k->left + panels_of(k->rows) * k->w->kernel->bytes(at, 0);
}

/* The panel at (line, at) of a factor in the memory, on its way into the cache: a share of it. */
static void fetch_ahead(const tile_source *s, size_t line, size_t count, size_t at, size_t depth, size_t share,
                        size_t shares)
{
    const real *x = s->x;
    const size_t rows = s->across ? depth : count, length = s->across ? count : depth;
    x += s->across ? at * s->ld + line : line * s->ld + at;
    for (size_t i = rows * share / shares; i < rows * (share + 1) / shares; i++)
        for (size_t k = 0; k < length; k += CACHE_LINE) __builtin_prefetch(x + i * s->ld + k, 0, 2);
}

static void pack_task(void *arg, int task, int worker)
{
    (void)worker;
    const chunk *k = arg;
    const size_t panel = (size_t)task, row = panel * TILE_LINES;
    for (size_t at = 0; at < k->depth; at += SLICE) {
        const size_t depth = at_most(k->depth - at, SLICE), next = at + depth;
        if (next < k->depth && !k->w->left.across)
            fetch_ahead(&k->w->left, k->row + row, at_most(k->rows - row, TILE_LINES), k->from + next,
                        at_most(k->depth - next, SLICE), 0, 1);
        k->w->kernel->pack_left(&k->w->left, k->row + row, at_most(k->rows - row, TILE_LINES), k->from + at, depth,
                                slice_of(k, at) + panel * k->w->kernel->bytes(depth, 0));
    }
}

static void fetch_row(const real *row, size_t cols)
{
    for (size_t j = 0; j < cols; j += CACHE_LINE) __builtin_prefetch(row + j, 1);
}

/* The sums of a block begin with what C holds or with 0; the bias comes last. */
static void fetch(const chunk *k, size_t col, size_t cols, real *c)
{
    const wide_product *w = k->w;
    const size_t stride = panels_of(k->rows) * TILE_LINES * TILE_LINES;
    for (size_t i = 0; i < k->rows; i++) {
        const real *from = w->c + (k->row + i) * w->ldc + col;
        if (i + AHEAD < k->rows) fetch_row(from + AHEAD * w->ldc, cols);
        for (size_t first = 0; first < cols; first += TILE_LINES)
            memcpy(c + first / TILE_LINES * stride + i * TILE_LINES, from + first,
                   at_most(cols - first, TILE_LINES) * sizeof *c);
    }
}

static void deliver(const chunk *k, size_t col, size_t cols, const real *c)
{
    const wide_product *w = k->w;
    const int last = k->from + k->depth == w->depth;
    for (size_t i = 0; i < k->rows; i++) {
        real *to = w->c + (k->row + i) * w->ldc + col;
        if (i + AHEAD < k->rows) fetch_row(to + AHEAD * w->ldc, cols);
        for (size_t first = 0; first < cols; first += TILE_LINES) {
            const size_t count = at_most(cols - first, TILE_LINES);
            const real *from = c + (first * panels_of(k->rows) + i) * TILE_LINES;
            if (last && w->bias)
                for (size_t j = 0; j < count; j++) to[first + j] = from[j] + w->bias[col + first + j];
            else if (count == TILE_LINES)
                memcpy(to + first, from, TILE_LINES * sizeof *to);
            else
                memcpy(to + first, from, count * sizeof *to);
        }
    }
}

static void hand_over(const chunk *k, size_t col, size_t cols, const real *c)
{
    const wide_product *w = k->w;
    real row[BLOCK];
    for (size_t i = 0; i < k->rows; i++) {
        for (size_t first = 0; first < cols; first += TILE_LINES)
            memcpy(row + first, c + (first * panels_of(k->rows) + i) * TILE_LINES, TILE_LINES * sizeof *row);
        for (size_t j = 0; w->bias && j < cols; j++) row[j] += w->bias[col + j];
        w->take(w->arg, k->row + i, col, row, cols);
    }
}

/* Where a block's columns of the right factor are now. */
typedef struct right_part {
    tile_source from;
    size_t line, at;
} right_part;

static right_part find_right(const chunk *k, size_t col, size_t cols, real *room)
{
    const wide_product *w = k->w;
    const weight_source *s = w->source;
    if (!s) return (right_part){w->right, col, k->from};
    size_t there = 0;
    const uint16_t *half = w->kernel->bf16 && s->bf16 ? s->bf16(s->arg, w->first + col, &there) : NULL;
    if (half && there >= cols) return (right_part){{.x = half, .ld = w->depth, .bf16 = 1}, 0, k->from};
    s->read(s->arg, w->first + col, cols, k->from, k->depth, room);
    return (right_part){{.x = room, .ld = k->depth}, 0, 0};
}

/* The rows of a chunk by one panel; meanwhile the panel after it is fetched. */
static void multiply_panel(const chunk *k, const right_part *r, size_t at, size_t first, size_t cols,
                           const char *right, int begun, real *c)
{
    enum { ROWS = 128 };
    const tile_kernel *kernel = k->w->kernel;
    const size_t depth = at_most(k->depth - at, SLICE), shares = (k->rows + ROWS - 1) / ROWS;
    const int more = first + TILE_LINES < cols;
    const size_t next_at = more ? at : at + SLICE, next = more ? first + TILE_LINES : 0;
    const char *left = slice_of(k, at);
    for (size_t i = 0; i < shares;
         i++, c += ROWS * TILE_LINES, left += panels_of(ROWS) * kernel->bytes(depth, 0)) {
        if (!r->from.bf16 && next_at < k->depth)
            fetch_ahead(&r->from, r->line + next, at_most(cols - next, TILE_LINES), r->at + next_at,
                        at_most(k->depth - next_at, SLICE), i, shares);
        kernel->multiply(left, at_most(k->rows - i * ROWS, ROWS), right, r->from.bf16, depth, begun || at > 0, c);
    }
}

static void multiply_block(const chunk *k, size_t col, char *right, real *c, real *room)
{
    const wide_product *w = k->w;
    const size_t cols = at_most(w->cols - col, k->block), stride = panels_of(k->rows) * TILE_LINES * TILE_LINES;
    const right_part r = find_right(k, col, cols, room);
    const int begun = w->accumulate || k->from > 0;
    if (begun) fetch(k, col, cols, c);
    for (size_t at = 0; at < k->depth; at += SLICE) {
        const size_t depth = at_most(k->depth - at, SLICE);
        for (size_t first = 0; first < cols; first += TILE_LINES) {
            w->kernel->pack_right(&r.from, r.line + first, at_most(cols - first, TILE_LINES), r.at + at, depth,
                                  right);
            multiply_panel(k, &r, at, first, cols, right, begun, c + first / TILE_LINES * stride);
        }
    }
    if (w->take)
        hand_over(k, col, cols, c);
    else
        deliver(k, col, cols, c);
}

static void multiply_task(void *arg, int task, int worker)
{
    const chunk *k = arg;
    worker_room *room = &k->rooms[worker];
    multiply_block(k, (size_t)task * k->block, room->right, room->c, room->expanded);
}

static void multiply_small_task(void *arg, int task, int worker)
{
    (void)worker;
    const chunk *k = arg;
    _Alignas(64) char right[SLICE * TILE_LINES * TILE_MOST_BYTES];
    _Alignas(64) real c[BLOCK * LEAST_ROWS];
    _Alignas(64) real expanded[BLOCK * LEAST_DEPTH];
    multiply_block(k, (size_t)task * k->block, right, c, expanded);
}

static void run_chunks(pool *p, const wide_product *w, chunk *k, size_t most_rows, size_t most_depth,
                       pool_task *task)
{
    const size_t workers = p ? (size_t)pool_threads(p) : 1, least = (w->cols + BLOCK - 1) / BLOCK;
    const size_t tasks = (least + workers - 1) / workers * workers;
    k->w = w;
    k->block = w->take ? BLOCK : panels_of((w->cols + tasks - 1) / tasks) * TILE_LINES;
    for (k->row = 0; k->row < w->rows; k->row += k->rows) {
        k->rows = at_most(w->rows - k->row, most_rows);
        for (k->from = 0; k->from < w->depth; k->from += k->depth) {
            k->depth = at_most(w->depth - k->from, most_depth);
            pool_run(p, (int)panels_of(k->rows), pack_task, k);
            pool_run(p, (int)((w->cols + k->block - 1) / k->block), task, k);
        }
    }
}

const tile_kernel *wide_kernel(void)
{
    static const tile_kernel *const all[] = {&tiles_amx, &tiles_fma512, &tiles_fma256};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->ready()) return all[i];
    return NULL;
}

int wide_multiply(pool *p, const wide_product *w)
{
    const size_t shared = MOST_ROWS * MOST_DEPTH * TILE_MOST_BYTES;
    const size_t workers = p ? (size_t)pool_threads(p) : 1;
    char *room =
        (w->rows > LEAST_ROWS || w->take) && p ? pool_scratch(p, shared + workers * sizeof(worker_room)) : NULL;
    if (w->take && (!room || w->depth > MOST_DEPTH)) return 0;
    small_room small;
    chunk k = {.left = room ? room : small.left, .rooms = room ? (worker_room *)(room + shared) : NULL};
    if (room)
        run_chunks(p, w, &k, MOST_ROWS, MOST_DEPTH, multiply_task);
    else
        run_chunks(p, w, &k, LEAST_ROWS, LEAST_DEPTH, multiply_small_task);
    return 1;
}
