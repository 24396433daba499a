/* Pictures of cells: a table says which metric of which rows goes into which picture, panel and series. A new
 * picture is one row here and one script in plots/. */
#include "harness/plots/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const picture pictures[] = {
    {"passkey_accuracy", "passkey", "token_accuracy", ONE_PICTURE, BY_TRAINING, BY_DEPTH, OF_LENGTH,
     NO_ZEROED | NO_VARIANTS | NO_REFERENCES},
    {"passkey_heatmap", "passkey", "token_accuracy", ONE_PICTURE, BY_TRAINING, BY_MODEL, OF_LENGTH,
     NO_ZEROED | NO_VARIANTS | NO_REFERENCES},
    {"passkey_depth", "passkey", "token_accuracy", ONE_PICTURE, NO_GROUP, BY_LENGTH, OF_DEPTH,
     NO_ZEROED | NO_VARIANTS | NO_REFERENCES | TRAINED_HERE},
    {"passkey_writes", "passkey", "token_accuracy", ONE_PICTURE, NO_GROUP, BY_MODEL, OF_DISTANCE,
     NO_ZEROED | NO_VARIANTS | NO_REFERENCES | TRAINED_HERE | NOT_AT_END},
    {"passkey_state", "passkey", STATE_BYTES_METRIC, ONE_PICTURE, NO_GROUP, ONE_PANEL, OF_LENGTH,
     NO_ZEROED | NO_VARIANTS | NO_REFERENCES | NOT_ONE_LENGTH},
    {"perplexity_position", "perplexity", "token_ppl@", BY_TEXTS_AND_GROUP, BY_SIZE, BY_ATTENTION, OF_POSITION,
     NO_REFERENCES},
    {"perplexity_state", "perplexity", "bits_per_byte", BY_CELL, BY_SIZE, ONE_PANEL, OF_STATE,
     NO_ZEROED | NO_REFERENCES},
    {"booksum_overall", "booksum", "overall", BY_TEXTS, NO_GROUP, ONE_PANEL, OF_LENGTH, NO_ZEROED},
    {"booksum_facts", "booksum", "facts", BY_TEXTS, NO_GROUP, ONE_PANEL, OF_LENGTH, NO_ZEROED},
};
enum { PICTURES = sizeof pictures / sizeof *pictures };

/* ---- Filling ---- */

static int takes_metric(const picture *p, const char *name)
{
    const size_t size = strlen(p->metric);
    return p->metric[size - 1] == '@' ? strncmp(name, p->metric, size) == 0 : strcmp(name, p->metric) == 0;
}

static void add_ticks(figure *f, const picture *p, double x, double depth)
{
    if (p->axis == OF_LENGTH) figure_add_size_tick(f, 'x', x);
    if (p->facet == BY_MODEL && p->axis == OF_LENGTH) {
        char text[24];
        snprintf(text, sizeof text, "%g", depth);
        figure_add_tick(f, 'y', depth, text);
    }
}

/* The state of a cell, once for each length: needles at other depths leave as many bytes. */
static void add_state(figure *f, const rows *all, const report_row *row)
{
    const double x = picture_x(all->picture->axis, row->cell, all->picture->metric),
                 y = (double)row->cell->state_bytes;
    for (size_t i = f->points; i-- > 0 && f->point[i].series == f->all_series - 1;) {
        if (f->point[i].x != x) continue;
        f->point[i].y = fmax(f->point[i].y, y);
        return;
    }
    figure_add_point(f, (figure_point){.x = x, .y = y, .lo = NAN, .hi = NAN, .z = NAN, .row = row});
    add_ticks(f, all->picture, x, row->cell->depth);
}

static void add_points(figure *f, const rows *all, const report_row *row)
{
    if (strcmp(all->picture->metric, STATE_BYTES_METRIC) == 0) {
        add_state(f, all, row);
        return;
    }
    for (size_t m = 0; m < all->rep->task->metric_count; m++) {
        const task_metric *metric = &all->rep->task->metric[m];
        if (!takes_metric(all->picture, metric->name)) continue;
        const double unit = metric->kind == METRIC_SHARE ? 100 : 1,
                     x = picture_x(all->picture->axis, row->cell, metric->name);
        const summary *s = &row->metric[m];
        if (!isfinite(s->value) || !isfinite(x)) continue;
        figure_add_point(f, (figure_point){.x = x,
                                           .y = unit * s->value,
                                           .lo = unit * s->ci.lo,
                                           .hi = unit * s->ci.hi,
                                           .z = row->cell->depth,
                                           .n = row->n,
                                           .row = row});
        add_ticks(f, all->picture, x, row->cell->depth);
    }
}

static void add_series(figure *f, const rows *all, size_t first, const char *facet, int context)
{
    char own[REPORT_LABEL];
    figure_look look = plots_look(all->row[first], all->rep);
    if (context) {
        look = (figure_look){.kind = FIGURE_CONTEXT};
    }
    figure_add_series(f, &look);
    for (size_t i = first; i < all->count; i++) {
        if (strcmp(all->row[i]->label, all->row[first]->label) != 0) continue;
        picture_facet_of(all->picture, all->row[i], own, sizeof own);
        if (context || strcmp(own, facet) == 0) add_points(f, all, all->row[i]);
    }
    figure_sort_points(f);
}

/* Whether row i is the first of its label in this facet (facet NULL: in all). */
static int leads(const rows *all, size_t i, const char *facet)
{
    char own[REPORT_LABEL];
    for (size_t k = 0; k <= i; k++) {
        picture_facet_of(all->picture, all->row[k], own, sizeof own);
        if (strcmp(all->row[k]->label, all->row[i]->label) == 0 && (!facet || strcmp(own, facet) == 0))
            return k == i;
    }
    return 0;
}

/* The paper's value for a row's cell in the picture's metric; *name: of the paper's row. */
static double paper_value(const rows *all, const report_row *row, const char **name)
{
    const task_module *task = all->rep->task;
    const task_cell place = result_place(row->cell, row->n);
    return task_paper(task, &place, all->picture->metric, &row->cell->facts, name);
}

/* The paper's own rows beside the models of a panel; as panels of their own where a panel is one model. */
static void add_paper(figure *f, const rows *all, const char *facet)
{
    const char *done[16];
    size_t count = 0;
    for (size_t i = 0; i < all->count && count < 16; i++) {
        const char *name = "", *other = "";
        size_t at = 0;
        char own[REPORT_LABEL], title[REPORT_LABEL];
        picture_facet_of(all->picture, all->row[i], own, sizeof own);
        if ((facet && strcmp(own, facet) != 0) || !isfinite(paper_value(all, all->row[i], &name))) continue;
        while (at < count && strcmp(done[at], name) != 0) at++;
        if (at < count) continue;
        done[count++] = name;
        figure_look look = {.kind = FIGURE_PAPER};
        snprintf(title, sizeof title, "paper: %.200s", name);
        memcpy(look.label, title, sizeof look.label);
        snprintf(look.attention, sizeof look.attention, "%s", all->row[i]->cell->facts.attention);
        if (!facet) figure_add_panel(f, all->heading, title);
        figure_add_series(f, &look);
        const size_t first = f->points;
        for (size_t k = i; k < all->count; k++) {
            const result_cell *c = all->row[k]->cell;
            const double value = paper_value(all, all->row[k], &other);
            picture_facet_of(all->picture, all->row[k], own, sizeof own);
            if (!isfinite(value) || strcmp(other, name) != 0 || (facet && strcmp(own, facet) != 0)) continue;
            const double x = picture_x(all->picture->axis, c, all->picture->metric);
            size_t known = first;
            while (known < f->points && (f->point[known].x != x || f->point[known].z != c->depth)) known++;
            if (known == f->points)
                figure_add_point(f, (figure_point){.x = x, .y = 100 * value, .lo = NAN, .hi = NAN, .z = c->depth});
        }
        figure_sort_points(f);
    }
}

/* Bars of a picture by memory: the interval of the difference from the row's baseline on the same documents,
 * around its own value. Intervals over documents would all overlap, because documents differ more than models do.
 */
static void set_paired_bars(figure *f, const rows *all, const report_comparison *list, size_t count)
{
    const task_module *task = all->rep->task;
    for (size_t i = 0; i < f->points; i++) {
        f->point[i].lo = f->point[i].hi = NAN;
        for (size_t k = 0; k < count; k++) {
            const report_comparison *c = &list[k];
            if (c->row != f->point[i].row || !takes_metric(all->picture, task->metric[c->metric].name) ||
                !isfinite(c->paired.ci.lo))
                continue;
            f->point[i].lo = f->point[i].y + c->paired.ci.lo - c->paired.difference;
            f->point[i].hi = f->point[i].y + c->paired.ci.hi - c->paired.difference;
            break;
        }
    }
}

/* Names beside the points of the newest panel, given by z, each at its y or as near as leaves room for all. */
static void place_names(figure *f)
{
    enum { LINES = 20 }; /* of text that fit beside a panel */
    size_t order[64], count = 0;
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < f->points; i++) {
        if (f->series[f->point[i].series].panel != f->panels - 1 || count == sizeof order / sizeof *order)
            continue;
        size_t at = count++;
        for (; at > 0 && f->point[order[at - 1]].y > f->point[i].y; at--) order[at] = order[at - 1];
        order[at] = i;
        least = fmin(least, f->point[i].y);
        most = fmax(most, f->point[i].y);
    }
    if (count == 0) return;
    const double room = 1.1 * (most - least) + 1e-9, step = room / (count > LINES ? (double)count : LINES);
    double below = -INFINITY;
    for (size_t k = 0; k < count; k++) below = f->point[order[k]].z = fmax(f->point[order[k]].y, below + step);
    double above = most + 0.05 * room;
    for (size_t k = count; k-- > 0;) {
        f->point[order[k]].z = fmin(f->point[order[k]].z, above);
        above = f->point[order[k]].z - step;
    }
}

static void add_group(figure *f, const rows *all)
{
    char facet[REPORT_LABEL], own[REPORT_LABEL];
    for (size_t i = 0; i < all->count; i++) {
        size_t earlier = 0;
        picture_facet_of(all->picture, all->row[i], facet, sizeof facet);
        while (picture_facet_of(all->picture, all->row[earlier], own, sizeof own), strcmp(own, facet) != 0)
            earlier++;
        if (earlier < i) continue;
        figure_add_panel(f, all->heading,
                         all->picture->facet == BY_MODEL ? plots_look(all->row[i], all->rep).label : facet);
        for (size_t k = 0; all->picture->facet == BY_ATTENTION && k < all->count; k++)
            if (strcmp(all->row[k]->cell->facts.attention, facet) != 0 && leads(all, k, NULL))
                add_series(f, all, k, facet, 1);
        for (size_t k = 0; k < all->count; k++) {
            picture_facet_of(all->picture, all->row[k], own, sizeof own);
            if (strcmp(own, facet) == 0 && leads(all, k, facet)) add_series(f, all, k, facet, 0);
        }
        if (all->picture->facet == BY_DEPTH) add_paper(f, all, facet);
        if (all->picture->axis == OF_STATE) place_names(f);
    }
    if (all->picture->facet == BY_MODEL && all->picture->axis == OF_LENGTH) add_paper(f, all, NULL);
}

/* ---- Drawing ---- */

/* "Samples behind each value: 10 to 50. Attention without a model's name stands in BASE." */
static void note(figure *f, const report *rep)
{
    char base[KV_TEXT_MAX];
    int64_t least = INT64_MAX, most = 0;
    for (size_t i = 0; i < f->points; i++) {
        if (f->point[i].n <= 0) continue;
        if (f->point[i].n < least) least = f->point[i].n;
        if (f->point[i].n > most) most = f->point[i].n;
    }
    if (most && least < most)
        snprintf(f->note, sizeof f->note, "Samples behind each value: %lld to %lld.", (long long)least,
                 (long long)most);
    else if (most)
        snprintf(f->note, sizeof f->note, "Samples behind each value: %lld.", (long long)most);
    const size_t used = strlen(f->note);
    if (plots_base(rep, base)[0])
        snprintf(f->note + used, sizeof f->note - used, "%sAttention without a model's name stands in %.80s.",
                 used ? " " : "", base);
}

/* "novels/test" -> "novels, test split"; of a picture of one cell "novels/test:4K" -> "novels, test split, 4K". */
static void subject_of(const picture *p, const result_cell *cell, char *name, char *subject, size_t size)
{
    const size_t texts = plots_texts_size(cell);
    const char *of_cell = p->split == BY_CELL && cell->name[texts] ? cell->name + texts + 1 : "";
    snprintf(name, size, "%.*s", (int)texts, cell->name);
    const char *slash = strrchr(name, '/');
    if (slash)
        snprintf(subject, size, "%.*s, %s split", (int)(slash - name), name, slash + 1);
    else
        snprintf(subject, size, "%s", name);
    if (!of_cell[0]) return;
    const size_t used = strlen(subject);
    snprintf(subject + used, size - used, ", %s", of_cell);
    snprintf(name, size, "%s", cell->name);
}

/* One picture of the groups from `first` to `last`; of the texts of `like` where there is one for each. */
static int draw_one(const report *rep, const picture *p, const report_row *like, int first, int last,
                    figure_output *out, pal_error *err)
{
    char name[160] = "", subject[192] = "";
    figure f;
    rows all = {.rep = rep, .picture = p, .row = calloc(rep->count + 1, sizeof *all.row)};
    if (!all.row) return pal_fail(err, PAL_INTERNAL, "out of memory for the picture %s", p->script);
    if (p->split != ONE_PICTURE) subject_of(p, like->cell, name, subject, sizeof name);
    picture_choose(&all, like, first);
    if (p->split == BY_TEXTS_AND_GROUP && all.count) {
        const size_t used = strlen(subject), end = strlen(name);
        snprintf(subject + used, sizeof subject - used, "; models of %s", all.heading);
        snprintf(name + end, sizeof name - end, "-%.2fM", (double)all.row[0]->cell->parameters / 1e6);
    }
    figure_begin(&f, p->script, subject, name);
    for (int group = first; group <= last; group++) {
        picture_choose(&all, like, group);
        if (p->split == BY_TEXTS_AND_GROUP) all.heading[0] = '\0'; /* the title says it */
        add_group(&f, &all);
    }
    note(&f, rep);
    int code = PAL_OK;
    if (p->axis == OF_STATE && !out->counting) {
        report_comparison *list;
        size_t count;
        code = report_compare(rep, &list, &count, err);
        if (code == PAL_OK) set_paired_bars(&f, &all, list, count);
        if (code == PAL_OK) free(list);
    }
    if (code == PAL_OK) code = figure_draw(&f, out, err);
    figure_free(&f);
    free(all.row);
    return code;
}

/* Whether a row is in the same picture as an earlier one, the groups aside. */
static int repeats(const report *rep, const picture *p, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (picture_takes(rep, p, &rep->row[k]) && picture_joins(p, &rep->row[k], &rep->row[i])) return 1;
    return 0;
}

static int draw_all(const report *rep, const picture *p, figure_output *out, pal_error *err)
{
    int groups = 0;
    for (size_t i = 0; i < rep->count; i++) {
        const int group = picture_takes(rep, p, &rep->row[i]) ? picture_group_of(rep, p, rep->row[i].cell) : 0;
        if (group >= groups) groups = group + 1;
    }
    for (size_t i = 0; i < rep->count; i++) {
        if (!picture_takes(rep, p, &rep->row[i]) || repeats(rep, p, i)) continue;
        const int by_group = p->split == BY_TEXTS_AND_GROUP;
        for (int g = 0; g < (by_group ? groups : 1); g++)
            PAL_TRY(draw_one(rep, p, &rep->row[i], g, by_group ? g : groups - 1, out, err));
    }
    return PAL_OK;
}

int plots_cells(const report *rep, figure_output *out, pal_error *err)
{
    for (size_t i = 0; i < PICTURES; i++)
        if (strcmp(pictures[i].task, rep->task->name) == 0) PAL_TRY(draw_all(rep, &pictures[i], out, err));
    return PAL_OK;
}
