/* Where the tensors of a decoder that only reads lie: in its own block, in a source that products expand, or with
 * another decoder of the same weights. */
#include "models/decoder/layout.h"

#include <stdlib.h>
#include <string.h>

/* The block holds what lies nowhere else. */
static void lay_out_again(decoder *d)
{
    d->weight_reals = 0;
    for (size_t i = 0; i < d->param_count; i++) {
        decoder_param *p = &d->param[i];
        const int elsewhere = (d->source && d->source[i].read) || (d->lent && d->lent[i]);
        p->offset = elsewhere ? PARAM_ELSEWHERE : d->weight_reals;
        if (!elsewhere) d->weight_reals += decoder_padded(p->rows * p->cols);
    }
}

int decoder_leave(decoder *d, size_t index, weight_source source, pal_error *err)
{
    if (!d->source) d->source = calloc(d->param_count, sizeof *d->source);
    if (!d->source) return pal_fail(err, PAL_INTERNAL, "out of memory for the places of the weights");
    d->source[index] = source;
    lay_out_again(d);
    return PAL_OK;
}

int decoder_is_left(const decoder *d)
{
    return d->source != NULL;
}

size_t decoder_mapped_bytes(const decoder *d)
{
    size_t bytes = 0;
    for (size_t i = 0; d->source && i < d->param_count; i++)
        if (decoder_takes(d, i)) bytes += d->source[i].mapped;
    return bytes;
}

void decoder_keep(decoder *d, void *owner, void (*release)(void *owner), int rounded)
{
    d->owner = owner;
    d->release = release;
    d->rounded = rounded;
}

int decoder_borrow(decoder *d, size_t index, decoder *lender, pal_error *err)
{
    const decoder_param *p = &d->param[index];
    size_t theirs = 0;
    while (theirs < lender->param_count && strcmp(lender->param[theirs].name, p->name) != 0) theirs++;
    if (theirs == lender->param_count) return PAL_OK;
    const decoder_param *t = &lender->param[theirs];
    if (t->rows != p->rows || t->cols != p->cols) return PAL_OK;
    if (!d->lender) {
        d->lender = lender;
        d->rounded = lender->rounded;
        lender->borrowers++;
    }
    if (lender->source && lender->source[theirs].read) return decoder_leave(d, index, lender->source[theirs], err);
    if (!d->lent) d->lent = calloc(d->param_count, sizeof *d->lent);
    if (!d->lent) return pal_fail(err, PAL_INTERNAL, "out of memory for the places of the weights");
    d->lent[index] = decoder_tensor(lender, theirs);
    lay_out_again(d);
    return PAL_OK;
}

int decoder_shorten(decoder **out, decoder *d, size_t layers, pal_error *err)
{
    model_config cfg = d->cfg;
    decoder *brief = NULL;
    if (layers < (size_t)cfg.n_layers) cfg.n_layers = (int64_t)layers;
    PAL_TRY(decoder_describe(&brief, &cfg, err));
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < brief->param_count; i++) code = decoder_borrow(brief, i, d, err);
    if (code == PAL_OK) code = decoder_allocate(brief, err);
    if (code == PAL_OK)
        *out = brief;
    else
        decoder_destroy(brief);
    return code;
}
