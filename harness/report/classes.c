/* Classes of model size, and the order of cells of documents. */
#include "harness/report/classes.h"

#include <math.h>
#include <string.h>

int report_size_class(const report *rep, const result_cell *cell)
{
    double from = 0;
    for (int class = 0;; class ++) {
        double next = INFINITY;
        for (size_t i = 0; i < rep->count; i++) {
            const double size = (double)rep->row[i].cell->parameters;
            if (size > 0 && size > 1.1 * from && size < next) next = size;
        }
        if (!isfinite(next) || (double)cell->parameters <= 1.1 * next) return class;
        from = next;
    }
}

double report_length(const result_cell *cell)
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

int report_texts_order(const result_cell *a, const result_cell *b)
{
    const size_t x = strcspn(a->name, ":"), y = strcspn(b->name, ":");
    int order = strncmp(a->name, b->name, x < y ? x : y);
    if (!order) order = (x > y) - (x < y);
    if (order) return order;
    const double p = report_length(a), q = report_length(b);
    if (isnan(p) != isnan(q)) return isnan(p) ? 1 : -1;
    if (p != q && !isnan(p)) return p < q ? -1 : 1;
    return strcmp(a->name, b->name);
}
