/* Which layers this process reads of a model that several processes or workers share, and how layers are put into
 * groups of about equal time. */
#include "models/decoder/layout.h"

void decoder_take_layers(decoder *d, size_t from, size_t to)
{
    d->first = from;
    d->end = to;
}

void decoder_taken_layers(const decoder *d, size_t *from, size_t *to)
{
    *from = d->first;
    *to = d->end ? d->end : (size_t)d->cfg.n_layers;
}

static int is_norm(norm_index n, size_t index)
{
    return index == n.gain || index == n.bias;
}

static int is_linear(linear_index l, size_t index)
{
    return index == l.weight || index == l.bias;
}

static int of_layer(const layer_index *at, size_t index)
{
    for (size_t i = 0; i < at->attn_count; i++)
        if (index == at->attn[i]) return 1;
    return is_norm(at->norm1, index) || is_norm(at->norm2, index) || index == at->qkv_bias ||
           index == at->o_bias || index == at->q_gain || index == at->k_gain || is_linear(at->up, index) ||
           is_linear(at->gate, index) || is_linear(at->down, index);
}

int decoder_takes(const decoder *d, size_t index)
{
    const size_t layers = (size_t)d->cfg.n_layers;
    const int enters = index == d->embedding;
    const int leaves = index == d->output || index == d->output_bias || is_norm(d->final_norm, index);
    size_t from, to;
    int known = enters || leaves;
    decoder_taken_layers(d, &from, &to);
    if ((enters && from == 0) || (leaves && to == layers)) return 1;
    for (size_t l = 0; l < layers; l++) {
        if (!of_layer(&d->layer[l], index)) continue;
        if (l >= from && l < to) return 1; /* layers may share a tensor */
        known = 1;
    }
    return !known;
}

double decoder_groups(const decoder *d, double context, size_t count, int shared_head, size_t *border)
{
    const size_t layers = (size_t)d->cfg.n_layers;
    const double head = decoder_layer_flops(d, layers, context);
    double total = shared_head ? 0 : head, before = 0, slowest = 0, last = 0;
    for (size_t l = 0; l < layers; l++) total += decoder_layer_flops(d, l, context);
    size_t group = 1;
    border[0] = 0;
    for (size_t l = 0; l < layers; l++) {
        const double here = decoder_layer_flops(d, l, context);
        const double wanted = total * (double)group / (double)count;
        const int closer = before + here / 2 >= wanted;
        /* Every group has a layer: neither an empty one, nor more than what is left for the others. */
        const int possible = l > border[group - 1], needed = layers - l == count - group;
        if (group < count && possible && (closer || needed)) {
            border[group++] = l;
            last = 0;
        }
        before += here;
        last += here;
        if (last > slowest) slowest = last;
    }
    border[count] = layers;
    if (shared_head) return slowest + head / (double)count;
    return last + head > slowest ? last + head : slowest;
}

void decoder_set_relay(decoder *d, struct relay *relay)
{
    d->relay = relay;
}

struct relay *decoder_relay(const decoder *d)
{
    return d->relay;
}
