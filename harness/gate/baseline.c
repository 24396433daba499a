/* Committed losses as a CSV file: read, written, and judged against those of this build.
 * Equal BLAS cores must agree in every bit, others within the tolerances of baseline.h. */
#include "harness/gate/baseline.h"

#include "harness/base/array.h"
#include "harness/base/csv.h"
#include "harness/base/os.h"
#include "harness/base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME, METRIC, VALUE, CORE, WEIGHTS, COLUMNS };
static const char *const names[COLUMNS] = {"name", "metric", "value", "blas_core", "weights"};

void baseline_free(baseline *b)
{
    free(b->row);
    *b = (baseline){0};
}

const baseline_row *baseline_find(const baseline *b, const char *name, const char *metric)
{
    for (size_t i = 0; i < b->count; i++)
        if (strcmp(b->row[i].name, name) == 0 && strcmp(b->row[i].metric, metric) == 0) return &b->row[i];
    return NULL;
}

int baseline_add(baseline *b, const baseline_row *row, pal_error *err)
{
    const char *const text[] = {row->name, row->metric, row->blas_core, row->weights};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        if (strpbrk(text[i], ",\"\r\n"))
            return pal_fail(err, PAL_USAGE, "\"%s\" cannot stand in a baseline: rename it without , and \"",
                            text[i]);
    if (baseline_find(b, row->name, row->metric))
        return pal_fail(err, PAL_USAGE, "%s has two rows of %s; give every model a name of its own", row->name,
                        row->metric);
    PAL_TRY(array_room(&b->row, &b->capacity, b->count + 1, sizeof *b->row, "the baseline", err));
    b->row[b->count++] = *row;
    return PAL_OK;
}

/* ---- The file ---- */

static int copy_field(char *out, size_t size, const char *text)
{
    return (size_t)snprintf(out, size, "%s", text) < size;
}

static int read_row(baseline *out, const csv_table *t, size_t at, const char *path, pal_error *err)
{
    const char *value = csv_text(t, at, VALUE);
    char *end;
    baseline_row row = {.value = strtod(value, &end)};
    if (end == value || *end || !copy_field(row.name, sizeof row.name, csv_text(t, at, NAME)) ||
        !copy_field(row.metric, sizeof row.metric, csv_text(t, at, METRIC)) ||
        !copy_field(row.blas_core, sizeof row.blas_core, csv_text(t, at, CORE)) ||
        !copy_field(row.weights, sizeof row.weights, csv_text(t, at, WEIGHTS)))
        return pal_fail(err, PAL_DATA,
                        "%s: row %zu: the value is no number, or a text is too long; restore the file", path,
                        at + 2);
    pal_error cause;
    const int code = baseline_add(out, &row, &cause);
    return code == PAL_OK ? PAL_OK : pal_fail(err, PAL_DATA, "%s: row %zu: %s", path, at + 2, cause.text);
}

int baseline_read(baseline *out, const char *path, pal_error *err)
{
    csv_table t;
    *out = (baseline){0};
    if (!os_file_exists(path))
        return pal_fail(err, PAL_DATA, "%s: there is no baseline; make it from a build that you trust: update=1",
                        path);
    PAL_TRY(csv_read(&t, path, err));
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < COLUMNS; i++)
        if (t.columns != COLUMNS || csv_column(&t, names[i]) != i)
            code = pal_fail(err, PAL_DATA, "%s: not a baseline: column %zu is not %s; restore the file", path,
                            i + 1, names[i]);
    for (size_t i = 0; code == PAL_OK && i < t.rows; i++) code = read_row(out, &t, i, path, err);
    csv_free(&t);
    if (code != PAL_OK) baseline_free(out);
    return code;
}

int baseline_write(const baseline *b, const char *path, pal_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    for (int i = 0; i < COLUMNS; i++) fprintf(out, "%s%s", i ? "," : "", names[i]);
    fputc('\n', out);
    for (size_t i = 0; i < b->count; i++) {
        const baseline_row *r = &b->row[i];
        text_csv(out, r->name);
        fputc(',', out);
        text_csv(out, r->metric);
        fprintf(out, ",%.17g,%s,%s\n", r->value, r->blas_core, r->weights);
    }
    return text_finish(out, &text, &size, path, err);
}

/* ---- Comparing ---- */

/* Relative; 0: to the bit. */
static double tolerance(const baseline_row *then, const baseline_row *now)
{
    if (strcmp(then->blas_core, now->blas_core) == 0) return 0;
    return now->weights[0] ? BASELINE_EVALUATED : BASELINE_TRAINED;
}

baseline_verdict baseline_judge(const baseline_row *then, const baseline_row *now)
{
    if (!then) return BASELINE_NEW;
    if (!now) return BASELINE_GONE;
    if (strcmp(then->weights, now->weights) != 0) return BASELINE_MOVED;
    if (memcmp(&then->value, &now->value, sizeof now->value) == 0) return BASELINE_SAME;
    const double allowed = tolerance(then, now);
    /* A difference that is no number is none that is allowed. */
    const int within = allowed > 0 && fabs(now->value - then->value) <= allowed * fabs(then->value);
    return within ? BASELINE_SAME : BASELINE_MOVED;
}

static void print_row(const baseline_row *then, const baseline_row *now, baseline_verdict verdict, FILE *out)
{
    static const char *const word[] = {"same", "MOVED", "GONE", "NEW"};
    const baseline_row *any = now ? now : then;
    fprintf(out, "%-5s  %-28s %-24s ", word[verdict], any->name, any->metric);
    switch (verdict) {
    case BASELINE_SAME:
    case BASELINE_MOVED:
        fprintf(out, " baseline %.17g", then->value);
        if (now->value != then->value)
            fprintf(out, "  now %.17g  difference %.3g", now->value, now->value - then->value);
        if (strcmp(then->weights, now->weights) != 0)
            fprintf(out, "  other weights: %.12s, now %.12s", then->weights, now->weights);
        else if (tolerance(then, now) > 0)
            fprintf(out, "  allowed %.3g (core %s, now %s)", tolerance(then, now) * fabs(then->value),
                    then->blas_core, now->blas_core);
        else
            fprintf(out, "  %s (core %s)", verdict == BASELINE_SAME ? "to the bit" : "allowed none",
                    now->blas_core);
        break;
    case BASELINE_GONE:
        fprintf(out, " baseline %.17g  now missing", then->value);
        break;
    case BASELINE_NEW:
        fprintf(out, " baseline missing  now %.17g", now->value);
        break;
    }
    fputc('\n', out);
}

/* Rows of a verdict class, those of the baseline first. Returns how many. */
static size_t print_rows(const baseline *then, const baseline *now, int same, FILE *out)
{
    size_t count = 0;
    for (size_t i = 0; i < then->count + now->count; i++) {
        const baseline_row *old = i < then->count ? &then->row[i] : NULL;
        const baseline_row *new = old ? baseline_find(now, old->name, old->metric) : &now->row[i - then->count];
        if (!old && baseline_find(then, new->name, new->metric)) continue;
        const baseline_verdict verdict = baseline_judge(old, new);
        if ((verdict == BASELINE_SAME) != same) continue;
        print_row(old, new, verdict, out);
        count++;
    }
    return count;
}

size_t baseline_compare(const baseline *then, const baseline *now, FILE *out)
{
    const size_t different = print_rows(then, now, 0, out);
    if (different == 0) print_rows(then, now, 1, out);
    return different;
}
