/* Products on matrix tiles (AMX): packing into bf16 parts, and the loop over tiles. A panel has, for every step of
 * TILE_DEPTH, its parts, each of two tiles of 16 lines. */
#include "models/engine/tiles.h"

enum { LINES = 16, TILE = 16 * TILE_DEPTH, PART = 2 * TILE };

#if defined(__x86_64__) && !defined(PAL_DOUBLE) && (defined(__clang__) || __GNUC__ >= 11)

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t steps_of(size_t depth)
{
    return (depth + TILE_DEPTH - 1) / TILE_DEPTH;
}

static size_t panel_bytes(size_t depth, int bf16)
{
    return steps_of(depth) * (size_t)(bf16 ? 1 : TILE_PARTS) * PART * sizeof(uint16_t);
}

#define TILED __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define TILED_INLINE TILED static inline __attribute__((always_inline))

/* Linux keeps the tiles' registers only for processes that ask (arch_prctl(2)). */
enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

static int has_instructions(void)
{
    unsigned a = 7, b, c = 0, d;
    if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bf16"))
        return 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (d >> 22 & 1) && (d >> 24 & 1); /* AMX-BF16, AMX-TILE */
}

static int ready(void)
{
    return has_instructions() && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

/* ---- Packing. ---- */

/* 32 numbers as bf16, the nearest each; what remains of them stays in `left`. */
TILED_INLINE __m512i take_part(__m512 left[2])
{
    const __m256i low = (__m256i)_mm512_cvtneps_pbh(left[0]), high = (__m256i)_mm512_cvtneps_pbh(left[1]);
    const __m512i low_bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(low), 16);
    const __m512i high_bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16);
    left[0] = _mm512_sub_ps(left[0], _mm512_castsi512_ps(low_bits));
    left[1] = _mm512_sub_ps(left[1], _mm512_castsi512_ps(high_bits));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

TILED_INLINE __mmask16 first(size_t count)
{
    return (__mmask16)(count >= 16 ? 0xffff : (1u << count) - 1);
}

/* `count` of 32 elements; the others are 0. */
TILED_INLINE void load_line(const float *x, size_t count, __m512 to[2])
{
    to[0] = _mm512_maskz_loadu_ps(first(count), x);
    to[1] = count > 16 ? _mm512_maskz_loadu_ps(first(count - 16), x + 16) : _mm512_setzero_ps();
}

/* Rows become columns. */
TILED_INLINE void transpose(__m512i r[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    }
}

/* 16 lines of a left step. */
TILED_INLINE void left_along(const float *x, size_t ld, size_t lines, size_t depth, uint16_t *to)
{
    for (size_t i = 0; i < LINES; i++, to += TILE_DEPTH) {
        __m512 line[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
        if (i < lines) load_line(x + i * ld, depth, line);
        for (int part = 0; part < TILE_PARTS; part++) _mm512_store_si512(to + part * PART, take_part(line));
    }
}

TILED_INLINE void left_across(const float *x, size_t ld, size_t lines, size_t depth, uint16_t *to)
{
    __m512i half[2][16];
    for (size_t k = 0; k < TILE_DEPTH; k++)
        half[k / 16][k % 16] =
            k < depth ? _mm512_maskz_loadu_epi32(first(lines), x + k * ld) : _mm512_setzero_si512();
    transpose(half[0]);
    transpose(half[1]);
    for (size_t i = 0; i < LINES; i++, to += TILE_DEPTH) {
        __m512 line[2] = {_mm512_castsi512_ps(half[0][i]), _mm512_castsi512_ps(half[1][i])};
        for (int part = 0; part < TILE_PARTS; part++) _mm512_store_si512(to + part * PART, take_part(line));
    }
}

/* A right tile's row has elements k and k + 1 of 16 lines. */
TILED_INLINE void right_along(const float *x, size_t ld, size_t lines, size_t depth, uint16_t *to)
{
    __m512 line[LINES][2];
    for (size_t i = 0; i < LINES; i++) {
        line[i][0] = line[i][1] = _mm512_setzero_ps();
        if (i < lines) load_line(x + i * ld, depth, line[i]);
    }
    for (int part = 0; part < TILE_PARTS; part++) {
        __m512i row[LINES];
        for (int i = 0; i < LINES; i++) row[i] = take_part(line[i]);
        transpose(row);
        for (int i = 0; i < LINES; i++) _mm512_store_si512(to + part * PART + i * 2 * LINES, row[i]);
    }
}

TILED_INLINE void right_bf16(const uint16_t *x, size_t ld, size_t lines, size_t depth, uint16_t *to)
{
    __m512i row[LINES];
    const __mmask32 there = (__mmask32)(depth >= 32 ? 0xffffffff : (1u << depth) - 1);
    for (size_t i = 0; i < LINES; i++)
        row[i] = i < lines ? _mm512_maskz_loadu_epi16(there, x + i * ld) : _mm512_setzero_si512();
    transpose(row);
    for (int i = 0; i < LINES; i++) _mm512_store_si512(to + i * 2 * LINES, row[i]);
}

TILED_INLINE void right_across(const float *x, size_t ld, size_t lines, size_t depth, uint16_t *to)
{
    for (size_t k = 0; k < TILE_DEPTH; k += 2, to += 2 * LINES) {
        __m512 even = k < depth ? _mm512_maskz_loadu_ps(first(lines), x + k * ld) : _mm512_setzero_ps();
        __m512 odd = k + 1 < depth ? _mm512_maskz_loadu_ps(first(lines), x + (k + 1) * ld) : _mm512_setzero_ps();
        for (int part = 0; part < TILE_PARTS; part++) {
            const __m512i e = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even));
            const __m512i o = _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd)), 16);
            _mm512_store_si512(to + part * PART, _mm512_or_si512(e, o));
            even = _mm512_sub_ps(even, _mm512_castsi512_ps(_mm512_slli_epi32(e, 16)));
            odd = _mm512_sub_ps(odd, _mm512_castsi512_ps(o));
        }
    }
}

static size_t at_most(size_t left, size_t most)
{
    return left < most ? left : most;
}

TILED static void pack_rows(const tile_source *s, size_t line, size_t count, size_t from, size_t depth, void *to)
{
    uint16_t *panel = to;
    for (size_t k = 0; k < depth; k += TILE_DEPTH, panel += TILE_PARTS * PART) {
        const size_t n = at_most(depth - k, TILE_DEPTH), at = from + k;
        for (size_t half = 0; half < 2; half++) {
            const size_t skip = half * LINES, lines = count > skip ? at_most(count - skip, LINES) : 0;
            const float *x = s->x;
            if (s->across)
                left_across(x + at * s->ld + line + skip, s->ld, lines, n, panel + half * TILE);
            else
                left_along(x + (line + skip) * s->ld + at, s->ld, lines, n, panel + half * TILE);
        }
    }
}

TILED static void pack_columns(const tile_source *s, size_t line, size_t count, size_t from, size_t depth,
                               void *to)
{
    uint16_t *panel = to;
    for (size_t k = 0; k < depth; k += TILE_DEPTH, panel += (s->bf16 ? 1 : TILE_PARTS) * PART) {
        const size_t n = at_most(depth - k, TILE_DEPTH), at = from + k;
        for (size_t half = 0; half < 2; half++) {
            const size_t skip = half * LINES, lines = count > skip ? at_most(count - skip, LINES) : 0;
            uint16_t *tile = panel + half * TILE;
            if (s->bf16)
                right_bf16((const uint16_t *)s->x + (line + skip) * s->ld + at, s->ld, lines, n, tile);
            else if (s->across)
                right_across((const float *)s->x + at * s->ld + line + skip, s->ld, lines, n, tile);
            else
                right_along((const float *)s->x + (line + skip) * s->ld + at, s->ld, lines, n, tile);
        }
    }
}

/* ---- Multiplying: tiles 0 to 3 are sums, 4 and 5 of the left factor, 6 and 7 of the right one. ---- */

typedef struct tile_config {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_config;

TILED_INLINE void configure(void)
{
    tile_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.bytes[i] = 64;
        c.rows[i] = LINES;
    }
    _tile_loadconfig(&c);
}

enum { ROW_BYTES = TILE_LINES * sizeof(float), TILE_BYTES = TILE_DEPTH * sizeof(uint16_t) };

#define LEFT(part)                                                                                                \
    _tile_loadd(4, a + (part)*PART, TILE_BYTES);                                                                  \
    _tile_loadd(5, a + (part)*PART + TILE, TILE_BYTES)
#define LEFT_HALF(part) _tile_loadd(4, a + (part)*PART, TILE_BYTES)
#define RIGHT(part)                                                                                               \
    _tile_loadd(6, b + (part)*PART, TILE_BYTES);                                                                  \
    _tile_loadd(7, b + (part)*PART + TILE, TILE_BYTES)
#define MULTIPLY                                                                                                  \
    MULTIPLY_HALF;                                                                                                \
    _tile_dpbf16ps(2, 5, 6);                                                                                      \
    _tile_dpbf16ps(3, 5, 7)
#define MULTIPLY_HALF                                                                                             \
    _tile_dpbf16ps(0, 4, 6);                                                                                      \
    _tile_dpbf16ps(1, 4, 7)

/* The small products come first. A right factor of one part leaves out those that would add 0. */
#define STEPS(left, multiply)                                                                                     \
    for (size_t step = 0; step < steps; step++, a += TILE_PARTS * PART, b += parts * PART) {                      \
        if (parts > 1) {                                                                                          \
            left(0);                                                                                              \
            RIGHT(2);                                                                                             \
            multiply;                                                                                             \
            RIGHT(1);                                                                                             \
            multiply;                                                                                             \
            left(1);                                                                                              \
            multiply;                                                                                             \
        } else {                                                                                                  \
            left(1);                                                                                              \
        }                                                                                                         \
        RIGHT(0);                                                                                                 \
        multiply;                                                                                                 \
        left(2);                                                                                                  \
        multiply;                                                                                                 \
        left(0);                                                                                                  \
        multiply;                                                                                                 \
    }

TILED_INLINE void block(const uint16_t *a, const uint16_t *b, int parts, size_t steps, int accumulate, float *c)
{
    if (accumulate) {
        _tile_loadd(0, c, ROW_BYTES);
        _tile_loadd(1, c + LINES, ROW_BYTES);
        _tile_loadd(2, c + LINES * TILE_LINES, ROW_BYTES);
        _tile_loadd(3, c + LINES * TILE_LINES + LINES, ROW_BYTES);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    STEPS(LEFT, MULTIPLY)
    _tile_stored(0, c, ROW_BYTES);
    _tile_stored(1, c + LINES, ROW_BYTES);
    _tile_stored(2, c + LINES * TILE_LINES, ROW_BYTES);
    _tile_stored(3, c + LINES * TILE_LINES + LINES, ROW_BYTES);
}

/* For a left factor that has no more than 16 rows left. */
TILED_INLINE void half_block(const uint16_t *a, const uint16_t *b, int parts, size_t steps, int accumulate,
                             float *c)
{
    if (accumulate) {
        _tile_loadd(0, c, ROW_BYTES);
        _tile_loadd(1, c + LINES, ROW_BYTES);
    } else {
        _tile_zero(0);
        _tile_zero(1);
    }
    STEPS(LEFT_HALF, MULTIPLY_HALF)
    _tile_stored(0, c, ROW_BYTES);
    _tile_stored(1, c + LINES, ROW_BYTES);
}

TILED static void multiply_panels(const void *left, size_t rows, const void *right, int bf16, size_t depth,
                                  int accumulate, real *c)
{
    const size_t steps = steps_of(depth);
    const uint16_t *a = left;
    configure();
    for (size_t row = 0; row < rows; row += TILE_LINES, a += steps * TILE_PARTS * PART) {
        if (rows - row <= LINES)
            half_block(a, right, bf16 ? 1 : TILE_PARTS, steps, accumulate, c + row * TILE_LINES);
        else if (!bf16)
            block(a, right, TILE_PARTS, steps, accumulate, c + row * TILE_LINES);
        else
            block(a, right, 1, steps, accumulate, c + row * TILE_LINES);
    }
    _tile_release();
}

#else

static int ready(void)
{
    return 0;
}

#define panel_bytes NULL
#define pack_rows NULL
#define pack_columns NULL
#define multiply_panels NULL

#endif

const tile_kernel tiles_amx = {.name = "AMX",
                               .bf16 = 1,
                               .ready = ready,
                               .bytes = panel_bytes,
                               .pack_left = pack_rows,
                               .pack_right = pack_columns,
                               .multiply = multiply_panels};
