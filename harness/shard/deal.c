/* Units out of the groups of a plan, and who gets them: the costliest first, each to whoever is then done first.
 * A start that samples share is counted where it is read, so that families stay together where that is cheaper. */
#include "harness/shard/deal.h"

#include "harness/base/array.h"

#include <stdlib.h>
#include <string.h>

/* No unit is larger than one of so many of a process's share, where it can be cut; smaller ones are put together.
 */
enum { CUTS = 4, JOIN = 4 };
/* A start that two processes read is work that one machine does not have. It is avoided up to so many times its
 * cost in waiting; of the deals that come of it the one is taken where the longest part is short. One in a hundred
 * of more work must make that part three in a hundred shorter. */
static const double avoid[] = {0.5, 1, 2, 4, 8, 16, 64};
static const double WORK_WEIGHT = 3;
/* A byte through the compressors and extracts that need no model, in FLOPs that take about as long. */
static const double ROW_TOKEN = 1e5;

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* ---- Units ---- */

static int add_unit(deal *d, deal_unit unit, pal_error *err)
{
    PAL_TRY(array_room(&d->unit, &d->room, d->count + 1, sizeof unit, "the deal", err));
    d->unit[d->count++] = unit;
    return PAL_OK;
}

static void own_samples(deal *d, const plan_part *p, size_t part, size_t first, size_t count, size_t unit)
{
    for (size_t i = first; i < first + count; i++) {
        const batch_item *item = &p->item[i];
        size_t c = 0;
        while (p->cell[c] != item->cell) c++;
        d->unit_of[part][c * d->most[part] + (size_t)item->index] = (uint32_t)unit;
    }
}

static int same_family(const batch_item *a, const batch_item *b)
{
    return a->shared_id == b->shared_id && a->passed == b->passed;
}

/* A group, cut into as many pieces of its lanes as the limit wants; a small one joins the unit before it. */
static int add_group(deal *d, const plan_part *p, size_t part, const batch_group *g, int joins, double limit,
                     pal_error *err)
{
    const plan_share whole = plan_group_flops(p, g);
    size_t pieces = whole.own > limit ? (size_t)(whole.own / limit) + 1 : 1, at = 0;
    if (pieces > g->count) pieces = g->count;
    for (size_t i = 0; i < pieces; i++) {
        batch_group piece = *g;
        piece.first = g->first + at;
        piece.count = (g->count - at) / (pieces - i);
        const plan_share cost = plan_group_flops(p, &piece);
        deal_unit *last = d->count ? &d->unit[d->count - 1] : NULL;
        if (joins && last && last->part == part && last->own + cost.own <= limit / JOIN) {
            last->own += cost.own;
            last->count += piece.count;
            if (cost.start > last->start) last->start = cost.start;
        } else {
            PAL_TRY(add_unit(d, (deal_unit){part, 0, piece.count, cost.own, cost.start, d->families - 1}, err));
        }
        own_samples(d, p, part, piece.first, piece.count, d->count - 1);
        at += piece.count;
        joins = 1;
    }
    return PAL_OK;
}

static int add_part(deal *d, const plan *all, size_t part, double limit, pal_error *err)
{
    const plan_part *p = &all->part[part];
    if (p->skip[0] || p->count == 0) return PAL_OK;
    for (size_t c = 0; c < p->cell_count; c++)
        if ((size_t)plan_samples(p, c) > d->most[part]) d->most[part] = (size_t)plan_samples(p, c);
    d->unit_of[part] = calloc(p->cell_count * d->most[part] + 1, sizeof **d->unit_of);
    if (!d->unit_of[part]) return pal_fail(err, PAL_INTERNAL, "out of memory for the deal");
    for (size_t g = 0; g < p->group_count; g++) {
        const batch_group *group = &p->group[g];
        const int joins = g > 0 && same_family(&p->item[group[-1].first], &p->item[group->first]);
        if (!joins) d->families++;
        PAL_TRY(add_group(d, p, part, group, joins, limit, err));
    }
    return PAL_OK;
}

static int add_rows(deal *d, const eval_whole *w, pal_error *err)
{
    for (size_t c = 0; c < w->rows; c++) {
        double tokens = 0;
        const task_cell *cell = &w->request->cell[c];
        for (int64_t i = 0; w->request->sample[c] && i < cell->samples; i++)
            tokens += (double)w->request->sample[c][i].tokens;
        d->families++;
        PAL_TRY(add_unit(
            d, (deal_unit){EVAL_ROWS, c, (size_t)cell->samples, tokens * ROW_TOKEN, 0, d->families - 1}, err));
    }
    return PAL_OK;
}

static double all_flops(const plan *all)
{
    double sum = 0;
    for (size_t i = 0; i < all->count; i++)
        if (!all->part[i].skip[0]) sum += all->part[i].whole;
    return sum;
}

static int fill(deal *d, const eval_whole *w, size_t pieces, pal_error *err)
{
    d->flops = all_flops(w->plan);
    PAL_TRY(add_rows(d, w, err));
    for (size_t i = 0; i < d->count; i++) d->flops += d->unit[i].own;
    const double limit = pieces > 1 ? d->flops / (double)(CUTS * pieces) : d->flops;
    for (size_t i = 0; i < w->plan->count; i++) PAL_TRY(add_part(d, w->plan, w->plan->order[i], limit, err));
    return PAL_OK;
}

int deal_make(deal *out, const eval_whole *whole, size_t pieces, pal_error *err)
{
    const size_t parts = whole->plan->count;
    *out = (deal){.parts = parts};
    out->unit_of = calloc(parts + 1, sizeof *out->unit_of);
    out->most = calloc(parts + 1, sizeof *out->most);
    const int code = out->unit_of && out->most ? fill(out, whole, pieces, err)
                                               : pal_fail(err, PAL_INTERNAL, "out of memory for the deal");
    if (code != PAL_OK) deal_free(out);
    return code;
}

void deal_free(deal *d)
{
    for (size_t i = 0; d->unit_of && i < d->parts; i++) free(d->unit_of[i]);
    free(d->unit_of);
    free(d->most);
    free(d->unit);
    *d = (deal){0};
}

size_t deal_unit_of(const deal *d, size_t part, size_t cell, int64_t index)
{
    return d->unit_of[part][cell * d->most[part] + (size_t)index];
}

/* ---- What is taken next ---- */

size_t deal_pick(const deal *d, size_t current, unit_state (*state)(const void *arg, size_t unit), const void *arg)
{
    double best = -1;
    size_t chosen = d->count;
    for (size_t first = 0, end; first < d->count; first = end) {
        const size_t family = d->unit[first].family;
        double left = 0;
        size_t held = 0, free_one = d->count;
        for (end = first; end < d->count && d->unit[end].family == family; end++) {
            const unit_state now = state(arg, end);
            if (now == UNIT_HELD) held++;
            if (now != UNIT_FREE) continue;
            left += d->unit[end].own;
            if (free_one == d->count) free_one = end;
        }
        if (free_one == d->count) continue;
        if (current < d->count && d->unit[current].family == family) return free_one;
        const double score = left / (double)(held + 1);
        if (score <= best) continue;
        best = score;
        chosen = free_one;
    }
    return chosen;
}

/* ---- Who gets what ---- */

static int by_cost(const void *a, const void *b)
{
    const deal_unit *x = *(const deal_unit *const *)a, *y = *(const deal_unit *const *)b;
    const double cx = x->own + x->start, cy = y->own + y->start;
    if (cx != cy) return cx < cy ? 1 : -1;
    return (x > y) - (x < y);
}

/* One deal; returns how bad it is: the longest part and the work, each against what cannot be beaten. */
static double spread(const deal *d, size_t shards, const deal_unit **order, double avoided, double *load,
                     double *read, uint32_t *owner)
{
    double longest = 0, sum = 0;
    memset(load, 0, shards * sizeof *load);
    memset(read, 0, shards * d->families * sizeof *read);
    for (size_t i = 0; i < d->count; i++) {
        const deal_unit *u = order[i];
        size_t best = 0;
        double least = 0;
        for (size_t s = 0; s < shards; s++) {
            const double more = u->start - smaller(u->start, read[s * d->families + u->family]);
            const double end = load[s] + u->own + avoided * more;
            if (s > 0 && end >= least) continue;
            best = s;
            least = end;
        }
        double *have = &read[best * d->families + u->family];
        load[best] += u->own + u->start - smaller(u->start, *have);
        if (u->start > *have) *have = u->start;
        owner[u - d->unit] = (uint32_t)best;
    }
    for (size_t s = 0; s < shards; s++) {
        sum += load[s];
        if (load[s] > longest) longest = load[s];
    }
    return longest * (double)shards / d->flops + WORK_WEIGHT * (sum / d->flops - 1);
}

/* The best of the deals, made again at the end unless it was the last one tried. */
static void choose(const deal *d, size_t shards, const deal_unit **order, double *load, double *read,
                   uint32_t *owner)
{
    size_t best = 0;
    double least = 0;
    for (size_t i = 0; i < sizeof avoid / sizeof *avoid; i++) {
        const double bad = spread(d, shards, order, avoid[i], load, read, owner);
        if (i > 0 && bad >= least) continue;
        best = i;
        least = bad;
    }
    spread(d, shards, order, avoid[best], load, read, owner);
}

int deal_spread(const deal *d, size_t shards, uint32_t *owner, double *load, pal_error *err)
{
    const deal_unit **order = calloc(d->count + 1, sizeof *order);
    double *loads = calloc(shards, sizeof *loads), *read = calloc(shards * (d->families + 1), sizeof *read);
    int code = PAL_OK;
    if (order && loads && read) {
        for (size_t i = 0; i < d->count; i++) order[i] = &d->unit[i];
        if (d->count) qsort(order, d->count, sizeof *order, by_cost);
        choose(d, shards, order, loads, read, owner);
        if (load) memcpy(load, loads, shards * sizeof *load);
    } else {
        code = pal_fail(err, PAL_INTERNAL, "out of memory for the deal");
    }
    free(order);
    free(loads);
    free(read);
    return code;
}
