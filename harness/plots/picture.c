/* Which rows of a report a picture takes, and where each stands in it. */
#include "harness/plots/picture.h"

#include "harness/report/classes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The middle of the range of positions that doubles from "4K" on; the first one goes to 256. */
static double position_of(const char *metric)
{
    const char *at = strchr(metric, '@');
    int64_t from;
    pal_error none;
    if (!at || kv_parse_size("position", at + 1, &from, &none) != PAL_OK) return NAN;
    return from ? sqrt(2) * (double)from : 128;
}

double picture_x(picture_axis axis, const result_cell *cell, const char *metric)
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
        return report_length(cell);
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

int picture_joins(const picture *p, const report_row *a, const report_row *b)
{
    if (p->split == ONE_PICTURE) return 1;
    return p->split == BY_CELL ? strcmp(a->cell->name, b->cell->name) == 0 : plots_same_texts(a->cell, b->cell);
}

int picture_takes(const report *rep, const picture *p, const report_row *row)
{
    const result_cell *c = row->cell;
    return !(((p->without & NO_ZEROED) && c->memory == RESULT_ZEROED) ||
             ((p->without & NO_VARIANTS) && c->variant[0]) ||
             ((p->without & NO_REFERENCES) && c->kind == RESULT_REFERENCE) ||
             ((p->without & TRAINED_HERE) && any_trained_here(rep) && !trained_here(rep, c)) ||
             ((p->without & NOT_AT_END) && c->depth >= 100) ||
             (p->facet == BY_DEPTH && c->depth != 0 && c->depth != 50 && c->depth != 100));
}

static int any_trained_elsewhere(const report *rep)
{
    for (size_t i = 0; i < rep->count; i++) {
        const result_cell *c = rep->row[i].cell;
        if (c->facts.trained_on[0] && !trained_here(rep, c)) return 1;
    }
    return 0;
}

int picture_group_of(const report *rep, const picture *p, const result_cell *cell)
{
    if (p->group == BY_TRAINING && !any_trained_elsewhere(rep)) return 0;
    if (p->group == BY_TRAINING) return trained_here(rep, cell) ? 0 : cell->facts.trained_on[0] ? 1 : 2;
    return p->group == BY_SIZE ? report_size_class(rep, cell) : 0;
}

static void group_title(const rows *all, int group, char *out, size_t size)
{
    const picture *p = all->picture;
    const result_cell *cell = all->row[0]->cell;
    static const char *const training[] = {"trained on this task", "not trained on this task", "training unknown"};
    out[0] = '\0';
    if (p->group == BY_TRAINING && any_trained_elsewhere(all->rep)) snprintf(out, size, "%s", training[group]);
    if (p->group == BY_SIZE) snprintf(out, size, "%.2fM parameters", (double)cell->parameters / 1e6);
}

/* Which panel of its group a row stands in: equal texts, equal panels. */
void picture_facet_of(const picture *p, const report_row *row, char *out, size_t size)
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

/* The tokens that documents were cut to, "books/test:4K"; whole ones are the longest. */
static double cut_of(const result_cell *cell)
{
    const char *cut = cell->name + plots_texts_size(cell);
    int64_t tokens;
    pal_error none;
    return *cut && kv_parse_size("cut", cut + 1, &tokens, &none) == PAL_OK ? (double)tokens : INFINITY;
}

/* A model's documents cut at 4K say what those cut at 8K say, up to there. */
static void keep_longest_cut(rows *all)
{
    const report_row **kept = calloc(all->count + 1, sizeof *kept);
    size_t count = 0;
    if (!kept) return; /* more rows than are needed are no harm */
    for (size_t i = 0; i < all->count; i++) {
        const result_cell *a = all->row[i]->cell;
        int longest = 1;
        for (size_t k = 0; k < all->count && longest; k++) {
            const result_cell *b = all->row[k]->cell;
            longest = strcmp(a->model, b->model) != 0 || strcmp(a->weights, b->weights) != 0 ||
                      strcmp(a->config, b->config) != 0 || a->memory != b->memory || cut_of(b) <= cut_of(a);
        }
        if (longest) kept[count++] = all->row[i];
    }
    memcpy(all->row, kept, count * sizeof *kept);
    all->count = count;
    free(kept);
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

/* Panels stand in the order of what they show, not of what was evaluated first; rows of one panel keep theirs. */
static double panel_place(const picture *p, const report_row *row)
{
    return p->facet == BY_DEPTH ? row->cell->depth : p->facet == BY_LENGTH ? (double)row->cell->length : 0;
}

static void order_panels(rows *all)
{
    for (size_t i = 1; i < all->count; i++) {
        const report_row *row = all->row[i];
        size_t k = i;
        for (; k > 0 && panel_place(all->picture, all->row[k - 1]) > panel_place(all->picture, row); k--)
            all->row[k] = all->row[k - 1];
        all->row[k] = row;
    }
}

/* Whether a line of the picture would have more than one point. */
static int any_of_two_lengths(const rows *all)
{
    for (size_t i = 0; i < all->count; i++)
        for (size_t k = 0; k < i; k++)
            if (all->row[i]->cell->length != all->row[k]->cell->length &&
                strcmp(all->row[i]->label, all->row[k]->label) == 0)
                return 1;
    return 0;
}

/* The rows of a group: those that join `like`. */
void picture_choose(rows *all, const report_row *like, int group)
{
    const picture *p = all->picture;
    all->count = 0;
    for (size_t i = 0; i < all->rep->count; i++) {
        const report_row *row = &all->rep->row[i];
        if (picture_takes(all->rep, p, row) && picture_group_of(all->rep, p, row->cell) == group &&
            picture_joins(p, row, like))
            all->row[all->count++] = row;
    }
    if (p->axis == OF_POSITION) keep_one_tokenizer(all);
    if (p->axis == OF_POSITION) keep_longest_cut(all);
    if (p->facet == BY_MODEL && p->axis == OF_LENGTH) keep_common_depths(all);
    if (p->axis == OF_DEPTH) keep_many_depths(all);
    if ((p->without & NOT_ONE_LENGTH) && !any_of_two_lengths(all)) all->count = 0;
    order_panels(all);
    if (all->count) group_title(all, group, all->heading, sizeof all->heading);
}
