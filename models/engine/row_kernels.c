/* Products of few rows by many: tiles of rows and weights whose sums stay in registers, so that weights are
 * fetched once. One source, compiled once for each instruction set; every set gives the same bits. */
#include "models/engine/row_kernels.h"

#include "models/engine/vectors.h"

/* Sums of a tile take as many vectors as the registers hold beside what is multiplied. One row alone takes weights
 * one after the other: memory is read fastest in the order in which it lies. */
#if VECTOR_BYTES == 64
enum { TILE_ROWS = 4, TILE_WEIGHTS = 4 };
#else
enum { TILE_ROWS = 2, TILE_WEIGHTS = 2 };
#endif
enum {
    GROUP = 4,   /* of weights, whose sums are added up together */
    COMBINED = 4 /* vectors of a combination */
};

/* A row of weights, in either form. */
typedef struct weight_row {
    const real *real;
    const uint16_t *half;
} weight_row;

INLINE vec load_half(const uint16_t *w)
{
#ifdef PAL_DOUBLE
    (void)w;
    return splat(0);
#elif VECTOR_BYTES == 64
    __m256i h;
    memcpy(&h, w, sizeof h);
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
#elif VECTOR_BYTES == 32
    __m128i h;
    memcpy(&h, w, sizeof h);
    return (vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16);
#else
    typedef uint16_t halves __attribute__((vector_size(WIDTH * sizeof(uint16_t))));
    halves h;
    memcpy(&h, w, sizeof h);
    return (vec)(__builtin_convertvector(h, mask) << 16);
#endif
}

INLINE vec load_weights(weight_row w, size_t i, int is_half)
{
    return is_half ? load_half(w.half + i) : load(w.real + i, WIDTH, 0);
}

INLINE weight_row row_at(weight_row w, size_t by, int is_half)
{
    return is_half ? (weight_row){.half = w.half + by} : (weight_row){.real = w.real + by};
}

/* What lies beyond the last whole LANES numbers, filled up with zeros. */
typedef struct last_lanes {
    real x[LANES];
} last_lanes;

INLINE last_lanes last_of(const real *x, size_t i, size_t n)
{
    last_lanes last = {{0}};
    for (size_t k = i; k < n; k++) last.x[k - i] = x[k];
    return last;
}

INLINE last_lanes last_weights(weight_row w, size_t i, size_t n, int is_half)
{
    if (!is_half) return last_of(w.real, i, n);
    uint16_t half[LANES] = {0};
    last_lanes last;
    for (size_t k = i; k < n; k++) half[k - i] = w.half[k];
    for (int k = 0; k < LANES; k += WIDTH) store(last.x + k, load_half(half + k), WIDTH);
    return last;
}

/* The sums of sum_partials, for GROUP of them. */
typedef real oct __attribute__((vector_size(8 * sizeof(real))));

INLINE quad fold(const partials *p)
{
    oct half[2];
    memcpy(half, p, sizeof half);
    half[0] += half[1];
    quad part[2];
    memcpy(part, half, sizeof part);
    return part[0] + part[1];
}

INLINE void store_sums(real *y, const partials *p)
{
    const quad a = fold(p), b = fold(p + 1), c = fold(p + 2), d = fold(p + 3);
    const quad ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5);
    const quad ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7);
    const quad bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5);
    const quad bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    const quad first = __builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5);
    const quad second = __builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7);
    const quad third = __builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5);
    const quad fourth = __builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7);
    store_quad(y, (first + third) + (second + fourth));
}

/* total[rows, weights], both constants where this is inlined. */
INLINE void tile_sums(partials *total, const real *x, size_t ldx, size_t rows, weight_row w, size_t ldw,
                      size_t weights, size_t n, int is_half)
{
    size_t i = 0;
    for (size_t k = 0; k < rows * weights; k++) total[k] = (partials){0};
    for (; i + LANES <= n; i += LANES)
        for (int part = 0; part < PARTS; part++) {
            const size_t at = i + (size_t)part * WIDTH;
            vec weight[GROUP];
            for (size_t c = 0; c < weights; c++)
                weight[c] = load_weights(row_at(w, c * ldw, is_half), at, is_half);
            for (size_t r = 0; r < rows; r++) {
                const vec element = load(x + r * ldx + at, WIDTH, 0);
                for (size_t c = 0; c < weights; c++)
                    total[r * weights + c].part[part] =
                        fused_vec(element, weight[c], total[r * weights + c].part[part]);
            }
        }
    if (i == n) return;
    for (size_t c = 0; c < weights; c++) {
        const last_lanes weight = last_weights(row_at(w, c * ldw, is_half), i, n, is_half);
        for (size_t r = 0; r < rows; r++) {
            const last_lanes element = last_of(x + r * ldx, i, n);
            for (int part = 0; part < PARTS; part++)
                total[r * weights + c].part[part] =
                    fused_vec(load(element.x + part * WIDTH, WIDTH, 0), load(weight.x + part * WIDTH, WIDTH, 0),
                              total[r * weights + c].part[part]);
        }
    }
}

/* GROUP weights, in tiles of at most `weights` of them. */
INLINE void group_products(real *y, size_t ldy, const real *x, size_t ldx, size_t rows, weight_row w, size_t ldw,
                           size_t weights, size_t n, int is_half)
{
    partials sums[TILE_ROWS][GROUP];
    for (size_t c = 0; c < GROUP; c += weights) {
        partials total[TILE_ROWS * GROUP];
        tile_sums(total, x, ldx, rows, row_at(w, c * ldw, is_half), ldw, weights, n, is_half);
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < weights; k++) sums[r][c + k] = total[r * weights + k];
    }
    for (size_t r = 0; r < rows; r++) store_sums(y + r * ldy, sums[r]);
}

INLINE void products(real *y, size_t ldy, const real *x, size_t ldx, size_t rows, weight_row w, size_t ldw,
                     size_t count, size_t n, int is_half)
{
    const size_t whole = count / GROUP * GROUP;
    for (size_t r = 0; r < rows;) {
        const size_t tile = r + TILE_ROWS <= rows ? TILE_ROWS : 1;
        for (size_t g = 0; g < whole; g += GROUP) {
            const weight_row here = row_at(w, g * ldw, is_half);
            if (tile == TILE_ROWS)
                group_products(y + r * ldy + g, ldy, x + r * ldx, ldx, TILE_ROWS, here, ldw, TILE_WEIGHTS, n,
                               is_half);
            else
                group_products(y + r * ldy + g, ldy, x + r * ldx, ldx, 1, here, ldw, 1, n, is_half);
        }
        r += tile;
    }
    size_t c = whole;
    for (; c < count; c++)
        for (size_t r = 0; r < rows; r++) {
            partials total;
            tile_sums(&total, x + r * ldx, ldx, 1, row_at(w, c * ldw, is_half), ldw, 1, n, is_half);
            y[r * ldy + c] = sum_partials(total);
        }
}

/* y[n], of which `vectors` whole vectors stay in registers. */
INLINE void combine_tile(real *y, const real *p, const real *v, size_t ldv, size_t count, size_t vectors)
{
    vec total[COMBINED] = {0};
    for (size_t j = 0; j < count; j++)
        for (size_t k = 0; k < vectors; k++)
            total[k] = fused_vec(splat(p[j]), load(v + j * ldv + k * WIDTH, WIDTH, 0), total[k]);
    for (size_t k = 0; k < vectors; k++) store(y + k * WIDTH, total[k], WIDTH);
}

void PASTE(row_combine_, KERNELS_ISA)(real *y, const real *p, const real *v, size_t ldv, size_t count, size_t n)
{
    size_t i = 0;
    for (; i + COMBINED * WIDTH <= n; i += COMBINED * WIDTH) combine_tile(y + i, p, v + i, ldv, count, COMBINED);
    for (; i + WIDTH <= n; i += WIDTH) combine_tile(y + i, p, v + i, ldv, count, 1);
    if (i == n) return;
    vec total = splat(0);
    for (size_t j = 0; j < count; j++) total = fused_vec(splat(p[j]), load(v + j * ldv + i, n - i, 0), total);
    store(y + i, total, n - i);
}

void PASTE(row_products_, KERNELS_ISA)(real *y, size_t ldy, const real *x, size_t ldx, size_t rows, const real *w,
                                       size_t ldw, size_t count, size_t n)
{
    products(y, ldy, x, ldx, rows, (weight_row){.real = w}, ldw, count, n, 0);
}

void PASTE(row_products_bf16_, KERNELS_ISA)(real *y, size_t ldy, const real *x, size_t ldx, size_t rows,
                                            const uint16_t *w, size_t ldw, size_t count, size_t n)
{
    products(y, ldy, x, ldx, rows, (weight_row){.half = w}, ldw, count, n, 1);
}
