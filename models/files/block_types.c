/* Expansion of GGUF's number types to 32-bit floats, one function for each type.
 * The order of the products is the reference's, so that the bits are. */
#include "models/files/block_types.h"

#include <endian.h>
#include <string.h>

/* ---- Numbers ---- */

static uint16_t read_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float half_value(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits >> 15) << 31, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31) return float_of(sign | 255u << 23 | fraction << 13);
    if (exponent > 0) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
    const float small = (float)fraction * 0x1p-24f; /* subnormal halves are normal floats */
    return sign ? -small : small;
}

static float half_at(const uint8_t *at)
{
    return half_value(read_u16(at));
}

/* ---- Plain floats ---- */

static void expand_f32(const uint8_t *block, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) out[i] = float_of(read_u32(block + 4 * i));
}

static void expand_f16(const uint8_t *block, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) out[i] = half_at(block + 2 * i);
}

static void expand_bf16(const uint8_t *block, size_t count, float *out)
{
    enum { STEP = 16 };
    size_t i = 0;
    for (; i + STEP <= count; i += STEP) {
        uint16_t half[STEP];
        uint32_t bits[STEP];
        memcpy(half, block + 2 * i, sizeof half);
        for (int j = 0; j < STEP; j++) bits[j] = (uint32_t)le16toh(half[j]) << 16;
        memcpy(out + i, bits, sizeof bits);
    }
    for (; i < count; i++) out[i] = float_of((uint32_t)read_u16(block + 2 * i) << 16);
}

/* ---- Blocks of 32: low nibbles hold the first half, high nibbles the second ---- */

enum { HALF_BLOCK = 16, BLOCK_32 = 32 };

/* Bytes of a block on their own: what is written cannot change them, so that the compiler makes vectors of loops.
 */
typedef struct half_bytes {
    uint8_t x[HALF_BLOCK];
} half_bytes;

static half_bytes bytes_at(const uint8_t *at)
{
    half_bytes half;
    memcpy(half.x, at, sizeof half.x);
    return half;
}

static void expand_q4_0(const uint8_t *block, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, block += 18, out += BLOCK_32) {
        const float d = half_at(block);
        const half_bytes q = bytes_at(block + 2);
        for (int j = 0; j < HALF_BLOCK; j++) out[j] = d * (float)((q.x[j] & 15) - 8);
        for (int j = 0; j < HALF_BLOCK; j++) out[j + HALF_BLOCK] = d * (float)((q.x[j] >> 4) - 8);
    }
}

static void expand_q4_1(const uint8_t *block, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, block += 20, out += BLOCK_32) {
        const float d = half_at(block), m = half_at(block + 2);
        const half_bytes q = bytes_at(block + 4);
        for (int j = 0; j < HALF_BLOCK; j++) out[j] = d * (float)(q.x[j] & 15) + m;
        for (int j = 0; j < HALF_BLOCK; j++) out[j + HALF_BLOCK] = d * (float)(q.x[j] >> 4) + m;
    }
}

/* Value j of 32: four bits out of `nibbles`, the fifth out of `high`. */
static int five_bits(const uint8_t *nibbles, uint32_t high, int j)
{
    const int low = j < HALF_BLOCK ? nibbles[j] & 15 : nibbles[j - HALF_BLOCK] >> 4;
    return low | (int)(high >> j & 1) << 4;
}

static void expand_q5_0(const uint8_t *block, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, block += 22, out += BLOCK_32) {
        const float d = half_at(block);
        const uint32_t high = read_u32(block + 2);
        for (int j = 0; j < BLOCK_32; j++) out[j] = d * (float)(five_bits(block + 6, high, j) - 16);
    }
}

static void expand_q5_1(const uint8_t *block, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, block += 24, out += BLOCK_32) {
        const float d = half_at(block), m = half_at(block + 2);
        const uint32_t high = read_u32(block + 4);
        for (int j = 0; j < BLOCK_32; j++) out[j] = d * (float)five_bits(block + 8, high, j) + m;
    }
}

static void expand_q8_0(const uint8_t *block, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, block += 34, out += BLOCK_32) {
        const float d = half_at(block);
        const half_bytes q[2] = {bytes_at(block + 2), bytes_at(block + 2 + HALF_BLOCK)};
        for (int j = 0; j < HALF_BLOCK; j++) out[j] = d * (float)(int8_t)q[0].x[j];
        for (int j = 0; j < HALF_BLOCK; j++) out[j + HALF_BLOCK] = d * (float)(int8_t)q[1].x[j];
    }
}

/* ---- Blocks of 256: eight groups of 32 with 6-bit scales and minima ---- */

enum { SUPER_BLOCK = 256, GROUPS = 8, SCALE_BYTES = 12 };

static void unpack_scales(const uint8_t *s, uint8_t scale[GROUPS], uint8_t minimum[GROUPS])
{
    for (int j = 0; j < 4; j++) {
        scale[j] = s[j] & 63;
        minimum[j] = s[j + 4] & 63;
        scale[j + 4] = (uint8_t)((s[j + 8] & 15) | s[j] >> 6 << 4);
        minimum[j + 4] = (uint8_t)(s[j + 8] >> 4 | s[j + 4] >> 6 << 4);
    }
}

/* Q4_K, and Q5_K where `high` holds a fifth bit for each value. */
static void expand_groups(const uint8_t *block, const uint8_t *high, const uint8_t *nibbles, float *out)
{
    uint8_t scale[GROUPS], minimum[GROUPS];
    const float d = half_at(block), dmin = half_at(block + 2);
    unpack_scales(block + 4, scale, minimum);
    for (int g = 0; g < GROUPS; g++) {
        const float step = d * (float)scale[g], base = dmin * (float)minimum[g];
        for (int j = 0; j < BLOCK_32; j++) {
            const uint8_t both = nibbles[g / 2 * BLOCK_32 + j];
            int q = g % 2 ? both >> 4 : both & 15;
            if (high) q |= (high[j] >> g & 1) << 4;
            out[g * BLOCK_32 + j] = step * (float)q - base;
        }
    }
}

static void expand_q4_k(const uint8_t *block, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, block += 144, out += SUPER_BLOCK)
        expand_groups(block, NULL, block + 4 + SCALE_BYTES, out);
}

static void expand_q5_k(const uint8_t *block, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, block += 176, out += SUPER_BLOCK)
        expand_groups(block, block + 4 + SCALE_BYTES, block + 4 + SCALE_BYTES + BLOCK_32, out);
}

/* Six bits: four out of `low`, two out of `high`; 16 signed scales of 16 values each. */
static void expand_q6_k(const uint8_t *block, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, block += 210) {
        const uint8_t *low = block, *high = block + 128;
        const int8_t *scale = (const int8_t *)block + 192;
        const float d = half_at(block + 208);
        for (int half = 0; half < 2; half++, low += 64, high += 32, scale += GROUPS, out += 128)
            for (int part = 0; part < 4; part++)
                for (int j = 0; j < BLOCK_32; j++) {
                    const uint8_t both = low[part % 2 * BLOCK_32 + j];
                    const int four = part < 2 ? both & 15 : both >> 4;
                    const int q = (four | (high[j] >> 2 * part & 3) << 4) - 32;
                    out[part * BLOCK_32 + j] = d * (float)scale[2 * part + j / HALF_BLOCK] * (float)q;
                }
    }
}

static const block_format formats[] = {
    {BLOCK_F32, "F32", 1, 4, expand_f32, 0, 0},
    {BLOCK_F16, "F16", 1, 2, expand_f16, 0, 0},
    {BLOCK_BF16, "BF16", 1, 2, expand_bf16, 0, 0},
    {BLOCK_Q4_0, "Q4_0", BLOCK_32, 18, expand_q4_0, 1, 0},
    {BLOCK_Q4_1, "Q4_1", BLOCK_32, 20, expand_q4_1, 2, 0},
    {BLOCK_Q5_0, "Q5_0", BLOCK_32, 22, expand_q5_0, 1, 0},
    {BLOCK_Q5_1, "Q5_1", BLOCK_32, 24, expand_q5_1, 2, 0},
    {BLOCK_Q8_0, "Q8_0", BLOCK_32, 34, expand_q8_0, 1, 0},
    {BLOCK_Q4_K, "Q4_K", SUPER_BLOCK, 144, expand_q4_k, 2, 0},
    {BLOCK_Q5_K, "Q5_K", SUPER_BLOCK, 176, expand_q5_k, 2, 0},
    {BLOCK_Q6_K, "Q6_K", SUPER_BLOCK, 210, expand_q6_k, 1, 208},
};

const block_format *block_format_find(uint32_t type)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if ((uint32_t)formats[i].type == type) return &formats[i];
    return NULL;
}

const char *block_type_name(uint32_t type)
{
    static const char *const names[] = {
        "F32",   "F16",    "Q4_0", "Q4_1", "type 4", "type 5",  "Q5_0",   "Q5_1",    "Q8_0",  "Q8_1",   "Q2_K",
        "Q3_K",  "Q4_K",   "Q5_K", "Q6_K", "Q8_K",   "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
        "IQ2_S", "IQ4_XS", "I8",   "I16",  "I32",    "I64",     "F64",    "IQ1_M",   "BF16"};
    return type < sizeof names / sizeof *names ? names[type] : "unknown";
}

void block_expand(const block_format *format, const void *data, size_t values, float *out)
{
    format->expand(data, values / format->values, out);
}

/* ---- Numbers that are none ---- */

static int wild_half(const uint8_t *at)
{
    return (read_u16(at) & 0x7c00) == 0x7c00;
}

/* One number, or the scales of a block of them. A product of a finite half and small whole numbers is finite. */
static int wild_block(const block_format *f, const uint8_t *block)
{
    if (f->type == BLOCK_F32) return (read_u32(block) & 0x7f800000) == 0x7f800000;
    if (f->type == BLOCK_BF16) return (read_u16(block) & 0x7f80) == 0x7f80;
    int wild = 0;
    for (size_t i = 0; i < (f->scales ? f->scales : 1); i++) wild |= wild_half(block + f->scale + 2 * i);
    return wild;
}

/* The loop that large files spend their time in: it stays free of branches. */
static int any_wild_bf16(const uint8_t *at, size_t count)
{
    unsigned wild = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, at + 2 * i, sizeof bits);
        wild |= (bits & 0x7f80u) == 0x7f80u;
    }
    return wild != 0;
}

size_t block_first_wild(const block_format *format, const void *data, size_t values)
{
    const uint8_t *block = data;
    const size_t blocks = values / format->values;
    size_t i = 0;
    if (format->type == BLOCK_BF16 && !any_wild_bf16(block, blocks)) return values;
    while (i < blocks && !wild_block(format, block + i * format->bytes)) i++;
    return i < blocks ? i * format->values : values;
}
