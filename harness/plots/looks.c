/* How rows are named and told apart in pictures. */
#include "harness/plots/plots.h"

#include <string.h>

size_t plots_texts_size(const result_cell *cell)
{
    return strcspn(cell->name, ":");
}

int plots_same_texts(const result_cell *a, const result_cell *b)
{
    return plots_texts_size(a) == plots_texts_size(b) && strncmp(a->name, b->name, plots_texts_size(a)) == 0;
}

/* Rows that take no model have short names of our own; NULL: no such. */
static const char *reference_label(const char *name, char *out, size_t size)
{
    static const struct {
        const char *name, *format;
    } known[] = {{"lead-", "first %s words of the text"},
                 {"random-", "%s random words of the text"},
                 {"oracle", "best sentences of the text"},
                 {"copy-first", "another text's summary"},
                 {"copy-mean", "other texts' summaries, mean"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const size_t length = strlen(known[i].name);
        if (strncmp(name, known[i].name, length) != 0) continue;
        const char *words = strchr(known[i].format, '%');
        if (!words) return known[i].format;
        snprintf(out, size, "%.*s%.8s%s", (int)(words - known[i].format), known[i].format, name + length,
                 words + 2);
        return out;
    }
    return NULL;
}

/* Characters of "MODEL" in "MODEL+ATTENTION"; 0: the attention is the model's own. */
static size_t base_size(const result_cell *cell)
{
    const size_t name = strlen(cell->model), instead = strlen(cell->facts.instead);
    if (!instead || name <= instead + 1 || cell->model[name - instead - 1] != '+') return 0;
    return strcmp(cell->model + name - instead, cell->facts.instead) == 0 ? name - instead - 1 : 0;
}

/* Whether a row is of the first `size` characters of c's model, with its own attention. */
static int has_own_row(const report *rep, const result_cell *c, size_t size)
{
    for (size_t i = 0; i < rep->count; i++) {
        const char *model = rep->row[i].cell->model;
        if (strlen(model) == size && memcmp(model, c->model, size) == 0) return 1;
    }
    return 0;
}

const char *plots_base(const report *rep, char out[KV_TEXT_MAX])
{
    out[0] = '\0';
    for (size_t i = 0; i < rep->count; i++) {
        const result_cell *c = rep->row[i].cell;
        const size_t size = base_size(c);
        if (!size || has_own_row(rep, c, size)) continue;
        if (out[0] && (strlen(out) != size || memcmp(out, c->model, size) != 0)) {
            out[0] = '\0';
            break;
        }
        snprintf(out, KV_TEXT_MAX, "%.*s", (int)size, c->model);
    }
    return out;
}

figure_look plots_look(const report_row *row, const report *others)
{
    const result_cell *c = row->cell;
    figure_look look = {.zeroed = c->memory == RESULT_ZEROED,
                        .kind = c->kind == RESULT_REFERENCE ? FIGURE_REFERENCE : FIGURE_MODEL};
    char name[REPORT_LABEL], other[REPORT_LABEL], text[64], base[KV_TEXT_MAX];
    int unique = 1;
    label_name(c, name);
    snprintf(look.attention, sizeof look.attention, "%s", c->facts.attention);
    /* The mark after '@' is needed only where two rows of one name are about the same cell. */
    for (size_t i = 0; i < others->count && unique; i++) {
        const report_row *o = &others->row[i];
        unique = strcmp(o->label, row->label) == 0 || strcmp(o->cell->name, c->name) != 0 ||
                 o->cell->variant[0] != c->variant[0] || strcmp(label_name(o->cell, other), name) != 0;
    }
    const char *reference = look.kind == FIGURE_REFERENCE ? reference_label(c->model, text, sizeof text) : NULL;
    const size_t size = base_size(c);
    const size_t own =
        size && strlen(plots_base(others, base)) == size && memcmp(base, c->model, size) == 0 ? size + 1 : 0;
    const char *mark = unique ? NULL : strrchr(row->label, '@');
    snprintf(look.label, sizeof look.label, "%.250s%s%s%s%s", reference ? reference : c->model + own,
             look.zeroed ? " without memory" : "", mark ? " (run " : "", mark ? mark + 1 : "", mark ? ")" : "");
    return look;
}
