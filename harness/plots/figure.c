/* A picture's tidy tables: filled by the callers, written as tab-separated files with named columns. */
#include "harness/plots/figure.h"

#include "harness/base/array.h"
#include "harness/base/os.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PANELS, LOOKS, SERIES, POINTS, TICKS };

void figure_begin(figure *f, const char *script, const char *subject, const char *name)
{
    *f = (figure){.script = script};
    snprintf(f->subject, sizeof f->subject, "%s", subject);
    if (name[0]) text_id(name, f->id);
}

void figure_free(figure *f)
{
    free(f->panel);
    free(f->look);
    free(f->series);
    free(f->point);
    free(f->tick);
    *f = (figure){0};
}

/* Room for one more element of array `which`; 0: there is no memory. `array` points to the pointer to it. */
static int has_room(figure *f, int which, void *array, size_t count, size_t size)
{
    pal_error none;
    f->failed = f->failed || array_room(array, &f->room[which], count + 1, size, "a picture", &none) != PAL_OK;
    return !f->failed;
}

void figure_add_panel(figure *f, const char *heading, const char *title)
{
    if (!has_room(f, PANELS, &f->panel, f->panels, sizeof *f->panel)) return;
    const figure_panel *last = f->panels ? &f->panel[f->panels - 1] : NULL;
    figure_panel *p = &f->panel[f->panels];
    *p = (figure_panel){.group = last ? last->group + (strcmp(last->heading, heading) != 0) : 0};
    snprintf(p->heading, sizeof p->heading, "%s", heading);
    snprintf(p->title, sizeof p->title, "%s", title);
    f->panels++;
}

static size_t find_look(figure *f, const figure_look *look)
{
    const int group = f->panels ? f->panel[f->panels - 1].group : 0;
    size_t at = 0;
    int variants = 0;
    while (at < f->looks && (f->look[at].kind != look->kind || strcmp(f->look[at].label, look->label) != 0)) {
        const figure_look *other = &f->look[at++];
        variants += other->kind == look->kind && !other->zeroed && !look->zeroed && other->group == group &&
                    strcmp(other->attention, look->attention) == 0;
    }
    if (at < f->looks) return at;
    if (!has_room(f, LOOKS, &f->look, f->looks, sizeof *f->look)) return 0;
    f->look[f->looks] = *look;
    f->look[f->looks].variant = variants;
    f->look[f->looks].group = group;
    return f->looks++;
}

void figure_add_series(figure *f, const figure_look *look)
{
    const size_t found = find_look(f, look);
    if (has_room(f, SERIES, &f->series, f->all_series, sizeof *f->series))
        f->series[f->all_series++] = (figure_series){.panel = f->panels - 1, .look = found};
}

void figure_add_point(figure *f, figure_point point)
{
    if (!isfinite(point.x) || !isfinite(point.y)) return;
    if (!has_room(f, POINTS, &f->point, f->points, sizeof *f->point)) return;
    point.series = f->all_series - 1;
    f->point[f->points++] = point;
}

static int by_x(const void *a, const void *b)
{
    const figure_point *p = a, *q = b;
    if (p->x != q->x) return p->x < q->x ? -1 : 1;
    return (p->z > q->z) - (p->z < q->z);
}

void figure_sort_points(figure *f)
{
    size_t first = f->points;
    while (first > 0 && f->point[first - 1].series == f->all_series - 1) first--;
    if (f->points) qsort(f->point + first, f->points - first, sizeof *f->point, by_x);
}

void figure_add_tick(figure *f, char axis, double place, const char *label)
{
    for (size_t i = 0; i < f->ticks; i++)
        if (f->tick[i].axis == axis && f->tick[i].place == place) return;
    if (!has_room(f, TICKS, &f->tick, f->ticks, sizeof *f->tick)) return;
    f->tick[f->ticks] = (figure_tick){.axis = axis, .place = place};
    snprintf(f->tick[f->ticks++].label, sizeof f->tick->label, "%s", label);
}

void figure_add_size_tick(figure *f, char axis, double place)
{
    char label[24];
    figure_add_tick(f, axis, place, kv_format_size((int64_t)place, label));
}

/* ---- Writing ---- */

/* A column's number; "nan", which gnuplot leaves out, where there is none. */
static void put_number(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "\t%.10g", value);
    else
        fputs("\tnan", out);
}

static void put_panels(FILE *out, const figure *f)
{
    fputs("panel\tgroup\theading\ttitle\n", out);
    for (size_t i = 0; i < f->panels; i++) {
        fprintf(out, "%zu\t%d\t", i + 1, f->panel[i].group + 1);
        text_plot(out, f->panel[i].heading);
        fputc('\t', out);
        text_plot(out, f->panel[i].title);
        fputc('\n', out);
    }
}

static void put_looks(FILE *out, const figure *f)
{
    static const char *const kind[] = {[FIGURE_MODEL] = "model",
                                       [FIGURE_CONTEXT] = "context",
                                       [FIGURE_REFERENCE] = "reference",
                                       [FIGURE_PAPER] = "paper"};
    fputs("look\tkind\tattention\tvariant\tzeroed\tlabel\n", out);
    for (size_t i = 0; i < f->looks; i++) {
        const figure_look *l = &f->look[i];
        fprintf(out, "%zu\t%s\t", i + 1, kind[l->kind]);
        text_plot(out, l->attention);
        fprintf(out, "\t%d\t%d\t", l->variant, l->zeroed);
        text_plot(out, l->label);
        fputc('\n', out);
    }
}

static void put_series(FILE *out, const figure *f)
{
    fputs("series\tpanel\tlook\n", out);
    for (size_t i = 0; i < f->all_series; i++)
        fprintf(out, "%zu\t%zu\t%zu\n", i + 1, f->series[i].panel + 1, f->series[i].look + 1);
}

static void put_points(FILE *out, const figure *f)
{
    fputs("series\tpanel\tn\tx\ty\tlo\thi\tz\n", out);
    for (size_t i = 0; i < f->points; i++) {
        const figure_point *p = &f->point[i];
        fprintf(out, "%zu\t%zu\t%lld", p->series + 1, f->series[p->series].panel + 1, (long long)p->n);
        const double number[] = {p->x, p->y, p->lo, p->hi, p->z};
        for (size_t k = 0; k < sizeof number / sizeof *number; k++) put_number(out, number[k]);
        fputc('\n', out);
    }
}

static void put_ticks(FILE *out, const figure *f)
{
    fputs("axis\tplace\tlabel\n", out);
    if (f->ticks == 0) fputs("-\t0\t\"\"\n", out); /* gnuplot refuses a table without rows */
    for (size_t i = 0; i < f->ticks; i++)
        fprintf(out, "%c\t%.10g\t\"%s\"\n", f->tick[i].axis, f->tick[i].place, f->tick[i].label);
}

static void put_picture(FILE *out, const figure *f)
{
    fputs("subject\n", out);
    text_plot(out, f->subject);
    fputc('\n', out);
}

int figure_write(const figure *f, const char *folder, pal_error *err)
{
    static const struct {
        const char *name;
        void (*put)(FILE *, const figure *);
    } files[] = {{"panels", put_panels}, {"looks", put_looks}, {"series", put_series},
                 {"points", put_points}, {"ticks", put_ticks}, {"picture", put_picture}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = NULL, *text = NULL;
        size_t size = 0;
        FILE *out = asprintf(&path, "%s/%s.tsv", folder, files[i].name) < 0 ? NULL : open_memstream(&text, &size);
        int code = out ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for a picture's tables");
        if (out) files[i].put(out, f);
        if (out) code = text_finish(out, &text, &size, path, err);
        free(path);
        PAL_TRY(code);
    }
    return PAL_OK;
}
