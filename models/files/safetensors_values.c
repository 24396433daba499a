/* The numbers in a tensor of a safetensors file, whatever their type, aligned or not.
 * Also whether all of them are finite, in vector code. */
#include "models/files/block_types.h"
#include "models/files/safetensors.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[ST_DTYPES] = {
    [ST_F32] = {"F32", 4}, [ST_BF16] = {"BF16", 2}, [ST_F16] = {"F16", 2}, [ST_F64] = {"F64", 8},
    [ST_I32] = {"I32", 4}, [ST_I64] = {"I64", 8},   [ST_U8] = {"U8", 1},
};

const char *st_dtype_name(st_dtype dtype)
{
    return dtypes[dtype].name;
}

size_t st_dtype_bytes(st_dtype dtype)
{
    return dtypes[dtype].size;
}

/* Round to nearest, ties to even. */
static uint16_t bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40); /* NaN stays NaN */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void st_put_values(st_dtype dtype, const real *x, size_t count, void *out)
{
    if (dtype == (sizeof(real) == sizeof(double) ? ST_F64 : ST_F32)) {
        memcpy(out, x, count * sizeof *x);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const double wide = (double)x[i];
        const float single = (float)x[i];
        const uint16_t half = bf16(single);
        const size_t width = dtypes[dtype].size;
        memcpy((char *)out + i * width,
               dtype == ST_F64    ? (const void *)&wide
               : dtype == ST_BF16 ? (const void *)&half
                                  : (const void *)&single,
               width);
    }
}

size_t st_elements(const st_tensor *t)
{
    size_t n = 1;
    for (int i = 0; i < t->dims; i++) n *= t->dim[i];
    return n;
}

double st_value(const st_tensor *t, size_t i)
{
    /* memcpy: foreign files need not align their data. */
    const char *at = (const char *)t->data + i * dtypes[t->dtype].size;
    union {
        float f32;
        double f64;
        uint32_t bits;
        int32_t i32;
        int64_t i64;
    } v;
    switch (t->dtype) {
    case ST_F32:
        memcpy(&v.f32, at, 4);
        return v.f32;
    case ST_BF16: {
        uint16_t high;
        memcpy(&high, at, 2);
        v.bits = (uint32_t)high << 16;
        return v.f32;
    }
    case ST_F16: {
        uint16_t half;
        memcpy(&half, at, 2);
        return half_value(half);
    }
    case ST_F64:
        memcpy(&v.f64, at, 8);
        return v.f64;
    case ST_I32:
        memcpy(&v.i32, at, 4);
        return v.i32;
    case ST_I64:
        memcpy(&v.i64, at, 8);
        return (double)v.i64;
    case ST_U8:
        return *(const unsigned char *)at;
    case ST_DTYPES:
        break;
    }
    return 0;
}

void st_values(const st_tensor *t, real *out)
{
    const size_t n = st_elements(t);
    if (t->dtype == ST_F32 && sizeof(real) == sizeof(float)) {
        memcpy(out, t->data, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) out[i] = (real)st_value(t, i);
}

/* Whether an infinity or a NaN is among n numbers: all bits of the exponent are set. */
static int any_of_32(const char *at, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, at + i * sizeof bits, sizeof bits);
        bad |= (bits & 0x7f800000) == 0x7f800000;
    }
    return bad != 0;
}

static int any_of_16(const char *at, size_t n, uint16_t exponent)
{
    uint16_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, at + i * sizeof bits, sizeof bits);
        bad |= (bits & exponent) == exponent;
    }
    return bad != 0;
}

int st_finite(const st_tensor *t, size_t *index)
{
    const size_t n = st_elements(t);
    /* The compiler makes vector code of these; the loop below then only finds the place. */
    if (t->dtype == ST_F32 && !any_of_32(t->data, n)) return 1;
    if (t->dtype == ST_BF16 && !any_of_16(t->data, n, 0x7f80)) return 1;
    if (t->dtype == ST_F16 && !any_of_16(t->data, n, 0x7c00)) return 1;
    for (size_t i = 0; i < n; i++) {
        /* A double may be finite and yet too large for a real. */
        if (isfinite((real)st_value(t, i))) continue;
        *index = i;
        return 0;
    }
    return 1;
}
