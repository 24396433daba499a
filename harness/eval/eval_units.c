/* What one process does of an evaluation that several share: announces all cells, so that every journal names them
 * in the same order, and runs the units that are dealt to it, one after the other. */
#include "harness/eval/eval_parts.h"

#include "harness/base/array.h"
#include "harness/eval/references.h"
#include "models/decoder/state.h"

#include <stdlib.h>
#include <string.h>

/* All cells of the evaluation, in the order of one machine's journal. */
typedef struct cell_list {
    result_cell *cell;
    int64_t *asked;
    size_t count, room, asked_room;
    size_t *first; /* [parts] */
} cell_list;

static int add_cell(cell_list *l, const result_cell *cell, int64_t asked, pal_error *err)
{
    PAL_TRY(array_room(&l->cell, &l->room, l->count + 1, sizeof *l->cell, "the cells", err));
    PAL_TRY(array_room(&l->asked, &l->asked_room, l->count + 1, sizeof *l->asked, "the cells", err));
    l->cell[l->count] = *cell;
    l->asked[l->count++] = asked;
    return PAL_OK;
}

static int list_rows(cell_list *l, const eval_state *u, references *rows, pal_error *err)
{
    for (size_t c = 0; rows && c < u->request->cell_count; c++) {
        result_cell *cell;
        size_t count;
        int code = references_describe(rows, c, &cell, &count, err);
        for (size_t k = 0; code == PAL_OK && k < count; k++)
            code = add_cell(l, &cell[k], u->request->cell[c].samples, err);
        free(cell);
        PAL_TRY(code);
    }
    return PAL_OK;
}

static int list_cells(cell_list *l, const eval_state *u, pal_error *err)
{
    const plan *all = &u->plan;
    l->first = calloc(all->count + 1, sizeof *l->first);
    if (!l->first) return pal_fail(err, PAL_INTERNAL, "out of memory for the cells");
    for (size_t i = 0; i < all->count; i++) {
        const plan_part *p = &all->part[all->order[i]];
        result_cell cell;
        l->first[all->order[i]] = l->count;
        for (size_t c = 0; !p->skip[0] && c < p->cell_count; c++) {
            PAL_TRY(eval_describe(u, p, c, &cell, err));
            PAL_TRY(add_cell(l, &cell, plan_samples(p, c), err));
        }
    }
    return PAL_OK;
}

static int announce(eval_state *u, const cell_list *l, pal_error *err)
{
    for (size_t i = 0; i < l->count; i++) {
        const result_cell *known = results_find(u->results, l->cell[i].key);
        if (known && result_asked(known, l->asked[i])) continue;
        PAL_TRY(results_announce(u->results, u->journal, &l->cell[i], l->asked[i], err));
    }
    return PAL_OK;
}

static void note(void *arg, const char *text)
{
    eval_tell(arg, "%s", text);
}

static int run_unit(eval_state *u, references *rows, const eval_unit *unit, pal_error *err)
{
    eval_share *s = u->share;
    if (unit->part == EVAL_ROWS) {
        PAL_TRY(references_score(rows, unit->cell, u->results, u->journal, s->known, s->arg, err));
        return s->done(s->arg, unit, err);
    }
    plan_part *p = &u->plan.part[unit->part];
    p->keep = s->pieces;
    PAL_TRY(plan_choose(p, u->request, eval_wanted, u, err));
    u->cost[unit->part] = unit->flops;
    PAL_TRY(eval_run_part(u, p, err));
    eval_tell_complete(u, p);
    return s->done(s->arg, unit, err);
}

static int run_all(eval_state *u, references *rows, cell_list *l, FILE *log, pal_error *err)
{
    eval_share *s = u->share;
    size_t samples = 0;
    double flops = 0;
    int more = 1;
    PAL_TRY(list_rows(l, u, rows, err));
    PAL_TRY(list_cells(l, u, err));
    const eval_whole whole = {.request = u->request,
                              .plan = &u->plan,
                              .cell = l->cell,
                              .asked = l->asked,
                              .count = l->count,
                              .first = l->first,
                              .rows = rows ? u->request->cell_count : 0};
    s->note = note;
    s->note_arg = u;
    PAL_TRY(s->begin(s->arg, &whole, &samples, &flops, err));
    eval_begin(u, samples);
    if (samples == 0) return PAL_OK;
    PAL_TRY(eval_open_journal(u, err));
    PAL_TRY(announce(u, l, err));
    progress_start(&u->progress, log, NULL, flops, 0, NULL);
    for (;;) {
        eval_unit unit = {0};
        PAL_TRY(s->next(s->arg, &unit, &more, err));
        if (!more) break;
        PAL_TRY(run_unit(u, rows, &unit, err));
    }
    return PAL_OK;
}

int eval_run_units(eval_state *u, FILE *log, pal_error *err)
{
    cell_list list = {0};
    references *rows = NULL;
    PAL_TRY(plan_list(&u->plan, u->request, u->speeds, err));
    PAL_TRY(eval_all_skipped(u, err));
    u->cost = calloc(u->plan.count + 1, sizeof *u->cost);
    int code = u->cost ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the plan");
    if (code == PAL_OK && u->request->options.references) code = references_open(&rows, u->request, err);
    if (code == PAL_OK) code = run_all(u, rows, &list, log, err);
    progress_clear(&u->progress);
    u->share->end(u->share->arg);
    references_close(rows);
    free(list.cell);
    free(list.asked);
    free(list.first);
    return code;
}
