/* Reading rows of matrices that lie in a file as several tensors, quantised or not.
 * Rows of rotary pairs are put into the order that the models here use. */
#include "models/import/stored.h"

/* Where row `row` of a part lies in the file. A head of rows (a, b, c, d) there is (a, c, b, d) here, for any
 * width: pair i is (2i, 2i + 1) in the file and (i, i + pairs / 2) here. */
static size_t place_of(const stored_part *p, size_t row)
{
    if (p->pairs == 0) return row;
    const size_t half = p->pairs / 2, within = row % p->pairs;
    return row - within + 2 * (within % half) + within / half;
}

static size_t row_bytes(const stored_part *p)
{
    return p->cols / p->format->values * p->format->bytes;
}

void stored_read_part(const stored_matrix *m, size_t first, size_t count, size_t from, size_t depth, float *out)
{
    size_t begin = 0; /* of the part, among all rows */
    for (size_t i = 0; i < m->parts && count > 0; begin += m->part[i++].rows) {
        const stored_part *p = &m->part[i];
        if (first >= begin + p->rows) continue;
        const size_t at = first - begin, left = p->rows - at, take = count < left ? count : left;
        const char *data = (const char *)p->data + from / p->format->values * p->format->bytes;
        if (p->pairs == 0 && depth == p->cols)
            block_expand(p->format, data + at * row_bytes(p), take * p->cols, out);
        else
            for (size_t r = 0; r < take; r++)
                block_expand(p->format, data + place_of(p, at + r) * row_bytes(p), depth, out + r * depth);
        out += take * depth;
        first += take;
        count -= take;
    }
}

void stored_read(const stored_matrix *m, size_t first, size_t count, float *out)
{
    stored_read_part(m, first, count, 0, m->cols, out);
}

const uint16_t *stored_bf16(const stored_matrix *m, size_t first, size_t *count)
{
    size_t begin = 0;
    for (size_t i = 0; i < m->parts; begin += m->part[i++].rows) {
        const stored_part *p = &m->part[i];
        if (first >= begin + p->rows) continue;
        const char *row = (const char *)p->data + place_of(p, first - begin) * row_bytes(p);
        if (p->format->type != BLOCK_BF16 || (uintptr_t)row % sizeof(uint16_t)) return NULL;
        *count = p->pairs > 0 ? 1 : begin + p->rows - first; /* rotary pairs: the next row lies elsewhere */
        return (const uint16_t *)(const void *)row;
    }
    return NULL;
}

size_t stored_first_wild(const stored_matrix *m)
{
    size_t begin = 0;
    for (size_t i = 0; i < m->parts; begin += m->part[i++].rows) {
        const stored_part *p = &m->part[i];
        const size_t wild = block_first_wild(p->format, p->data, p->rows * p->cols) / p->cols;
        for (size_t row = 0; wild < p->rows && row < p->rows; row++)
            if (place_of(p, row) == wild) return begin + row;
    }
    return m->rows;
}

size_t stored_bytes(const stored_matrix *m)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->parts; i++) bytes += m->part[i].rows * row_bytes(&m->part[i]);
    return bytes;
}
