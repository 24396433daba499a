/* Vector kernels: exponentials, softmax, norms, activations. One source, compiled once for each instruction set.
 * Every set gives the same bits: sums run in a fixed order of 16 lanes. */
#include "models/engine/kernels.h"
#include "models/engine/row_kernels.h"
#include "models/engine/vectors.h"

/* exp(x) for x <= 88; 0 below -87.7. */
#ifdef PAL_DOUBLE
INLINE vec exponential(vec x)
{
    vec r;
    for (int i = 0; i < WIDTH; i++) r[i] = exp(x[i]);
    return r;
}
#else
/* 2^n e^r with n = round(x / ln 2) and |r| <= ln(2)/2; e^r = 1 + r + r^2 P(r), P the minimax polynomial of
 * relative error 3e-9. ln 2 is split so that n times its leading part is exact. Adding 1.5 * 2^23 rounds to an
 * integer and leaves it in the low bits; n = -127 makes the scale factor's bits 0. */
INLINE vec exponential(vec x)
{
    const float round_shift = 12582912.0f;
    x = maximum(splat(-88), x);
    const vec shifted = x * 1.44269504f + round_shift;
    const vec n = shifted - round_shift;
    const vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    vec p = r * 1.381432055e-3f + 8.368850686e-3f;
    p = p * r + 4.166840017e-2f;
    p = p * r + 1.666651964e-1f;
    p = p * r + 4.999999404e-1f;
    p = (p * r) * r + r + 1.0f;
    const mask scale = ((mask)shifted << 23) + 0x3f800000u;
    return p * (vec)scale;
}
#endif

INLINE real largest(const real *x, size_t n)
{
    partials top;
    for (int part = 0; part < PARTS; part++) top.part[part] = splat(-INFINITY);
    FOR_VECTORS(n, top.part[part] = maximum(load(x + i, left, -INFINITY), top.part[part]););
    return max_partials(top);
}

static real log_sum_exp(const real *s, size_t n)
{
    const real shift = largest(s, n);
    partials total = {0};
    FOR_VECTORS(n, total.part[part] += exponential(load(s + i, left, -INFINITY) - shift););
    return shift + LOG(sum_partials(total));
}

static real softmax(real *s, size_t lo, size_t hi, size_t cols, real scale)
{
    memset(s, 0, (lo < cols ? lo : cols) * sizeof *s);
    if (hi < cols) memset(s + hi, 0, (cols - hi) * sizeof *s);
    if (lo >= hi) return -INFINITY;
    real *x = s + lo;
    const size_t n = hi - lo;
    const real shift = scale * largest(x, n);
    partials total = {0};
    FOR_VECTORS(n, {
        const vec e = exponential(load(x + i, left, -INFINITY) * scale - shift);
        store(x + i, e, left);
        total.part[part] += e;
    });
    const real sum = sum_partials(total), factor = 1 / sum;
    FOR_VECTORS(n, store(x + i, load(x + i, left, 0) * factor, left););
    return shift + LOG(sum);
}

static void softmax_again(real *s, size_t lo, size_t hi, size_t cols, real scale, real lse)
{
    memset(s, 0, (lo < cols ? lo : cols) * sizeof *s);
    if (hi < cols) memset(s + hi, 0, (cols - hi) * sizeof *s);
    if (lo >= hi) return;
    real *x = s + lo;
    FOR_VECTORS(hi - lo, store(x + i, exponential(load(x + i, left, 0) * scale - lse), left););
}

static void softmax_backward(real *dp, const real *p, size_t cols, real scale, real dot)
{
    FOR_VECTORS(cols, store(dp + i, load(p + i, left, 0) * (load(dp + i, left, 0) - dot) * scale, left););
}

static size_t first_above(const real *a, real bar, size_t n)
{
    size_t i = 0;
    for (int above = 0; i + 64 <= n; i += 64) { /* without branches inside, so that it vectorises */
        for (size_t j = 0; j < 64; j++) above |= a[i + j] > bar;
        if (above) break;
    }
    while (i < n && !(a[i] > bar)) i++;
    return i;
}

static size_t argmax(const real *a, size_t n)
{
    const real most = largest(a, n);
    size_t i = 0;
    for (int there = 0; i + 64 <= n; i += 64) {
        for (size_t j = 0; j < 64; j++) there |= a[i + j] == most;
        if (there) break;
    }
    while (i < n && a[i] != most) i++;
    return i < n ? i : 0;
}

static real dot(const real *a, const real *b, size_t n)
{
    partials total = {0};
    FOR_VECTORS(n, total.part[part] += load(a + i, left, 0) * load(b + i, left, 0););
    return sum_partials(total);
}

/* CHAIN_VECTORS vectors of keys for `queries` queries (a constant where this is inlined), all in registers. */
enum { CHAIN_QUERIES = 6, CHAIN_VECTORS = 2 };

INLINE void chain_tile(real *s, size_t lds, const real *q, size_t ldq, size_t queries, const real *keys,
                       size_t ldkeys, size_t n)
{
    vec total[CHAIN_QUERIES][CHAIN_VECTORS] = {0};
    for (size_t i = 0; i < n; i++) {
        vec key[CHAIN_VECTORS];
        for (size_t v = 0; v < CHAIN_VECTORS; v++) key[v] = load(keys + i * ldkeys + v * WIDTH, WIDTH, 0);
        for (size_t r = 0; r < queries; r++) {
            const vec element = splat(q[r * ldq + i]);
            for (size_t v = 0; v < CHAIN_VECTORS; v++) total[r][v] = fused_vec(element, key[v], total[r][v]);
        }
    }
    for (size_t r = 0; r < queries; r++)
        for (size_t v = 0; v < CHAIN_VECTORS; v++) store(s + r * lds + v * WIDTH, total[r][v], WIDTH);
}

static void chain_products(real *s, size_t lds, const real *q, size_t ldq, size_t queries, const real *keys,
                           size_t ldkeys, size_t n)
{
    for (size_t key = 0; key < ldkeys; key += CHAIN_VECTORS * WIDTH) {
        size_t row = 0;
        for (; row + CHAIN_QUERIES <= queries; row += CHAIN_QUERIES)
            chain_tile(s + row * lds + key, lds, q + row * ldq, ldq, CHAIN_QUERIES, keys + key, ldkeys, n);
        for (; row < queries; row++)
            chain_tile(s + row * lds + key, lds, q + row * ldq, ldq, 1, keys + key, ldkeys, n);
    }
}

static real sum(const real *a, size_t n)
{
    partials total = {0};
    FOR_VECTORS(n, total.part[part] += load(a + i, left, 0););
    return sum_partials(total);
}

static void axpy(real *y, real alpha, const real *x, size_t n)
{
    FOR_VECTORS(n, store(y + i, load(y + i, left, 0) + load(x + i, left, 0) * alpha, left););
}

static void blend(real *y, real alpha, const real *x, real beta, const real *z, size_t n)
{
    FOR_VECTORS(n, store(y + i, load(x + i, left, 0) * alpha + load(z + i, left, 0) * beta, left););
}

static void scale_by(real *y, real alpha, size_t n)
{
    FOR_VECTORS(n, store(y + i, load(y + i, left, 0) * alpha, left););
}

static void multiply(real *y, const real *a, const real *b, size_t n)
{
    FOR_VECTORS(n, store(y + i, load(a + i, left, 0) * load(b + i, left, 0), left););
}

INLINE vec reversed(vec v)
{
#if defined(PAL_DOUBLE)
    return __builtin_shufflevector(v, v, 1, 0);
#elif VECTOR_BYTES == 64
    return __builtin_shufflevector(v, v, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
#elif VECTOR_BYTES == 32
    return __builtin_shufflevector(v, v, 7, 6, 5, 4, 3, 2, 1, 0);
#else
    return __builtin_shufflevector(v, v, 3, 2, 1, 0);
#endif
}

static void add_reversed(real *y, const real *x, size_t n)
{
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        store(y + i, load(y + i, WIDTH, 0) + reversed(load(x + n - WIDTH - i, WIDTH, 0)), WIDTH);
    for (; i < n; i++) y[i] += x[n - 1 - i];
}

/* In squares of four: wider ones are not faster, shuffles being the limit. */
static void transpose(real *y, size_t ldy, const real *x, size_t ldx, size_t rows, size_t cols)
{
    size_t row = 0;
    for (; row + 4 <= rows; row += 4) {
        const real *from = x + row * ldx;
        size_t col = 0;
        for (; col + 4 <= cols; col += 4) {
            const quad a = load_quad(from + col), b = load_quad(from + ldx + col);
            const quad c = load_quad(from + 2 * ldx + col), d = load_quad(from + 3 * ldx + col);
            const quad ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5);
            const quad ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7);
            const quad bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5);
            const quad bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
            real *to = y + col * ldy + row;
            store_quad(to, __builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5));
            store_quad(to + ldy, __builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7));
            store_quad(to + 2 * ldy, __builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5));
            store_quad(to + 3 * ldy, __builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7));
        }
        for (; col < cols; col++)
            for (size_t i = 0; i < 4; i++) y[col * ldy + row + i] = from[i * ldx + col];
    }
    for (; row < rows; row++)
        for (size_t col = 0; col < cols; col++) y[col * ldy + row] = x[row * ldx + col];
}

static void norm(real *y, const real *x, const real *gain, const real *bias, size_t n, real eps, real *mean,
                 real *rstd)
{
    const real m = sum(x, n) / (real)n;
    partials total = {0};
    FOR_VECTORS(n, {
        const vec d = load(x + i, left, m) - m;
        total.part[part] += d * d;
    });
    const real r = 1 / SQRT(sum_partials(total) / (real)n + eps);
    FOR_VECTORS(n, {
        const vec normal = (load(x + i, left, 0) - m) * r;
        store(y + i, normal * load(gain + i, left, 0) + load(bias + i, left, 0), left);
    });
    *mean = m;
    *rstd = r;
}

/* With h = (x - mean) rstd and g = dy gain: dx = rstd (g - mean(g) - h mean(g h)). */
static void norm_backward(real *dx, real *dgain, real *dbias, const real *dy, const real *x, const real *gain,
                          size_t n, real mean, real rstd)
{
    partials total_g = {0}, total_gh = {0};
    FOR_VECTORS(n, {
        const vec h = (load(x + i, left, 0) - mean) * rstd, d = load(dy + i, left, 0);
        const vec g = d * load(gain + i, left, 0);
        total_g.part[part] += g;
        total_gh.part[part] += g * h;
        if (dgain) store(dgain + i, load(dgain + i, left, 0) + d * h, left);
        if (dbias) store(dbias + i, load(dbias + i, left, 0) + d, left);
    });
    if (!dx) return;
    const real mean_g = sum_partials(total_g) / (real)n, mean_gh = sum_partials(total_gh) / (real)n;
    FOR_VECTORS(n, {
        const vec h = (load(x + i, left, 0) - mean) * rstd;
        const vec g = load(dy + i, left, 0) * load(gain + i, left, 0);
        store(dx + i, load(dx + i, left, 0) + (g - mean_g - h * mean_gh) * rstd, left);
    });
}

static void rms(real *y, const real *x, const real *gain, size_t n, real eps, real *rstd)
{
    const real r = 1 / SQRT(dot(x, x, n) / (real)n + eps);
    FOR_VECTORS(n, store(y + i, load(x + i, left, 0) * r * load(gain + i, left, 0), left););
    *rstd = r;
}

/* With h = x rstd and g = dy gain: dx = rstd (g - h mean(g h)). */
static void rms_backward(real *dx, real *dgain, const real *dy, const real *x, const real *gain, size_t n,
                         real rstd)
{
    partials total = {0};
    FOR_VECTORS(n, {
        const vec h = load(x + i, left, 0) * rstd, d = load(dy + i, left, 0);
        total.part[part] += d * load(gain + i, left, 0) * h;
        if (dgain) store(dgain + i, load(dgain + i, left, 0) + d * h, left);
    });
    if (!dx) return;
    const real mean = sum_partials(total) / (real)n;
    FOR_VECTORS(n, {
        const vec h = load(x + i, left, 0) * rstd, g = load(dy + i, left, 0) * load(gain + i, left, 0);
        store(dx + i, load(dx + i, left, 0) + (g - h * mean) * rstd, left);
    });
}

static void rms_through(real *dx, const real *x, const real *gain, size_t n, real rstd)
{
    partials total = {0};
    FOR_VECTORS(n, {
        total.part[part] += load(dx + i, left, 0) * load(gain + i, left, 0) * (load(x + i, left, 0) * rstd);
    });
    const real mean = sum_partials(total) / (real)n;
    FOR_VECTORS(n, {
        const vec h = load(x + i, left, 0) * rstd, g = load(dx + i, left, 0) * load(gain + i, left, 0);
        store(dx + i, (g - h * mean) * rstd, left);
    });
}

/* 0.5 x (1 + tanh u) = x sigmoid(2u) with u = sqrt(2/pi) (x + 0.044715 x^3) (Hendrycks & Gimpel 2016); the second
 * form does not cancel. The exponent stops at 80 so that nothing overflows or turns denormal. */
#define GELU_LINEAR ((real)1.5957691216057308) /* 2 sqrt(2/pi) */
#define GELU_CUBIC ((real)0.0713548162726009)  /* 2 sqrt(2/pi) 0.044715 */

INLINE vec gelu_sigmoid(vec x, vec x_squared)
{
    const vec minus_2u = -x * (x_squared * GELU_CUBIC + GELU_LINEAR);
    return splat(1) / (exponential(minimum(splat(80), minus_2u)) + 1);
}

static void gelu(real *y, const real *x, size_t n)
{
    FOR_VECTORS(n, {
        const vec v = load(x + i, left, 0);
        store(y + i, v * gelu_sigmoid(v, v * v), left);
    });
}

static void gelu_backward(real *dx, const real *dy, const real *x, size_t n)
{
    FOR_VECTORS(n, {
        const vec v = load(x + i, left, 0), squared = v * v, s = gelu_sigmoid(v, squared);
        const vec slope = squared * (3 * GELU_CUBIC) + GELU_LINEAR; /* of 2u */
        store(dx + i, load(dy + i, left, 0) * (s + v * slope * (s * (1 - s))), left);
    });
}

static void relu(real *y, const real *x, size_t n)
{
    FOR_VECTORS(n, store(y + i, maximum(splat(0), load(x + i, left, 0)), left););
}

static void relu_backward(real *dx, const real *dy, const real *x, size_t n)
{
    FOR_VECTORS(n, store(dx + i, where_positive(load(x + i, left, 0), load(dy + i, left, 0), splat(0)), left););
}

INLINE vec sigmoid(vec x)
{
    return splat(1) / (exponential(minimum(splat(80), -x)) + 1);
}

static void silu(real *y, const real *x, size_t n)
{
    FOR_VECTORS(n, {
        const vec v = load(x + i, left, 0);
        store(y + i, v * sigmoid(v), left);
    });
}

static void silu_backward(real *dx, const real *dy, const real *x, size_t n)
{
    FOR_VECTORS(n, {
        const vec v = load(x + i, left, 0), s = sigmoid(v);
        store(dx + i, load(dy + i, left, 0) * (s + v * (s * (1 - s))), left);
    });
}

static void elu1(real *y, const real *x, size_t n)
{
    FOR_VECTORS(n, {
        const vec v = load(x + i, left, 0);
        store(y + i, where_positive(v, v + 1, exponential(minimum(splat(0), v))), left);
    });
}

static void elu1_backward(real *dx, const real *dy, const real *y, size_t n)
{
    FOR_VECTORS(n, store(dx + i, load(dy + i, left, 0) * minimum(splat(1), load(y + i, left, 0)), left););
}

static void rope(real *y, const real *x, const real *cos, const real *sin, size_t half)
{
    FOR_VECTORS(half, {
        const vec a = load(x + i, left, 0), b = load(x + half + i, left, 0);
        const vec c = load(cos + i, left, 0), s = load(sin + i, left, 0);
        store(y + i, a * c - b * s, left);
        store(y + half + i, b * c + a * s, left);
    });
}

static void rope_backward(real *dx, const real *dy, const real *cos, const real *sin, size_t half)
{
    FOR_VECTORS(half, {
        const vec a = load(dy + i, left, 0), b = load(dy + half + i, left, 0);
        const vec c = load(cos + i, left, 0), s = load(sin + i, left, 0);
        store(dx + i, load(dx + i, left, 0) + (a * c + b * s), left);
        store(dx + half + i, load(dx + half + i, left, 0) + (b * c - a * s), left);
    });
}

static void adamw(real *w, real *m, real *v, const real *g, size_t n, real grad_scale, real beta1, real beta2,
                  real step_size, real correct2, real eps, real decay)
{
    const real rest1 = 1 - beta1, rest2 = 1 - beta2, keep = 1 - decay;
    FOR_VECTORS(n, {
        const vec gradient = load(g + i, left, 0) * grad_scale;
        const vec first = load(m + i, left, 0) * beta1 + gradient * rest1;
        const vec second = load(v + i, left, 0) * beta2 + gradient * gradient * rest2;
        const vec step = first * step_size / (square_root(second) * correct2 + eps);
        store(m + i, first, left);
        store(v + i, second, left);
        store(w + i, load(w + i, left, 0) * keep - step, left);
    });
}

const kernels PASTE(kernels_, KERNELS_ISA) = {
    .isa = TEXT(KERNELS_ISA),
    .softmax = softmax,
    .log_sum_exp = log_sum_exp,
    .softmax_again = softmax_again,
    .softmax_backward = softmax_backward,
    .dot = dot,
    .chain_products = chain_products,
    .row_products = PASTE(row_products_, KERNELS_ISA),
    .row_products_bf16 = PASTE(row_products_bf16_, KERNELS_ISA),
    .row_combine = PASTE(row_combine_, KERNELS_ISA),
    .first_above = first_above,
    .argmax = argmax,
    .sum = sum,
    .axpy = axpy,
    .blend = blend,
    .scale = scale_by,
    .multiply = multiply,
    .add_reversed = add_reversed,
    .transpose = transpose,
    .norm = norm,
    .norm_backward = norm_backward,
    .rms = rms,
    .rms_backward = rms_backward,
    .rms_through = rms_through,
    .gelu = gelu,
    .gelu_backward = gelu_backward,
    .relu = relu,
    .relu_backward = relu_backward,
    .silu = silu,
    .silu_backward = silu_backward,
    .elu1 = elu1,
    .elu1_backward = elu1_backward,
    .rope = rope,
    .rope_backward = rope_backward,
    .adamw = adamw,
};
