/* Panels of floats, multiplied with fused multiply-adds: 512 or 256 bits wide, with the same bits. An element of C
 * is one chain in the order of k. A left panel is four groups of 8 rows, each [depth, 8]; a right one is [depth,
 * 32]. */
#include "models/engine/tiles.h"

#if defined(__x86_64__) && !defined(PAL_DOUBLE)

#include <immintrin.h>
#include <string.h>

#include "models/engine/kernels.h"

/* AHEAD: rows that lie across are fetched so many before they are copied. */
enum { GROUP = 8, GROUPS = TILE_LINES / GROUP, AHEAD = 24 };

static int ready_512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

static int ready_256(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static size_t panel_bytes(size_t depth, int bf16)
{
    (void)bf16;
    return depth * TILE_LINES * sizeof(float);
}

/* to[depth, width] = the lines side by side, zeros behind them. */
static void pack(const tile_source *s, size_t line, size_t count, size_t from, size_t depth, size_t width,
                 float *to)
{
    const float *x = s->x;
    if (count < width) memset(to, 0, depth * width * sizeof *to);
    if (!s->across) {
        kernels_get()->transpose(to, width, x + line * s->ld + from, s->ld, count, depth);
        return;
    }
    x += from * s->ld + line;
    if (count == TILE_LINES)
        for (size_t k = 0; k < depth; k++) memcpy(to + k * width, x + k * s->ld, TILE_LINES * sizeof *to);
    else if (count == GROUP)
        for (size_t k = 0; k < depth; k++) memcpy(to + k * width, x + k * s->ld, GROUP * sizeof *to);
    else
        for (size_t k = 0; k < depth; k++) memcpy(to + k * width, x + k * s->ld, count * sizeof *to);
}

/* Clang does not know the second word, and needs it not. */
#ifdef __clang__
#define TARGET_512 "avx512f"
#else
#define TARGET_512 "avx512f,prefer-vector-width=512"
#endif

/* Rows of 16 floats become columns. */
__attribute__((target(TARGET_512), always_inline)) static inline void transpose_16(__m512 r[16])
{
    __m512d t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_castps_pd(_mm512_unpacklo_ps(r[i], r[i + 1]));
        t[i + 1] = _mm512_castps_pd(_mm512_unpackhi_ps(r[i], r[i + 1]));
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(t[i], t[i + 2]));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(t[i], t[i + 2]));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(t[i + 1], t[i + 3]));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(t[i + 1], t[i + 3]));
    }
    __m512 u[16];
    for (int i = 0; i < 4; i++) {
        u[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        u[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        u[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        u[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        r[i] = _mm512_shuffle_f32x4(u[i], u[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(u[i], u[i + 8], 0xdd);
    }
}

/* A whole right panel whose lines lie along. */
__attribute__((target(TARGET_512))) static void pack_along_512(const float *x, size_t ld, size_t depth, float *to)
{
    for (size_t k = 0; k < depth; k += 16) {
        const size_t there = depth - k < 16 ? depth - k : 16;
        const __mmask16 mask = (__mmask16)(0xffffu >> (16 - there));
        for (size_t half = 0; half < TILE_LINES; half += 16) {
            __m512 r[16];
            for (size_t i = 0; i < 16; i++) r[i] = _mm512_maskz_loadu_ps(mask, x + (half + i) * ld + k);
            transpose_16(r);
            if (there == 16)
                for (size_t i = 0; i < 16; i++) _mm512_storeu_ps(to + (k + i) * TILE_LINES + half, r[i]);
            else
                for (size_t i = 0; i < there; i++) _mm512_storeu_ps(to + (k + i) * TILE_LINES + half, r[i]);
        }
    }
}

static void pack_right_512(const tile_source *s, size_t line, size_t count, size_t from, size_t depth, void *panel)
{
    if (count == TILE_LINES && !s->across)
        pack_along_512((const float *)s->x + line * s->ld + from, s->ld, depth, panel);
    else
        pack(s, line, count, from, depth, TILE_LINES, panel);
}

/* All groups at once where lines lie across: k's rows may be far apart. */
static void pack_rows(const tile_source *s, size_t line, size_t count, size_t from, size_t depth, void *panel)
{
    float *to = panel;
    if (s->across && count == TILE_LINES) {
        const float *x = (const float *)s->x + from * s->ld + line;
        for (size_t k = 0; k < depth; k++, x += s->ld, to += GROUP) {
            if (k + AHEAD < depth) {
                __builtin_prefetch(x + AHEAD * s->ld);
                __builtin_prefetch(x + AHEAD * s->ld + TILE_LINES - 1);
            }
            for (size_t group = 0; group < GROUPS; group++)
                memcpy(to + group * GROUP * depth, x + group * GROUP, GROUP * sizeof *to);
        }
        return;
    }
    for (size_t skip = 0; skip < count; skip += GROUP, to += GROUP * depth)
        pack(s, line + skip, count - skip < GROUP ? count - skip : GROUP, from, depth, GROUP, to);
}

static void pack_columns(const tile_source *s, size_t line, size_t count, size_t from, size_t depth, void *panel)
{
    pack(s, line, count, from, depth, TILE_LINES, panel);
}

/* c[ROWS, TILE_LINES], in registers while k runs; ROWS and the rest are constants where this is expanded. */
#define BLOCK(ROWS, VECTORS, WIDTH, VECTOR, LOAD, STORE, ZERO, SPLAT, FUSED)                                      \
    do {                                                                                                          \
        VECTOR sum[ROWS][VECTORS];                                                                                \
        for (int i = 0; i < (ROWS); i++)                                                                          \
            for (int v = 0; v < (VECTORS); v++)                                                                   \
                sum[i][v] = accumulate ? LOAD(c + i * TILE_LINES + v * (WIDTH)) : ZERO();                         \
        for (size_t k = 0; k < depth; k++) {                                                                      \
            VECTOR right[VECTORS];                                                                                \
            for (int v = 0; v < (VECTORS); v++) right[v] = LOAD(b + k * TILE_LINES + v * (WIDTH));                \
            for (int i = 0; i < (ROWS); i++) {                                                                    \
                const VECTOR left = SPLAT(a[k * GROUP + i]);                                                      \
                for (int v = 0; v < (VECTORS); v++) sum[i][v] = FUSED(left, right[v], sum[i][v]);                 \
            }                                                                                                     \
        }                                                                                                         \
        for (int i = 0; i < (ROWS); i++)                                                                          \
            for (int v = 0; v < (VECTORS); v++) STORE(c + i * TILE_LINES + v * (WIDTH), sum[i][v]);               \
    } while (0)

#define INLINE(target_) __attribute__((target(target_), always_inline)) static inline

#define BLOCK_512(ROWS)                                                                                           \
    INLINE(TARGET_512)                                                                                            \
    void block_512_##ROWS(const float *a, const float *b, size_t depth, int accumulate, float *c)                 \
    {                                                                                                             \
        BLOCK(ROWS, 2, 16, __m512, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_setzero_ps, _mm512_set1_ps,          \
              _mm512_fmadd_ps);                                                                                   \
    }
BLOCK_512(8)
BLOCK_512(4)
BLOCK_512(1)

/* Half of a panel's columns at a time: there are 16 registers. */
#define BLOCK_256(ROWS)                                                                                           \
    INLINE("avx2,fma")                                                                                            \
    void block_256_##ROWS(const float *a, const float *b, size_t depth, int accumulate, float *c)                 \
    {                                                                                                             \
        for (int half = 0; half < 2; half++, b += 16, c += 16)                                                    \
            BLOCK(ROWS, 2, 8, __m256, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_setzero_ps, _mm256_set1_ps,       \
                  _mm256_fmadd_ps);                                                                               \
    }
BLOCK_256(4)
BLOCK_256(1)

/* Groups one after the other; a last one that is not full in as few rows as there are. */
__attribute__((target(TARGET_512))) static void multiply_512(const void *left, size_t rows, const void *right,
                                                             int bf16, size_t depth, int accumulate, real *c)
{
    (void)bf16;
    const float *a = left, *b = right;
    for (size_t row = 0; row < rows; row += GROUP, a += GROUP * depth, c += GROUP * TILE_LINES) {
        const size_t count = rows - row;
        if (count > 4)
            block_512_8(a, b, depth, accumulate, c);
        else if (count > 1)
            block_512_4(a, b, depth, accumulate, c);
        else
            block_512_1(a, b, depth, accumulate, c);
    }
}

__attribute__((target("avx2,fma"))) static void multiply_256(const void *left, size_t rows, const void *right,
                                                             int bf16, size_t depth, int accumulate, real *c)
{
    (void)bf16;
    const float *a = left, *b = right;
    for (size_t row = 0; row < rows; row += GROUP, a += GROUP * depth, c += GROUP * TILE_LINES) {
        const size_t count = rows - row;
        if (count > 1)
            block_256_4(a, b, depth, accumulate, c);
        else
            block_256_1(a, b, depth, accumulate, c);
        if (count > 4) block_256_4(a + 4, b, depth, accumulate, c + 4 * TILE_LINES);
    }
}

#else

static int never(void)
{
    return 0;
}

#define ready_512 never
#define ready_256 never
#define panel_bytes NULL
#define pack_rows NULL
#define pack_columns NULL
#define pack_right_512 NULL
#define multiply_512 NULL
#define multiply_256 NULL

#endif

const tile_kernel tiles_fma512 = {.name = "FMA",
                                  .ready = ready_512,
                                  .bytes = panel_bytes,
                                  .pack_left = pack_rows,
                                  .pack_right = pack_right_512,
                                  .multiply = multiply_512};
const tile_kernel tiles_fma256 = {.name = "FMA",
                                  .ready = ready_256,
                                  .bytes = panel_bytes,
                                  .pack_left = pack_rows,
                                  .pack_right = pack_columns,
                                  .multiply = multiply_256};
