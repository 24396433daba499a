/* CSV files are read whole and cut in place; a field is a string that points into the file's text. */
#include "harness/base/csv.h"

#include "harness/base/array.h"
#include "harness/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Cut one field off *at, in place. *ends: it is the last of its line. NULL: a quote is not closed. */
static const char *cut_field(char **at, int *ends)
{
    char *from = *at, *to = *at, *field = *at;
    if (*from == '"') {
        for (from++; *from && !(*from == '"' && from[1] != '"'); from++) {
            if (*from == '"') from++;
            *to++ = *from;
        }
        if (*from++ != '"') return NULL;
    } else {
        while (*from && *from != ',' && *from != '\n') *to++ = *from++;
    }
    if (to > field && *from != ',' && to[-1] == '\r') to--; /* lines may end in CR LF */
    if (*from == '\r') from++;
    *ends = *from != ',';
    if (*ends && *from && *from != '\n') return NULL; /* something stands behind a closing quote */
    *at = *from ? from + 1 : from;
    *to = '\0';
    return field;
}

static int cut_all(csv_table *t, const char *path, pal_error *err)
{
    size_t count = 0, capacity = 0, in_line = 0, line = 1;
    for (char *at = t->text; *at || in_line;) {
        int ends = 0;
        PAL_TRY(array_room(&t->field, &capacity, count + 1, sizeof *t->field, path, err));
        const char *field = cut_field(&at, &ends);
        if (!field)
            return pal_fail(err, PAL_DATA, "%s: row %zu: a quote is not closed, or text follows it", path, line);
        t->field[count++] = field;
        in_line++;
        if (!ends) continue;
        if (line > 1 && in_line != t->columns)
            return pal_fail(err, PAL_DATA, "%s: row %zu: %zu fields where the first row has %zu", path, line,
                            in_line, t->columns);
        t->columns = in_line;
        t->rows = line - 1;
        in_line = 0;
        line++;
    }
    return PAL_OK;
}

int csv_read(csv_table *out, const char *path, pal_error *err)
{
    *out = (csv_table){0};
    PAL_TRY(utf8_read_text(path, &out->text, err));
    const int code = cut_all(out, path, err);
    if (code != PAL_OK) csv_free(out);
    return code;
}

void csv_free(csv_table *t)
{
    free(t->text);
    free(t->field);
    *t = (csv_table){0};
}

size_t csv_column(const csv_table *t, const char *name)
{
    size_t c = 0;
    while (c < t->columns && strcmp(t->field[c], name) != 0) c++;
    return c;
}

const char *csv_text(const csv_table *t, size_t row, size_t column)
{
    if (row >= t->rows || column >= t->columns) return "";
    const char *text = t->field[(row + 1) * t->columns + column];
    return text + (*text == '\'');
}

double csv_number(const csv_table *t, size_t row, size_t column)
{
    const char *text = csv_text(t, row, column);
    char *end;
    const double value = strtod(text, &end);
    return *text && !*end ? value : NAN;
}
