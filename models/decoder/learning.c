/* Which tensors of a decoder learn: where their gradients lie,
 * and how far down backward must go. */
#include "models/decoder/layout.h"

static int learns(const decoder *d, size_t index)
{
    return index != NO_TENSOR && d->param[index].grad != PARAM_FROZEN;
}

static int layer_learns(const decoder *d, const layer_index *at)
{
    const size_t others[] = {at->norm1.gain,  at->norm1.bias, at->norm2.gain,  at->norm2.bias, at->qkv_bias,
                             at->o_bias,      at->q_gain,     at->k_gain,      at->up.weight,  at->up.bias,
                             at->gate.weight, at->gate.bias,  at->down.weight, at->down.bias};
    for (size_t i = 0; i < at->attn_count; i++)
        if (learns(d, at->attn[i])) return 1;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (learns(d, others[i])) return 1;
    return 0;
}

size_t decoder_train_only(decoder *d, int (*trains)(void *arg, const decoder_param *p), void *arg)
{
    size_t count = 0;
    d->grad_reals = 0;
    for (size_t i = 0; i < d->param_count; i++) {
        decoder_param *p = &d->param[i];
        const int yes = p->offset != PARAM_ELSEWHERE && trains(arg, p);
        p->grad = yes ? d->grad_reals : PARAM_FROZEN;
        if (yes) d->grad_reals += decoder_padded(decoder_param_elements(p));
        count += yes;
    }
    d->lowest = 0;
    if (d->cfg.recurrence || learns(d, d->embedding)) return count;
    while (d->lowest < (size_t)d->cfg.n_layers && !layer_learns(d, &d->layer[d->lowest])) d->lowest++;
    return count;
}

size_t decoder_grad_reals(const decoder *d)
{
    return d->grad_reals;
}

size_t decoder_trained(const decoder *d)
{
    size_t total = 0;
    for (size_t i = 0; i < d->param_count; i++)
        if (learns(d, i)) total += decoder_param_elements(&d->param[i]);
    return total;
}
