/* Positions: rotary ones (Su et al. 2021), by layout and scaling, and Transformer-XL's relative encodings. */
#ifndef PAL_ATTENTION_POSITIONS_H
#define PAL_ATTENTION_POSITIONS_H

#include "models/config/config.h"
#include "models/engine/real.h"

/* The values of the config's keys rope_layout and rope_scaling.
 * half: pair i of a head is (i, i + d_head / 2), as in NeoX and HuggingFace; interleaved: (2i, 2i + 1), as in GGUF
 * files of Llama.
 * linear: all frequencies are divided by rope_factor. llama3: those of wavelengths beyond rope_original / rope_low
 * are, those below rope_original / rope_high are not, and between the two the divisor goes over smoothly.
 * yarn (Peng et al. 2023, as in HuggingFace): pairs that turn more than rope_fast times in rope_original positions
 * keep their frequency, those that turn less than rope_slow times are divided; rotation also stretches q and k. */
typedef enum rope_layout { ROPE_HALF, ROPE_INTERLEAVED } rope_layout;
typedef enum rope_scaling { ROPE_UNSCALED, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN } rope_scaling;

/* Whether frequencies and angles keep their double precision, or are rounded to single as in PyTorch: at position
 * 4,000 an angle is then 1e-4 off, which a model that was trained so has learned with. */
typedef enum rope_angles { ROPE_ANGLES_EXACT, ROPE_ANGLES_SINGLE } rope_angles;

/* Radians a position of pair i. */
double rope_frequency(const model_config *cfg, double base, size_t pair);
/* By how much llama3 divides the frequency of a wavelength. */
double rope_llama3_divisor(double factor, double low, double high, double original, double wavelength);
/* What rotation multiplies the length of q and k by: 1 but for yarn, which sharpens attention so. */
double rope_length(const model_config *cfg);
/* A table holds the cosines of all pairs, then their sines, for each position. */
size_t rope_table_reals(const model_config *cfg, size_t positions);
void rope_table_fill(const model_config *cfg, double base, size_t positions, real *table);
/* The same for `positions` of them from `first` on, which may lie far away on either side. */
void rope_table_from(const model_config *cfg, double base, int64_t first, size_t positions, real *table);
/* y[d_head] = x[d_head] rotated to `position`; y may alias x. */
void rope_row(const model_config *cfg, const real *table, size_t position, real *y, const real *x);
/* dx += dy rotated back. */
void rope_row_backward(const model_config *cfg, const real *table, size_t position, real *dx, const real *dy);

/* table[distances, width]: r of each distance = [sin | cos] of distance * 10000^(-2i / width); distances beyond
 * `clamp` share its encoding (Dai et al. 2019). width is even. */
void relative_table_fill(size_t width, size_t distances, size_t clamp, real *table);

#endif
