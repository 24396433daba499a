/* Rotary and relative positions: tables of angles, and the rotation of one head. What differs between models is
 * the frequency of a pair and where its two numbers lie. */
#include "models/attention/positions.h"

#include "models/engine/kernels.h"

#include <math.h>

double rope_llama3_divisor(double factor, double low, double high, double original, double wavelength)
{
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const double share = (original / wavelength - low) / (high - low);
    return 1 / ((1 - share) / factor + share);
}

static double llama3_divisor(const model_config *cfg, double wavelength)
{
    return rope_llama3_divisor(cfg->rope_factor, cfg->rope_low, cfg->rope_high, (double)cfg->rope_original,
                               wavelength);
}

/* The pair, not rounded, that turns `turns` times in rope_original positions. */
static double pair_of_turns(const model_config *cfg, double base, double turns)
{
    const double pi = acos(-1);
    return (double)cfg->d_head * log((double)cfg->rope_original / (turns * 2 * pi)) / (2 * log(base));
}

/* Pairs below the first border keep their frequency, those above the second are divided by rope_factor. */
static double yarn_frequency(const model_config *cfg, double base, size_t pair, double plain)
{
    double first = pair_of_turns(cfg, base, cfg->rope_fast), last = pair_of_turns(cfg, base, cfg->rope_slow);
    if (cfg->rope_truncate) {
        first = floor(first);
        last = ceil(last);
    }
    first = fmax(first, 0);
    last = fmin(last, (double)cfg->d_head - 1);
    if (first == last) last += 0.001;
    const double ramp = fmin(fmax(((double)pair - first) / (last - first), 0), 1);
    return plain / cfg->rope_factor * ramp + plain * (1 - ramp);
}

/* The frequency without scaling. */
static double plain_frequency(const model_config *cfg, double base, size_t pair)
{
    const double half = (double)cfg->d_head / 2;
    if (cfg->rope_angles == ROPE_ANGLES_EXACT) return pow(base, -(double)pair / half);
    return (double)(1 / powf((float)base, (float)pair / (float)half));
}

static double scaled_frequency(const model_config *cfg, double base, size_t pair)
{
    const double plain = plain_frequency(cfg, base, pair);
    switch ((rope_scaling)cfg->rope_scaling) {
    case ROPE_LINEAR:
        return plain / cfg->rope_factor;
    case ROPE_LLAMA3:
        return plain / llama3_divisor(cfg, 2 * acos(-1) / plain);
    case ROPE_YARN:
        return yarn_frequency(cfg, base, pair, plain);
    case ROPE_UNSCALED:
        break;
    }
    return plain;
}

double rope_frequency(const model_config *cfg, double base, size_t pair)
{
    const double frequency = scaled_frequency(cfg, base, pair);
    return cfg->rope_angles == ROPE_ANGLES_EXACT ? frequency : (double)(float)frequency;
}

double rope_length(const model_config *cfg)
{
    if (cfg->rope_scaling != ROPE_YARN) return 1;
    return cfg->rope_attention > 0 ? cfg->rope_attention : 0.1 * log(cfg->rope_factor) + 1;
}

size_t rope_table_reals(const model_config *cfg, size_t positions)
{
    return positions * (size_t)cfg->d_head;
}

void rope_table_from(const model_config *cfg, double base, int64_t first, size_t positions, real *table)
{
    const size_t half = (size_t)cfg->d_head / 2;
    const double length = rope_length(cfg);
    for (size_t i = 0; i < half; i++) {
        const double frequency = rope_frequency(cfg, base, i);
        for (size_t p = 0; p < positions; p++) {
            const double exact = ((double)first + (double)p) * frequency;
            const double angle = cfg->rope_angles == ROPE_ANGLES_EXACT ? exact : (double)(float)exact;
            table[2 * half * p + i] = (real)(length * cos(angle));
            table[2 * half * p + half + i] = (real)(length * sin(angle));
        }
    }
}

void rope_table_fill(const model_config *cfg, double base, size_t positions, real *table)
{
    rope_table_from(cfg, base, 0, positions, table);
}

static void rotate_pairs(real *y, const real *x, const real *cosine, const real *sine, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        const real a = x[2 * i], b = x[2 * i + 1];
        y[2 * i] = a * cosine[i] - b * sine[i];
        y[2 * i + 1] = b * cosine[i] + a * sine[i];
    }
}

static void rotate_pairs_backward(real *dx, const real *dy, const real *cosine, const real *sine, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        const real a = dy[2 * i], b = dy[2 * i + 1];
        dx[2 * i] += a * cosine[i] + b * sine[i];
        dx[2 * i + 1] += b * cosine[i] - a * sine[i];
    }
}

void rope_row(const model_config *cfg, const real *table, size_t position, real *y, const real *x)
{
    const size_t half = (size_t)cfg->d_head / 2;
    const real *angle = table + 2 * half * position;
    if (cfg->rope_layout == ROPE_INTERLEAVED)
        rotate_pairs(y, x, angle, angle + half, half);
    else
        kernels_get()->rope(y, x, angle, angle + half, half);
}

void rope_row_backward(const model_config *cfg, const real *table, size_t position, real *dx, const real *dy)
{
    const size_t half = (size_t)cfg->d_head / 2;
    const real *angle = table + 2 * half * position;
    if (cfg->rope_layout == ROPE_INTERLEAVED)
        rotate_pairs_backward(dx, dy, angle, angle + half, half);
    else
        kernels_get()->rope_backward(dx, dy, angle, angle + half, half);
}

void relative_table_fill(size_t width, size_t distances, size_t clamp, real *table)
{
    const size_t half = width / 2;
    for (size_t i = 0; i < half; i++) {
        const double frequency = pow(10000, -(double)i / (double)half);
        for (size_t distance = 0; distance < distances; distance++) {
            const double angle = (double)(distance < clamp ? distance : clamp) * frequency;
            table[distance * 2 * half + i] = (real)sin(angle);
            table[distance * 2 * half + half + i] = (real)cos(angle);
        }
    }
}
