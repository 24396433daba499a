/* What a needle leaves in a memory: pictures of the CSV that `palimpsest imprint` writes. */
#include "harness/plots/plots.h"

#include "harness/base/csv.h"
#include "harness/base/os.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL, WEIGHTS, DEPTH, SEGMENTS, PART, NORM, DIFFERENCE, COLUMNS };

typedef struct imprint {
    csv_table table;
    size_t column[COLUMNS];
    double depth; /* of the needles nearest to the start */
    const report *rep;
} imprint;

static const char *text_at(const imprint *m, size_t row, int which)
{
    return csv_text(&m->table, row, m->column[which]);
}

static double number_at(const imprint *m, size_t row, int which)
{
    return csv_number(&m->table, row, m->column[which]);
}

/* Rows of the needles nearest to the start in a part of the state that holds anything. */
static int counts(const imprint *m, size_t row, const char *part)
{
    return strcmp(text_at(m, row, PART), part) == 0 && number_at(m, row, DEPTH) == m->depth &&
           number_at(m, row, NORM) > 0;
}

static int same_model(const imprint *m, size_t a, size_t b)
{
    return strcmp(text_at(m, a, WEIGHTS), text_at(m, b, WEIGHTS)) == 0 &&
           strcmp(text_at(m, a, MODEL), text_at(m, b, MODEL)) == 0;
}

static figure_look look_of(const imprint *m, size_t row)
{
    figure_look look = {.kind = FIGURE_MODEL};
    snprintf(look.label, sizeof look.label, "%s", text_at(m, row, MODEL));
    for (size_t i = 0; i < m->rep->count; i++) {
        const result_cell *c = m->rep->row[i].cell;
        if (strcmp(c->weights, text_at(m, row, WEIGHTS)) == 0)
            snprintf(look.attention, sizeof look.attention, "%s", c->facts.attention);
    }
    return look;
}

/* Means over the layers that have the part, for each number of segments read. */
static void add_model(figure *f, const imprint *m, size_t first, const char *part, int which)
{
    const figure_look look = look_of(m, first);
    figure_add_series(f, &look);
    for (size_t i = first; i < m->table.rows; i++) {
        double sum = 0, layers = 0;
        size_t earlier = first;
        if (!counts(m, i, part) || !same_model(m, first, i)) continue;
        while (!counts(m, earlier, part) || !same_model(m, first, earlier) ||
               number_at(m, earlier, SEGMENTS) != number_at(m, i, SEGMENTS))
            earlier++;
        if (earlier < i) continue;
        for (size_t k = i; k < m->table.rows; k++) {
            if (!counts(m, k, part) || !same_model(m, first, k) ||
                number_at(m, k, SEGMENTS) != number_at(m, i, SEGMENTS))
                continue;
            sum += number_at(m, k, which);
            layers++;
        }
        figure_add_point(
            f, (figure_point){.x = number_at(m, i, SEGMENTS), .y = sum / layers, .lo = NAN, .hi = NAN, .z = NAN});
    }
    figure_sort_points(f);
}

static void add_panel(figure *f, const imprint *m, const char *title, const char *part, int which)
{
    figure_add_panel(f, "", title);
    for (size_t i = 0; i < m->table.rows; i++) {
        size_t earlier = 0;
        if (!counts(m, i, part)) continue;
        while (!counts(m, earlier, part) || !same_model(m, earlier, i)) earlier++;
        if (earlier == i) add_model(f, m, i, part, which);
    }
}

int plots_imprint(const report *rep, const char *dir, figure_output *out, pal_error *err)
{
    static const char *const name[COLUMNS] = {"model", "weights_sha256", "depth",     "segments",
                                              "part",  "norm",           "difference"};
    char *path = NULL, script[64];
    imprint m = {.rep = rep};
    if (asprintf(&path, "%s/%s-imprint.csv", dir, rep->task->name) < 0)
        return pal_fail(err, PAL_INTERNAL, "out of memory for the imprint picture");
    int code = os_file_exists(path) ? csv_read(&m.table, path, err) : PAL_OK;
    for (int c = 0; code == PAL_OK && m.table.columns && c < COLUMNS; c++) {
        m.column[c] = csv_column(&m.table, name[c]);
        if (m.column[c] == m.table.columns)
            code = pal_fail(err, PAL_DATA, "%s: no column %s; write the file again by `palimpsest imprint`", path,
                            name[c]);
    }
    m.depth = INFINITY;
    for (size_t i = 0; code == PAL_OK && i < m.table.rows; i++) m.depth = fmin(m.depth, number_at(&m, i, DEPTH));
    snprintf(script, sizeof script, "%.40s_imprint", rep->task->name);
    if (code == PAL_OK && m.table.rows && figure_has_script(out, script)) {
        figure f;
        figure_begin(&f, script, "", "");
        add_panel(&f, &m, "the needle's part of M", "M", DIFFERENCE);
        add_panel(&f, &m, "norm of z", "z", NORM);
        code = figure_draw(&f, out, err);
        figure_free(&f);
    }
    csv_free(&m.table);
    free(path);
    return code;
}
