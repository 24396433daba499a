/* The cost picture: time of a token of input, and peak memory, from cells whose samples shared nothing. Where a
 * start is shared or tokens are passed over, time over tokens would flatter whoever shares more. */
#include "harness/plots/plots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct cost {
    const report_row *row;
    double tokens, seconds, peak;
    int64_t samples;
} cost;

/* Whether every token of every sample was computed for it. */
static int nothing_shared(const report_row *row)
{
    for (int64_t i = 0; i < row->n; i++) {
        const result_sample *s = &row->cell->sample[i];
        if (!(s->read == (double)s->tokens) || !(s->seconds > 0)) return 0;
    }
    return 1;
}

static void add_samples(cost *c, const report_row *row)
{
    for (int64_t i = 0; i < row->n; i++) {
        const result_sample *s = &row->cell->sample[i];
        c->tokens += (double)s->tokens;
        c->seconds += s->seconds;
        c->peak = fmax(c->peak, (double)s->peak_rss);
        c->samples++;
    }
}

/* One entry for each label and length: all depths together. */
static size_t add_up(const report *rep, cost *list)
{
    size_t count = 0;
    for (size_t i = 0; i < rep->count; i++) {
        const report_row *row = &rep->row[i];
        const result_cell *c = row->cell;
        if (c->kind != RESULT_MODEL || c->extent != RESULT_LENGTH || c->memory == RESULT_ZEROED || c->variant[0] ||
            !nothing_shared(row))
            continue;
        size_t at = 0;
        while (at < count &&
               (strcmp(list[at].row->label, row->label) != 0 || list[at].row->cell->length != c->length))
            at++;
        if (at == count) list[count++] = (cost){.row = row};
        add_samples(&list[at], row);
    }
    return count;
}

static void add_panel(figure *f, const report *rep, const cost *list, size_t count, int memory)
{
    figure_add_panel(f, "", memory ? "peak memory, MiB" : "time of a token of input, µs");
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(list[i - 1].row->label, list[i].row->label) != 0) {
            const figure_look look = plots_look(list[i].row, rep);
            figure_add_series(f, &look);
        }
        if (memory && !(list[i].peak > 0)) continue;
        const double length = (double)list[i].row->cell->length;
        figure_add_size_tick(f, 'x', length);
        figure_add_point(
            f, (figure_point){.x = length,
                              .y = memory ? list[i].peak / 1048576 : 1e6 * list[i].seconds / list[i].tokens,
                              .lo = NAN,
                              .hi = NAN,
                              .z = NAN,
                              .n = list[i].samples});
    }
}

int plots_cost(const report *rep, figure_output *out, int *none, pal_error *err)
{
    char script[64];
    figure f;
    cost *list = calloc(rep->count + 1, sizeof *list);
    if (!list) return pal_fail(err, PAL_INTERNAL, "out of memory for the cost picture");
    const size_t count = add_up(rep, list);
    int lengths = 0;
    snprintf(script, sizeof script, "%.40s_cost", rep->task->name);
    for (size_t i = 0; i < rep->count && figure_has_script(out, script); i++)
        lengths |= rep->row[i].cell->extent == RESULT_LENGTH;
    *none = lengths && count == 0;
    figure_begin(&f, script, "", "");
    int memory = 0; /* records of before it was measured have none */
    for (size_t i = 0; i < count; i++) memory |= list[i].peak > 0;
    if (count) add_panel(&f, rep, list, count, 0);
    if (memory) add_panel(&f, rep, list, count, 1);
    const int code = lengths ? figure_draw(&f, out, err) : PAL_OK;
    figure_free(&f);
    free(list);
    return code;
}
