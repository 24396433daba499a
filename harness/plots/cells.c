/* Pictures of cells: a table says which metric of which rows goes into which picture, panel and series. A new
 * picture is one row here and one script in plots/. */
#include "harness/plots/plots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pictures of one row: one, one for each set of texts, or one for each of these and each group. */
typedef enum picture_split { ONE_PICTURE, BY_TEXTS, BY_TEXTS_AND_GROUP } picture_split;
typedef enum picture_group { NO_GROUP, BY_TRAINING, BY_SIZE } picture_group;
typedef enum picture_facet { ONE_PANEL, BY_DEPTH, BY_LENGTH, BY_MODEL, BY_ATTENTION } picture_facet;
typedef enum picture_axis {
    OF_LENGTH,   /* tokens of a sample */
    OF_DEPTH,    /* of the needle, percent */
    OF_DISTANCE, /* tokens from the needle to the end */
    OF_POSITION, /* middle of the range that a metric's name ends in: "token_ppl@4K" */
    OF_STATE     /* bytes of streaming state; 0: none */
} picture_axis;

/* Rows that a picture leaves out. */
enum { NO_ZEROED = 1, NO_VARIANTS = 2, NO_REFERENCES = 4, TRAINED_HERE = 8, NOT_AT_END = 16 };

typedef struct picture {
    const char *script, *task;
    const char *metric; /* its name, or what the names of a family begin with ("token_ppl@") */
    picture_split split;
    picture_group group;
    picture_facet facet;
    picture_axis axis;
    int without;
} picture;

static const picture pictures[] = {
    {"passkey_accuracy", "passkey", "token_accuracy", ONE_PICTURE, BY_TRAINING, BY_DEPTH, OF_LENGTH,
     NO_ZEROED | NO_VARIANTS | NO_REFERENCES},
    {"passkey_heatmap", "passkey", "token_accuracy", ONE_PICTURE, BY_TRAINING, BY_MODEL, OF_LENGTH,
     NO_ZEROED | NO_VARIANTS | NO_REFERENCES},
    {"passkey_depth", "passkey", "token_accuracy", ONE_PICTURE, NO_GROUP, BY_LENGTH, OF_DEPTH,
     NO_ZEROED | NO_VARIANTS | NO_REFERENCES | TRAINED_HERE},
    {"passkey_writes", "passkey", "token_accuracy", ONE_PICTURE, NO_GROUP, BY_MODEL, OF_DISTANCE,
     NO_ZEROED | NO_VARIANTS | NO_REFERENCES | TRAINED_HERE | NOT_AT_END},
    {"perplexity_position", "perplexity", "token_ppl@", BY_TEXTS_AND_GROUP, BY_SIZE, BY_ATTENTION, OF_POSITION,
     NO_REFERENCES},
    {"perplexity_state", "perplexity", "bits_per_byte", BY_TEXTS, BY_SIZE, ONE_PANEL, OF_STATE,
     NO_ZEROED | NO_REFERENCES},
    {"booksum_overall", "booksum", "overall", BY_TEXTS, NO_GROUP, ONE_PANEL, OF_LENGTH, NO_ZEROED},
    {"booksum_facts", "booksum", "facts", BY_TEXTS, NO_GROUP, ONE_PANEL, OF_LENGTH, NO_ZEROED},
};
enum { PICTURES = sizeof pictures / sizeof *pictures };

/* ---- Facts of a row ---- */

/* Tokens of a sample; NaN: whole documents. */
static double length_of(const result_cell *cell)
{
    const char *at = strstr(cell->name, ":len=");
    char text[32];
    int64_t value;
    pal_error none;
    if (cell->extent == RESULT_LENGTH) return (double)cell->length;
    if (!at) return NAN;
    snprintf(text, sizeof text, "%.*s", (int)strcspn(at + 5, ","), at + 5);
    return kv_parse_size("len", text, &value, &none) == PAL_OK ? (double)value : NAN;
}

/* The middle of the range of positions that doubles from "4K" on; the first one goes to 256. */
static double position_of(const char *metric)
{
    const char *at = strchr(metric, '@');
    int64_t from;
    pal_error none;
    if (!at || kv_parse_size("position", at + 1, &from, &none) != PAL_OK) return NAN;
    return from ? sqrt(2) * (double)from : 128;
}

static double x_of(picture_axis axis, const result_cell *cell, const char *metric)
{
    switch (axis) {
    case OF_DEPTH:
        return cell->depth;
    case OF_DISTANCE:
        return (double)cell->length * (1 - cell->depth / 100);
    case OF_POSITION:
        return position_of(metric);
    case OF_STATE:
        return (double)cell->state_bytes;
    default:
        return length_of(cell);
    }
}

/* ---- Choice of rows ---- */

static int trained_here(const report *rep, const result_cell *cell)
{
    return strcmp(cell->facts.trained_on, rep->task->name) == 0;
}

static int any_trained_here(const report *rep)
{
    for (size_t i = 0; i < rep->count; i++)
        if (trained_here(rep, rep->row[i].cell)) return 1;
    return 0;
}

static int taken(const report *rep, const picture *p, const report_row *row)
{
    const result_cell *c = row->cell;
    return !(((p->without & NO_ZEROED) && c->memory == RESULT_ZEROED) ||
             ((p->without & NO_VARIANTS) && c->variant[0]) ||
             ((p->without & NO_REFERENCES) && c->kind == RESULT_REFERENCE) ||
             ((p->without & TRAINED_HERE) && any_trained_here(rep) && !trained_here(rep, c)) ||
             ((p->without & NOT_AT_END) && c->depth >= 100) ||
             (p->facet == BY_DEPTH && c->depth != 0 && c->depth != 50 && c->depth != 100));
}

/* Groups are numbered: 0 trained on this task, 1 on another, 2 nobody knows; or classes of size from the smallest.
 */
static int group_of(const report *rep, const picture *p, const result_cell *cell)
{
    if (p->group == BY_TRAINING) return trained_here(rep, cell) ? 0 : cell->facts.trained_on[0] ? 1 : 2;
    if (p->group != BY_SIZE) return 0;
    double from = 0, next;
    for (int class = 0;; class ++) {
        next = INFINITY;
        for (size_t i = 0; i < rep->count; i++) {
            const double size = (double)rep->row[i].cell->parameters;
            if (size > 0 && size > 1.1 * from && size < next) next = size;
        }
        if (!isfinite(next) || (double)cell->parameters <= 1.1 * next) return class;
        from = next;
    }
}

static void group_title(const picture *p, int group, const result_cell *cell, char *out, size_t size)
{
    static const char *const training[] = {"trained on this task", "not trained on this task", "training unknown"};
    out[0] = '\0';
    if (p->group == BY_TRAINING) snprintf(out, size, "%s", training[group]);
    if (p->group == BY_SIZE) snprintf(out, size, "%.2fM parameters", (double)cell->parameters / 1e6);
}

/* Which panel of its group a row stands in: equal texts, equal panels. */
static void facet_of(const picture *p, const report_row *row, char *out, size_t size)
{
    out[0] = '\0';
    if (p->facet == BY_DEPTH) {
        const double depth = row->cell->depth;
        if (depth == 0)
            snprintf(out, size, "needle at the start");
        else if (depth == 100)
            snprintf(out, size, "needle at the end");
        else
            snprintf(out, size, depth == 50 ? "needle in the middle" : "needle at %g %%", depth);
    }
    if (p->facet == BY_LENGTH) {
        char length[24];
        snprintf(out, size, "%s tokens", kv_format_size(row->cell->length, length));
    }
    if (p->facet == BY_MODEL) snprintf(out, size, "%s", row->label);
    if (p->facet == BY_ATTENTION) snprintf(out, size, "%s", row->cell->facts.attention);
}

/* ---- Filling ---- */

/* Rows of one picture and group. */
typedef struct rows {
    const report *rep;
    const picture *picture;
    const report_row **row;
    size_t count;
    char heading[64];
} rows;

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

static void add_points(figure *f, const rows *all, const report_row *row)
{
    for (size_t m = 0; m < all->rep->task->metric_count; m++) {
        const task_metric *metric = &all->rep->task->metric[m];
        if (!takes_metric(all->picture, metric->name)) continue;
        const double unit = metric->kind == METRIC_SHARE ? 100 : 1,
                     x = x_of(all->picture->axis, row->cell, metric->name);
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
        facet_of(all->picture, all->row[i], own, sizeof own);
        if (context || strcmp(own, facet) == 0) add_points(f, all, all->row[i]);
    }
    figure_sort_points(f);
}

/* Whether row i is the first of its label in this facet (facet NULL: in all). */
static int leads(const rows *all, size_t i, const char *facet)
{
    char own[REPORT_LABEL];
    for (size_t k = 0; k <= i; k++) {
        facet_of(all->picture, all->row[k], own, sizeof own);
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
    return task->paper ? task->paper(&place, all->picture->metric, &row->cell->facts, name) : NAN;
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
        facet_of(all->picture, all->row[i], own, sizeof own);
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
            facet_of(all->picture, all->row[k], own, sizeof own);
            if (!isfinite(value) || strcmp(other, name) != 0 || (facet && strcmp(own, facet) != 0)) continue;
            const double x = x_of(all->picture->axis, c, all->picture->metric);
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
        facet_of(all->picture, all->row[i], facet, sizeof facet);
        while (facet_of(all->picture, all->row[earlier], own, sizeof own), strcmp(own, facet) != 0) earlier++;
        if (earlier < i) continue;
        figure_add_panel(f, all->heading,
                         all->picture->facet == BY_MODEL ? plots_look(all->row[i], all->rep).label : facet);
        for (size_t k = 0; all->picture->facet == BY_ATTENTION && k < all->count; k++)
            if (strcmp(all->row[k]->cell->facts.attention, facet) != 0 && leads(all, k, NULL))
                add_series(f, all, k, facet, 1);
        for (size_t k = 0; k < all->count; k++) {
            facet_of(all->picture, all->row[k], own, sizeof own);
            if (strcmp(own, facet) == 0 && leads(all, k, facet)) add_series(f, all, k, facet, 0);
        }
        if (all->picture->facet == BY_DEPTH) add_paper(f, all, facet);
        if (all->picture->axis == OF_STATE) place_names(f);
    }
    if (all->picture->facet == BY_MODEL && all->picture->axis == OF_LENGTH) add_paper(f, all, NULL);
}

/* ---- Choosing ---- */

/* A token is not the same to models of another tokenizer: a picture by position holds those of the tokenizer that
 * most rows have. */
static void keep_one_tokenizer(rows *all)
{
    size_t most = 0, kept = 0;
    const char *best = "";
    for (size_t i = 0; i < all->count; i++) {
        size_t same = 0;
        for (size_t k = 0; k < all->count; k++)
            same += strcmp(all->row[k]->cell->tokenizer, all->row[i]->cell->tokenizer) == 0;
        if (same > most) best = all->row[i]->cell->tokenizer;
        if (same > most) most = same;
    }
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->row[i]->cell->tokenizer, best) == 0) all->row[kept++] = all->row[i];
    all->count = kept;
}

/* Rows of the report at one depth, or at one length. */
static size_t at_depth(const rows *all, double depth)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) count += all->row[i]->cell->depth == depth;
    return count;
}

/* The depths of a grid of depth by length are those that at least half as many cells have as the most common one:
 * lengths with more of them have a picture by depth. Of more than fit beside one another whole tens stay. */
static void keep_common_depths(rows *all)
{
    enum { DEPTHS_SHOWN = 11 };
    const report_row **kept = calloc(all->count + 1, sizeof *kept);
    size_t most = 0, count = 0, depths = 0;
    if (!kept) return; /* more rows than are needed are no harm */
    for (size_t i = 0; i < all->count; i++) {
        const size_t same = at_depth(all, all->row[i]->cell->depth);
        if (same > most) most = same;
    }
    for (size_t i = 0; i < all->count; i++) {
        size_t earlier = 0;
        if (2 * at_depth(all, all->row[i]->cell->depth) < most) continue;
        while (all->row[earlier]->cell->depth != all->row[i]->cell->depth) earlier++;
        depths += earlier == i;
        kept[count++] = all->row[i];
    }
    all->count = 0;
    for (size_t i = 0; i < count; i++)
        if (depths <= DEPTHS_SHOWN || fmod(kept[i]->cell->depth, 10) == 0) all->row[all->count++] = kept[i];
    free(kept);
}

/* Only lengths at which more depths than start, middle and end were evaluated. */
static void keep_many_depths(rows *all)
{
    enum { FEW = 3 };
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        size_t depths = 0;
        for (size_t k = 0; k < all->rep->count; k++) {
            const report_row *a = &all->rep->row[k], *b = all->row[i];
            depths += a->cell->length == b->cell->length && strcmp(a->label, b->label) == 0;
        }
        if (depths > FEW) all->row[count++] = all->row[i];
    }
    all->count = count;
}

/* The rows of a group: of the texts of `like` where pictures are split by texts. */
static void choose(rows *all, const report_row *like, int group)
{
    const picture *p = all->picture;
    all->count = 0;
    for (size_t i = 0; i < all->rep->count; i++) {
        const report_row *row = &all->rep->row[i];
        if (taken(all->rep, p, row) && group_of(all->rep, p, row->cell) == group &&
            (p->split == ONE_PICTURE || plots_same_texts(row->cell, like->cell)))
            all->row[all->count++] = row;
    }
    if (p->axis == OF_POSITION) keep_one_tokenizer(all);
    if (p->facet == BY_MODEL && p->axis == OF_LENGTH) keep_common_depths(all);
    if (p->axis == OF_DEPTH) keep_many_depths(all);
    if (all->count) group_title(p, group, all->row[0]->cell, all->heading, sizeof all->heading);
}

/* "Samples behind each value: 10 to 50." */
static void note_samples(figure *f)
{
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
}

/* "novels/test" -> "novels, test split". */
static void subject_of(const result_cell *cell, char *name, char *subject, size_t size)
{
    snprintf(name, size, "%.*s", (int)plots_texts_size(cell), cell->name);
    const char *slash = strrchr(name, '/');
    if (slash)
        snprintf(subject, size, "%.*s, %s split", (int)(slash - name), name, slash + 1);
    else
        snprintf(subject, size, "%s", name);
}

/* One picture of the groups from `first` to `last`; of the texts of `like` where there is one for each. */
static int draw_one(const report *rep, const picture *p, const report_row *like, int first, int last,
                    figure_output *out, pal_error *err)
{
    char name[160] = "", subject[192] = "";
    figure f;
    rows all = {.rep = rep, .picture = p, .row = calloc(rep->count + 1, sizeof *all.row)};
    if (!all.row) return pal_fail(err, PAL_INTERNAL, "out of memory for the picture %s", p->script);
    if (p->split != ONE_PICTURE) subject_of(like->cell, name, subject, sizeof name);
    choose(&all, like, first);
    if (p->split == BY_TEXTS_AND_GROUP && all.count) {
        const size_t used = strlen(subject), end = strlen(name);
        snprintf(subject + used, sizeof subject - used, "; models of %s", all.heading);
        snprintf(name + end, sizeof name - end, "-%.2fM", (double)all.row[0]->cell->parameters / 1e6);
    }
    figure_begin(&f, p->script, subject, name);
    for (int group = first; group <= last; group++) {
        choose(&all, like, group);
        if (p->split == BY_TEXTS_AND_GROUP) all.heading[0] = '\0'; /* the title says it */
        add_group(&f, &all);
    }
    note_samples(&f);
    int code = PAL_OK;
    if (p->axis == OF_STATE) {
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
        if (taken(rep, p, &rep->row[k]) &&
            (p->split == ONE_PICTURE || plots_same_texts(rep->row[k].cell, rep->row[i].cell)))
            return 1;
    return 0;
}

static int draw_all(const report *rep, const picture *p, figure_output *out, pal_error *err)
{
    int groups = 0;
    for (size_t i = 0; i < rep->count; i++) {
        const int group = taken(rep, p, &rep->row[i]) ? group_of(rep, p, rep->row[i].cell) : 0;
        if (group >= groups) groups = group + 1;
    }
    for (size_t i = 0; i < rep->count; i++) {
        if (!taken(rep, p, &rep->row[i]) || repeats(rep, p, i)) continue;
        if (p->split != BY_TEXTS_AND_GROUP) PAL_TRY(draw_one(rep, p, &rep->row[i], 0, groups - 1, out, err));
        for (int g = 0; p->split == BY_TEXTS_AND_GROUP && g < groups; g++)
            PAL_TRY(draw_one(rep, p, &rep->row[i], g, g, out, err));
    }
    return PAL_OK;
}

int plots_cells(const report *rep, figure_output *out, pal_error *err)
{
    for (size_t i = 0; i < PICTURES; i++)
        if (strcmp(pictures[i].task, rep->task->name) == 0) PAL_TRY(draw_all(rep, &pictures[i], out, err));
    return PAL_OK;
}
