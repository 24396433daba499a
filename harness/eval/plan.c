/* What an evaluation consists of: models at lengths, their samples in groups, and the tokens and FLOPs of each. */
#include "harness/eval/plan.h"

#include "harness/base/os.h"

#include <stdlib.h>

/* What one part in so many takes is not worth a measurement. */
enum { FAR_PART = 20 };

/* Memory beside the model's weights. */
static uint64_t room_for(const eval_model *m)
{
    const uint64_t available = os_available_memory(), weights = eval_model_bytes(m);
    return weights < available ? available - weights : 0;
}

/* Whether samples may have a start in common that a stream of its own reads. */
static int may_share(const plan_part *p, const eval_request *r)
{
    for (size_t i = 0; r->options.share && i < p->count; i++)
        if (p->item[i].shared > 0 || p->item[i].tail != UINT64_MAX) return p->count > 1;
    return 0;
}

size_t plan_part_bytes(const plan_part *p, const eval_request *r, size_t lanes)
{
    return batch_bytes(p->model->decoder, (size_t)r->threads, lanes, p->scored, p->shares);
}

/* Lanes that fit: the largest number up to `wanted` whose bytes do not exceed the memory available. */
static size_t lanes_that_fit(const plan_part *p, const eval_request *r, size_t wanted)
{
    const uint64_t room = room_for(p->model);
    while (wanted > 0 && plan_part_bytes(p, r, wanted) > room) wanted--;
    return wanted;
}

static int no_room(const plan_part *p, const eval_request *r, pal_error *err)
{
    const size_t bytes = plan_part_bytes(p, r, 1);
    return pal_fail(err, PAL_USAGE,
                    "%s needs %zu MiB beside its weights to run one sample, but %llu MiB are free; free memory, "
                    "or leave it out with "
                    "model=",
                    p->model->file.name, bytes >> 20, (unsigned long long)(room_for(p->model) >> 20));
}

/* Of `tokens` that are only read, those that are really computed. */
static uint64_t computed(const plan_part *p, uint64_t tokens)
{
    return p->round && tokens > p->round ? p->round : tokens;
}

/* What a sample computes before `first`: its lane comes round anew after the needle. */
static uint64_t lane_reads(const plan_part *p, const batch_group *g, const batch_item *item, uint64_t first)
{
    const uint64_t needle = item->passed + item->shared;
    if (first <= g->start) return 0;
    if (needle <= g->start || needle >= first) return computed(p, first - g->start);
    return computed(p, needle - g->start) + computed(p, first - needle);
}

/* From here on the group's longest sample goes on alone. */
static uint64_t alone_from(const plan_part *p, const batch_group *g)
{
    uint64_t longest = 0, second = 0;
    if (g->count == 1) return g->start;
    for (size_t i = g->first; i < g->first + g->count; i++) {
        const uint64_t end = p->item[i].tokens;
        if (end > longest) {
            second = longest;
            longest = end;
        } else if (end > second) {
            second = end;
        }
    }
    return longest - second >= BATCH_WORTH_DROPPING ? second : UINT64_MAX;
}

/* Tokens of [from, to) that lie at `border` or behind it. */
static double behind(uint64_t border, uint64_t from, uint64_t to)
{
    if (border < from) border = from;
    return border < to ? (double)(to - border) : 0;
}

static void add(plan_part *p, plan_flops *to, double context, double read, double scored)
{
    const decoder *d = p->model->decoder;
    const double most = SPEED_NEAR * (double)decoder_config(d)->segment, near = context < most ? context : most;
    const double flops[2] = {decoder_flops(d, near, 0), decoder_flops(d, near, 1)};
    to->read += read * flops[0];
    to->scored += scored * flops[1];
    to->far +=
        read * (decoder_flops(d, context, 0) - flops[0]) + scored * (decoder_flops(d, context, 1) - flops[1]);
}

static double sum(plan_flops work)
{
    return work.read + work.scored + work.far;
}

static void add_sample(plan_part *p, const batch_group *g, const batch_item *item, uint64_t alone)
{
    const double context = (double)item->tokens / 2;
    const uint64_t first = item->first > g->start ? item->first : g->start;
    const double read = (double)lane_reads(p, g, item, first), scored = (double)(item->tokens - first);
    const double read_alone = g->count == 1 ? read : behind(alone, g->start, first);
    const double scored_alone = behind(alone, first, item->tokens);
    p->all_tokens += (double)item->tokens;
    p->work += read + scored;
    /* A continuation that ends by itself is likely to be as long as the true answer; each of its tokens is made
     * from its whole segment. */
    const uint64_t answer = item->tokens - item->prompt, most = item->decoding.max_tokens;
    const double made =
        (double)(answer < most ? answer : most) * (double)decoder_config(p->model->decoder)->segment;
    add(p, &p->alone, context, read_alone, scored_alone);
    add(p, &p->many, context, read - read_alone, scored - scored_alone + made);
}

static void add_up(plan_part *p)
{
    p->all_tokens = p->work = 0;
    p->many = p->alone = (plan_flops){0};
    for (size_t g = 0; g < p->group_count; g++) {
        const batch_group *group = &p->group[g];
        const double once = (double)computed(p, group->once);
        const uint64_t alone = alone_from(p, group);
        p->work += once;
        add(p, &p->alone, (double)group->start / 2, once, 0);
        for (size_t i = group->first; i < group->first + group->count; i++)
            add_sample(p, group, &p->item[i], alone);
    }
    p->flops = sum(p->many) + sum(p->alone);
}

plan_share plan_group_flops(const plan_part *p, const batch_group *g)
{
    plan_part own = *p, start = *p;
    own.many = own.alone = start.alone = (plan_flops){0};
    const uint64_t alone = alone_from(p, g), shared = p->item[g->first].shared;
    for (size_t i = g->first; i < g->first + g->count; i++) add_sample(&own, g, &p->item[i], alone);
    add(&start, &start.alone, (double)g->start / 2, (double)computed(p, shared), 0);
    return (plan_share){sum(own.many) + sum(own.alone), sum(start.alone)};
}

void plan_part_round(plan_part *p, uint64_t tokens)
{
    p->round = tokens;
    add_up(p);
}

/* Adds the expected seconds of FLOPs done in `lanes` lanes. */
static int time_flops(const eval_request *r, const plan_part *p, speed_book *speeds, size_t lanes, plan_flops work,
                      double *seconds, pal_error *err)
{
    const double kind[2] = {work.read, work.scored};
    double speed = 0;
    for (int scored = 0; scored <= 1; scored++) {
        if (kind[scored] <= 0) continue;
        PAL_TRY(speed_flops(speeds, p->model, lanes, scored, &speed, err));
        *seconds += kind[scored] / speed;
    }
    /* Too little to be worth a measurement: at the speed of the rest. */
    if (work.far > sum(work) / FAR_PART) PAL_TRY(speed_far(speeds, r, p->model, &p->item[0], &speed, err));
    if (work.far > 0 && speed > 0) *seconds += work.far / speed;
    return PAL_OK;
}

int plan_part_time(const eval_request *r, const plan_part *p, speed_book *speeds, double *seconds, pal_error *err)
{
    double text = 0;
    *seconds = 0;
    if (p->count == 0) return PAL_OK;
    PAL_TRY(speed_text(speeds, r, &p->item[0], &text, err));
    *seconds = p->all_tokens * text;
    if (p->passing > text) *seconds += (p->all_tokens - p->work) * (p->passing - text);
    PAL_TRY(time_flops(r, p, speeds, p->lanes, p->many, seconds, err));
    return time_flops(r, p, speeds, 1, p->alone, seconds, err);
}

int64_t plan_samples(const plan_part *p, size_t cell)
{
    return p->cell[cell]->samples < p->most ? p->cell[cell]->samples : p->most;
}

static int list_samples(plan_part *p, eval_request *r, plan_wanted *wanted, void *arg, pal_error *err)
{
    uint64_t reach = 0;
    p->samples = 0;
    p->count = 0;
    p->tokens = p->scored = 0;
    for (size_t c = 0; c < p->cell_count; c++) {
        const batch_item *measured;
        PAL_TRY(eval_request_samples(r, p->place[c], &measured, err));
        p->samples += plan_samples(p, c);
        for (int64_t i = 0; i < plan_samples(p, c); i++) {
            batch_item item = measured[i];
            const uint64_t end = item.prompt + item.decoding.max_tokens;
            if (item.tokens > p->tokens) p->tokens = item.tokens;
            if (item.tokens - item.first > p->scored) p->scored = item.tokens - item.first;
            if (item.tokens > reach) reach = item.tokens;
            if (end > reach) reach = end;
            int take = 1;
            if (wanted) PAL_TRY(wanted(arg, p, c, &item, &take, err));
            if (take) p->item[p->count++] = item;
        }
    }
    if (eval_model_too_short(p->model, reach, p->skip, sizeof p->skip)) p->count = 0;
    return PAL_OK;
}

static void cut(plan_part *p, const eval_request *r)
{
    const int share = !r->options.share ? 0 : p->keep ? BATCH_KEEP : 1;
    p->group_count = batch_cut(p->model->decoder, p->item, p->count, p->lanes, share, p->zeroed, p->group);
    add_up(p);
}

/* The work of the part with at most `most` samples of a cell, none of them done: it does not depend on the memory
 * of the machine, nor on what a journal holds. */
static int work_of(plan_part *p, eval_request *r, int64_t most, double *flops, pal_error *err)
{
    enum { LANES = 10 };
    p->most = most;
    PAL_TRY(list_samples(p, r, NULL, NULL, err));
    p->lanes = LANES;
    cut(p, r);
    *flops = p->flops;
    return PAL_OK;
}

/* Where the task left the number of samples open: as many as PLAN_OPEN allows beyond the least. */
static int choose_samples(plan_part *p, eval_request *r, pal_error *err)
{
    int64_t all = 0, least = INT64_MAX;
    double flops = 0, base = 0;
    for (size_t c = 0; c < p->cell_count; c++) {
        const task_cell *cell = p->cell[c];
        if (cell->least == 0 || cell->least >= cell->samples) return PAL_OK;
        if (cell->samples > all) all = cell->samples;
        if (cell->least < least) least = cell->least;
    }
    if (p->cell_count) PAL_TRY(work_of(p, r, least, &base, err));
    for (int64_t most = all; most >= least; most--) {
        PAL_TRY(work_of(p, r, most, &flops, err));
        if (flops - base <= PLAN_OPEN) break;
    }
    return PAL_OK;
}

static int find_round(plan_part *p, eval_request *r, speed_book *speeds, pal_error *err)
{
    const batch_item *first;
    speed_cycle cycle;
    if (!speeds || !r->options.share || p->zeroed || p->cell[0]->samples == 0) return PAL_OK;
    PAL_TRY(eval_request_samples(r, p->place[0], &first, err));
    PAL_TRY(speed_round(speeds, r, p->model, first, &cycle, err));
    p->round = (uint64_t)cycle.tokens;
    p->passing = cycle.seconds_each;
    return PAL_OK;
}

/* The cells of the part, and where they stand in the request. */
static int list_cells(plan_part *p, const eval_request *r, size_t first, pal_error *err)
{
    int64_t most = 0;
    p->length = r->cell[first].length;
    p->most = INT64_MAX;
    p->cell = calloc(r->cell_count, sizeof *p->cell);
    p->place = calloc(r->cell_count, sizeof *p->place);
    if (!p->cell || !p->place) return pal_fail(err, PAL_INTERNAL, "out of memory for the plan");
    for (size_t c = first; c < r->cell_count; c++) {
        if (c > first && (p->length == 0 || r->cell[c].length != p->length)) continue;
        p->place[p->cell_count] = c;
        p->cell[p->cell_count++] = &r->cell[c];
        most += r->cell[c].samples;
    }
    p->item = calloc((size_t)most + 1, sizeof *p->item);
    p->group = calloc((size_t)most + 1, sizeof *p->group);
    return p->item && p->group ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the plan");
}

static int fill_part(plan_part *p, eval_request *r, speed_book *speeds, pal_error *err)
{
    PAL_TRY(list_samples(p, r, NULL, NULL, err));
    if (p->skip[0]) return PAL_OK;
    PAL_TRY(find_round(p, r, speeds, err));
    PAL_TRY(choose_samples(p, r, err));
    return work_of(p, r, p->most, &p->whole, err);
}

int plan_choose(plan_part *p, eval_request *r, plan_wanted *wanted, void *arg, pal_error *err)
{
    if (p->skip[0]) return PAL_OK;
    PAL_TRY(list_samples(p, r, wanted, arg, err));
    p->group_count = 0;
    add_up(p);
    if (p->count == 0) return PAL_OK;
    const size_t most = p->count < (size_t)r->options.batch ? p->count : (size_t)r->options.batch;
    p->shares = may_share(p, r);
    p->lanes = lanes_that_fit(p, r, most);
    if (p->lanes == 0) return no_room(p, r, err);
    cut(p, r);
    return PAL_OK;
}

/* The first cell of the next part after `length` (in cells of whole documents: after cell `done`). */
static size_t next_cell(const eval_request *r, int64_t length, size_t done)
{
    size_t best = r->cell_count;
    for (size_t c = 0; c < r->cell_count; c++) {
        const int64_t mine = r->cell[c].length;
        if (mine < length || (mine == length && (mine > 0 || (done < r->cell_count && c <= done)))) continue;
        if (best == r->cell_count || mine < r->cell[best].length) best = c;
    }
    return best;
}

/* Put the parts from `first` on into the order of their whole work; of equal ones the earlier stays first. */
static void order_parts(plan *p, size_t first)
{
    for (size_t i = first; i < p->count; i++) {
        size_t at = i;
        for (; at > first && p->part[p->order[at - 1]].whole > p->part[i].whole; at--)
            p->order[at] = p->order[at - 1];
        p->order[at] = i;
    }
}

static int fill_plan(plan *out, eval_request *r, speed_book *speeds, pal_error *err)
{
    const int64_t memory = r->options.memory;
    size_t c = r->cell_count; /* none yet */
    for (int64_t length = 0; (c = next_cell(r, length, c)) < r->cell_count; length = r->cell[c].length) {
        const size_t first = out->count;
        for (size_t m = 0; m < r->model_count; m++) {
            for (int zeroed = 0; zeroed <= 1; zeroed++) {
                if (memory != MEMORY_BOTH && zeroed != (memory == MEMORY_ZEROED)) continue;
                plan_part *p = &out->part[out->count++];
                *p = (plan_part){.model = &r->model[m], .zeroed = zeroed};
                PAL_TRY(list_cells(p, r, c, err));
                PAL_TRY(fill_part(p, r, speeds, err));
            }
        }
        order_parts(out, first);
    }
    return PAL_OK;
}

int plan_list(plan *out, eval_request *r, speed_book *speeds, pal_error *err)
{
    *out = (plan){.part = calloc(2 * r->cell_count * r->model_count + 1, sizeof *out->part)};
    out->order = calloc(2 * r->cell_count * r->model_count + 1, sizeof *out->order);
    const int code = out->part && out->order ? fill_plan(out, r, speeds, err)
                                             : pal_fail(err, PAL_INTERNAL, "out of memory for the plan");
    if (code != PAL_OK) plan_free(out);
    return code;
}

int plan_make(plan *out, eval_request *r, speed_book *speeds, plan_wanted *wanted, void *arg, pal_error *err)
{
    PAL_TRY(plan_list(out, r, speeds, err));
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < out->count; i++)
        code = plan_choose(&out->part[i], r, wanted, arg, err);
    if (code != PAL_OK) plan_free(out);
    return code;
}

void plan_free(plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->part[i].cell);
        free(p->part[i].place);
        free(p->part[i].item);
        free(p->part[i].group);
    }
    free(p->part);
    free(p->order);
    *p = (plan){0};
}
