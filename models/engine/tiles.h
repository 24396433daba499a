/* Products of packed panels, one struct of functions for each kind of processor. An element of C is one sum in an
 * order that depends on k alone: however C is cut, its bits stay. */
#ifndef PAL_TILES_H
#define PAL_TILES_H

#include "models/engine/real.h"

/* Lines of a panel; depth of a step and bf16 parts of a number on matrix tiles. */
enum { TILE_LINES = 32, TILE_DEPTH = 32, TILE_PARTS = 3 };
/* What a panel takes at most for each element, bytes. */
enum { TILE_MOST_BYTES = 2 * TILE_PARTS };

/* A factor's lines: element k of line i is x[i * ld + k], or x[k * ld + i] where lines lie across. bf16: the
 * numbers are the upper halves of floats, and x points to uint16_t; along lines of a right factor only. */
typedef struct tile_source {
    const void *x;
    size_t ld;
    int across, bf16;
} tile_source;

typedef struct tile_kernel {
    const char *name; /* what results add to the BLAS core's name */
    int bf16;         /* whether pack_right takes such lines as they are */
    /* Whether processor and system let this process use it; never in the double build. */
    int (*ready)(void);
    /* Of a panel of TILE_LINES lines of `depth` elements; bf16: of a right factor that was such. */
    size_t (*bytes)(size_t depth, int bf16);
    /* Pack `count` <= TILE_LINES lines from `line` on, elements `from` to `from + depth` - 1: rows of the left
     * factor, columns of the right one. Panels are aligned to 64 bytes. */
    void (*pack_left)(const tile_source *s, size_t line, size_t count, size_t from, size_t depth, void *panel);
    void (*pack_right)(const tile_source *s, size_t line, size_t count, size_t from, size_t depth, void *panel);
    /* c[rows, TILE_LINES] (ld TILE_LINES) = (accumulate ? c : 0) + left x right: left panels of all rows follow
     * each other, right is one panel. c has room for rows rounded up to whole panels. */
    void (*multiply)(const void *left, size_t rows, const void *right, int bf16, size_t depth, int accumulate,
                     real *c);
} tile_kernel;

/* Matrix tiles (AMX). A number is three bf16 parts whose sum it is; of the nine products of two numbers' parts the
 * six largest are summed in f32, which errs no more than f32 products do (Henry et al. 2019). */
extern const tile_kernel tiles_amx;
/* Fused multiply-adds with AVX-512 and with AVX2; both have the same bits. */
extern const tile_kernel tiles_fma512, tiles_fma256;

#endif
