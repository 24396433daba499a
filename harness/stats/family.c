/* Westfall and Young's correction for many comparisons: the least p of all under joint sign flips. */
#include "harness/stats/family.h"

#include "harness/stats/flips.h"
#include "harness/stats/stats.h"

#include <math.h>
#include <stdlib.h>

/* The flips of one set of documents, and the least p that each gives to a row so far. */
typedef struct group {
    size_t id, documents, sets;
    double *least;
} group;

typedef struct family {
    group *group;
    size_t count;
} family;

static group *find_group(family *f, size_t id)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->group[i].id == id) return &f->group[i];
    f->group[f->count] = (group){.id = id};
    return &f->group[f->count++];
}

static int make_groups(family *f, const family_row *row, size_t count, pal_error *err)
{
    *f = (family){.group = calloc(count + 1, sizeof *f->group)};
    if (!f->group) return pal_fail(err, PAL_INTERNAL, "out of memory for a family of comparisons");
    for (size_t i = 0; i < count; i++) {
        group *g = find_group(f, row[i].documents);
        if (row[i].count > g->documents) g->documents = row[i].count;
    }
    for (size_t i = 0; i < f->count; i++) {
        group *g = &f->group[i];
        g->sets = flips_count(g->documents);
        g->least = malloc((g->sets + 1) * sizeof *g->least);
        if (!g->least) return pal_fail(err, PAL_INTERNAL, "out of memory for a family of comparisons");
        for (size_t s = 0; s < g->sets; s++) g->least[s] = 1;
    }
    return PAL_OK;
}

static void free_groups(family *f)
{
    for (size_t i = 0; f->group && i < f->count; i++) free(f->group[i].least);
    free(f->group);
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* How many of sorted[count], descending, are at least `value`, up to rounding. */
static size_t reach(const double *sorted, size_t count, double value, double slack)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        const size_t middle = (lo + hi) / 2;
        if (sorted[middle] >= value - slack)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* The p that a row has by itself after each flip: p[0] is the observed one. NaN: the row has no numbers. */
static int own_p(const family_row *row, const group *g, double *p, pal_error *err)
{
    double *size = malloc(2 * (g->sets + 1) * sizeof *size), *sorted = size + g->sets, slack = 0;
    unsigned char *flipped = malloc(g->documents + 1);
    if (!size || !flipped) {
        free(size);
        free(flipped);
        return pal_fail(err, PAL_INTERNAL, "out of memory for a family of comparisons");
    }
    for (size_t i = 0; i < row->count; i++) slack += 1e-12 * fabs(row->part[i]);
    for (size_t s = 0; s < g->sets; s++) {
        double sum = 0;
        flips_set(g->documents, s, flipped);
        for (size_t i = 0; i < row->count; i++) sum += flipped[i] ? -row->part[i] : row->part[i];
        size[s] = sorted[s] = fabs(sum);
    }
    qsort(sorted, g->sets, sizeof *sorted, descending);
    for (size_t s = 0; s < g->sets; s++)
        p[s] = isfinite(slack) ? (double)reach(sorted, g->sets, size[s], slack) / (double)g->sets : NAN;
    free(size);
    free(flipped);
    return PAL_OK;
}

/* The share of flips in which some row has a p as small: those of different documents are independent. */
static double reached(const family *f, double observed)
{
    double none = 1;
    for (size_t i = 0; i < f->count; i++) {
        size_t extreme = 0;
        for (size_t s = 0; s < f->group[i].sets; s++) extreme += f->group[i].least[s] <= observed * (1 + 1e-12);
        none *= 1 - (double)extreme / (double)f->group[i].sets;
    }
    return 1 - none;
}

typedef struct entry {
    size_t row;
    double p;
} entry;

/* The largest p first. */
static int by_p(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->p != y->p) return x->p > y->p ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* The rows with a p, in order. */
static int sort_rows(family *f, const family_row *row, size_t count, double *p, entry *order, size_t *entries,
                     pal_error *err)
{
    *entries = 0;
    for (size_t i = 0; i < count; i++) {
        const group *g = find_group(f, row[i].documents);
        double *own = malloc((g->sets + 1) * sizeof *own);
        if (!own) return pal_fail(err, PAL_INTERNAL, "out of memory for a family of comparisons");
        const int code = own_p(&row[i], g, own, err);
        p[i] = NAN;
        if (code == PAL_OK && isfinite(own[0])) order[(*entries)++] = (entry){i, own[0]};
        free(own);
        PAL_TRY(code);
    }
    qsort(order, *entries, sizeof *order, by_p);
    return PAL_OK;
}

/* Lower the least p of each flip to that of the row. */
static int enter(group *g, const family_row *row, pal_error *err)
{
    int any = 0;
    for (size_t i = 0; i < row->count; i++) any |= row->part[i] != 0;
    if (!any) return PAL_OK; /* its p is 1 whatever is flipped */
    double *own = malloc((g->sets + 1) * sizeof *own);
    if (!own) return pal_fail(err, PAL_INTERNAL, "out of memory for a family of comparisons");
    const int code = own_p(row, g, own, err);
    for (size_t s = 0; code == PAL_OK && s < g->sets; s++) g->least[s] = fmin(g->least[s], own[s]);
    free(own);
    return code;
}

int stats_family(const family_row *row, size_t count, double *p, pal_error *err)
{
    family f;
    size_t entries = 0;
    entry *order = malloc((count + 1) * sizeof *order);
    int code = make_groups(&f, row, count, err);
    if (code == PAL_OK && !order) code = pal_fail(err, PAL_INTERNAL, "out of memory for a family of comparisons");
    if (code == PAL_OK) code = sort_rows(&f, row, count, p, order, &entries, err);
    /* A row competes with those whose own p is not smaller. */
    for (size_t k = 0; code == PAL_OK && k < entries; k++) {
        const family_row *r = &row[order[k].row];
        group *g = find_group(&f, r->documents);
        code = enter(g, r, err);
        if (code == PAL_OK) p[order[k].row] = reached(&f, order[k].p);
    }
    for (size_t k = entries; code == PAL_OK && k-- > 0;)
        if (k + 1 < entries) p[order[k].row] = fmax(p[order[k].row], p[order[k + 1].row]);
    free_groups(&f);
    free(order);
    return code;
}
