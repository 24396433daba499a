/* Products on a processor's matrix tiles (AMX). A number is three bf16 parts whose sum it is; of the nine products
 * of two numbers' parts the six largest are summed in f32, which errs no more than f32 products do (Henry et al.
 * 2019). An element of C is one sum in an order that depends on k alone: however C is cut, its bits stay. */
#ifndef PAL_TILES_H
#define PAL_TILES_H

#include "models/engine/real.h"

/* Lines of a panel, depth of a step, bf16 parts of a number. */
enum { TILE_LINES = 32, TILE_DEPTH = 32, TILE_PARTS = 3 };

/* Whether processor and system let this process use them; never in the double build. */
int tiles_ready(void);

/* A factor's lines: element k of line i is x[i * ld + k], or x[k * ld + i] where lines lie across. bf16: the
 * numbers are the upper halves of floats, and x points to uint16_t; along lines of a right factor only. */
typedef struct tile_source {
    const void *x;
    size_t ld;
    int across, bf16;
} tile_source;

/* uint16_t of a panel of TILE_LINES lines of `depth` elements, in `parts` parts. */
size_t tiles_panel(size_t depth, int parts);
/* Pack `count` <= TILE_LINES lines from `line` on, elements `from` to `from + depth` - 1, with zeros up to a whole
 * panel: rows of the left factor in TILE_PARTS parts; columns of the right one in one part if it is bf16. */
void tiles_pack_left(const tile_source *s, size_t line, size_t count, size_t from, size_t depth, uint16_t *panel);
void tiles_pack_right(const tile_source *s, size_t line, size_t count, size_t from, size_t depth, uint16_t *panel);

/* c[rows, TILE_LINES] (ld TILE_LINES) = (accumulate ? c : 0) + left x right: left panels of all rows follow each
 * other, right is one panel in `parts`. c has room for rows rounded up to whole panels. */
void tiles_multiply(const uint16_t *left, size_t rows, const uint16_t *right, int parts, size_t depth,
                    int accumulate, real *c);

#endif
