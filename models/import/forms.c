/* Decoders whose matrices stay in the file that they come from, or in bf16. The decoder keeps what they lie in. */
#include "models/import/forms.h"

#include "harness/base/os.h"

#include <stdlib.h>
#include <string.h>

typedef struct half_matrix {
    uint16_t *x; /* [rows, cols] */
    size_t rows, cols;
} half_matrix;

/* What the sources of a decoder read, by parameter. */
typedef struct kept {
    imported *file;
    int unseen; /* numbers are not looked at */
    size_t count;
    stored_matrix *stored;
    half_matrix *half;
} kept;

static void release(void *owner)
{
    kept *k = owner;
    for (size_t i = 0; k->half && i < k->count; i++) free(k->half[i].x);
    free(k->half);
    free(k->stored);
    import_close(k->file);
    free(k);
}

static int kept_make(kept **out, const char *path, size_t count, pal_error *err)
{
    kept *k = calloc(1, sizeof *k);
    if (!k) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    k->count = count;
    k->stored = calloc(count, sizeof *k->stored);
    k->half = calloc(count, sizeof *k->half);
    const int code = k->stored && k->half ? import_open(&k->file, path, err)
                                          : pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    if (code == PAL_OK)
        *out = k;
    else
        release(k);
    return code;
}

/* Only where reals are floats. */
static void read_stored(const void *arg, size_t first, size_t count, size_t from, size_t depth, real *out)
{
    stored_read_part(arg, first, count, from, depth, (float *)(void *)out);
}

static const uint16_t *rows_stored(const void *arg, size_t first, size_t *count)
{
    return stored_bf16(arg, first, count);
}

static void read_half(const void *arg, size_t first, size_t count, size_t from, size_t depth, real *out)
{
    const half_matrix *m = arg;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < depth; j++) {
            const uint32_t bits = (uint32_t)m->x[(first + i) * m->cols + from + j] << 16;
            float x;
            memcpy(&x, &bits, sizeof x);
            out[i * depth + j] = (real)x;
        }
}

static const uint16_t *rows_half(const void *arg, size_t first, size_t *count)
{
    const half_matrix *m = arg;
    *count = m->rows - first;
    return m->x + first * m->cols;
}

/* To the nearest, ties to even; NaN stays NaN. */
static uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static int round_matrix(const kept *k, const decoder_param *p, const stored_matrix *s, half_matrix *out,
                        pal_error *err)
{
    PAL_TRY(import_check_finite(k->file, p, s, err));
    float *row = malloc(s->cols * sizeof *row);
    *out = (half_matrix){malloc(s->rows * s->cols * sizeof *out->x), s->rows, s->cols};
    if (!row || !out->x) {
        free(row);
        return pal_fail(err, PAL_INTERNAL, "out of memory for weights in bf16");
    }
    for (size_t i = 0; i < s->rows; i++) {
        stored_read(s, i, 1, row);
        for (size_t j = 0; j < s->cols; j++) out->x[i * s->cols + j] = to_bf16(row[j]);
    }
    free(row);
    return PAL_OK;
}

static int is_bf16(const stored_matrix *s)
{
    for (size_t i = 0; i < s->parts; i++)
        if (s->part[i].format->type != BLOCK_BF16) return 0;
    return 1;
}

static int leave(kept *k, weights_form form, decoder *d, size_t index, int *rounded, pal_error *err)
{
    stored_matrix *s = &k->stored[index];
    const decoder_param *p = decoder_param_at(d, index);
    PAL_TRY(import_matrix(k->file, decoder_config(d), p, s, err));
    if (s->parts == 0 || p->rows == 1) return PAL_OK;
    const int taken = decoder_takes(d, index), rounds = form == FORM_BF16 && !is_bf16(s);
    *rounded |= rounds;
    if (form == FORM_F32 && taken) return PAL_OK; /* it is filled in */
    if (!rounds || !taken) {
        if (!k->unseen && taken) PAL_TRY(import_check_finite(k->file, p, s, err));
        return decoder_leave(d, index, (weight_source){s, read_stored, rows_stored, stored_bytes(s)}, err);
    }
    PAL_TRY(round_matrix(k, p, s, &k->half[index], err));
    return decoder_leave(d, index, (weight_source){&k->half[index], read_half, rows_half, 0}, err);
}

static int read_left(kept *k, weights_form form, decoder *d, int *rounded, pal_error *err)
{
    for (size_t i = 0; i < k->count; i++) PAL_TRY(leave(k, form, d, i, rounded, err));
    PAL_TRY(decoder_allocate(d, err));
    for (size_t i = 0; i < k->count; i++)
        if (k->stored[i].parts == 0) decoder_init_param(d, i, INSTEAD_SEED);
    return import_fill(k->file, d, NULL, err);
}

weights_form form_choose(weights_form asked, const decoder *d)
{
    if (sizeof(real) != sizeof(float)) return FORM_F32;
    if (asked != FORM_AUTO) return asked;
    return decoder_parameters(d) * sizeof(real) <= os_available_memory() / 2 ? FORM_F32 : FORM_STORED;
}

/* What the file lacks starts anew, and vectors and matrices that `like` has are its own. */
static int borrow(const char *path, decoder *like, decoder *d, pal_error *err)
{
    imported *m = NULL;
    stored_matrix s;
    PAL_TRY(import_open(&m, path, err));
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < decoder_param_count(d); i++) {
        code = import_matrix(m, decoder_config(d), decoder_param_at(d, i), &s, err);
        if (code == PAL_OK && s.parts > 0) code = decoder_borrow(d, i, like, err);
    }
    if (code == PAL_OK) code = decoder_allocate(d, err);
    for (size_t i = 0; code == PAL_OK && i < decoder_param_count(d); i++) decoder_init_param(d, i, INSTEAD_SEED);
    if (code == PAL_OK) code = import_fill(m, d, NULL, err);
    import_close(m);
    return code;
}

/* Weights that stay in the file, or are rounded. */
static int hold(const char *path, weights_form form, int unseen, decoder *d, pal_error *err)
{
    kept *k = NULL;
    int rounded = 0;
    PAL_TRY(kept_make(&k, path, decoder_param_count(d), err));
    k->unseen = unseen;
    decoder_keep(d, k, release, 0);
    const int code = read_left(k, form, d, &rounded, err);
    decoder_keep(d, k, release, rounded);
    return code;
}

int model_map_weights(const char *path, decoder *d, pal_error *err)
{
    if (sizeof(real) != sizeof(float)) return model_read_weights(path, d, err);
    return hold(path, FORM_STORED, 1, d, err);
}

int model_read_weights_as(const char *path, weights_form form, decoder *like, decoder *d, pal_error *err)
{
    if (like) return borrow(path, like, d, err);
    form = form_choose(form, d);
    size_t from, to;
    decoder_taken_layers(d, &from, &to);
    const int whole = to - from == (size_t)decoder_config(d)->n_layers || sizeof(real) != sizeof(float);
    if (form == FORM_F32 && whole) return model_read_weights(path, d, err);
    return hold(path, form, 0, d, err);
}
