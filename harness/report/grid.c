/* Table 3: passkey retrieval. Models trained on another task stand beside the paper's zero-shot rows, models
 * trained on this one beside its fine-tuned rows. */
#include "harness/report/tables.h"
#include "tasks/paper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTHS_MAX = 32, DEPTHS = 3 };
static const double depth_of[DEPTHS] = {0, 50, 100};
static const char *const depth_name[DEPTHS] = {"start", "middle", "end"};

/* Controls and variants last: they are no rivals of the others. */
enum { ZERO_SHOT, FINE_TUNED, PASSKEY_ONLY, UNKNOWN, CONTROL, SECTIONS };
static const char *const section_name[SECTIONS] = {"zero-shot", "fine-tuned", "passkey only", "unknown",
                                                   "control"};

enum { COLUMN_SECTION, COLUMN_MODEL, COLUMN_NEEDLE, COLUMN_FIRST };

static int section(const report_row *row)
{
    const result_cell *c = row->cell;
    if (c->memory == RESULT_ZEROED || c->variant[0]) return CONTROL;
    if (!c->facts.trained_on[0]) return UNKNOWN;
    if (strcmp(c->facts.trained_on, "passkey") != 0) return ZERO_SHOT;
    return c->facts.fine_tuned ? FINE_TUNED : PASSKEY_ONLY;
}

static int depth_index(const report_row *row)
{
    int d = 0;
    while (d < DEPTHS && row->cell->depth != depth_of[d]) d++;
    return d;
}

/* Rows of one model and variant. */
static int same_line(const report_row *a, const report_row *b)
{
    return strcmp(a->label, b->label) == 0 && strcmp(a->cell->variant, b->cell->variant) == 0;
}

static const report_row *find_row(const report *rep, const report_row *like, int64_t length, int depth)
{
    for (size_t i = 0; i < rep->count; i++)
        if (same_line(&rep->row[i], like) && rep->row[i].cell->length == length &&
            depth_index(&rep->row[i]) == depth)
            return &rep->row[i];
    return NULL;
}

/* The sorted lengths at which any of the three depths was evaluated, in the controls or beside them. */
static size_t list_lengths(const report *rep, int controls, int64_t length[LENGTHS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < rep->count; i++) {
        const int64_t value = rep->row[i].cell->length;
        size_t at = 0;
        if (depth_index(&rep->row[i]) == DEPTHS || (section(&rep->row[i]) == CONTROL) != controls) continue;
        while (at < count && length[at] < value) at++;
        if ((at < count && length[at] == value) || count == LENGTHS_MAX) continue;
        memmove(length + at + 1, length + at, (count - at) * sizeof *length);
        length[at] = value;
        count++;
    }
    return count;
}

typedef struct grid {
    const report *rep;
    size_t metric;
    int paper; /* the paper prints this metric */
    int64_t length[LENGTHS_MAX];
    size_t lengths;
    const report_row **row; /* of each table row, whichever length came first */
    size_t rows;
} grid;

static void put_line(table *t, grid *g, const report_row *like, int depth, int rule)
{
    const task_metric *m = &g->rep->task->metric[g->metric];
    const int part = section(like);
    table_row(t, rule);
    if (part == CONTROL)
        table_text(t, COLUMN_SECTION, "%s", like->cell->variant[0] ? like->cell->variant : "memory zeroed");
    else
        table_text(t, COLUMN_SECTION, "%s", section_name[part]);
    table_text(t, COLUMN_MODEL, "%s", like->label);
    table_text(t, COLUMN_NEEDLE, "%s", depth_name[depth]);
    for (size_t l = 0; l < g->lengths; l++) {
        const report_row *row = find_row(g->rep, like, g->length[l], depth);
        table_cell *at = table_at(t, COLUMN_FIRST + l);
        if (!at) continue;
        if (row) *at = table_cell_of(m, &row->metric[g->metric], row->n);
        if (g->paper && part != CONTROL)
            at->paper = paper_passkey(&like->cell->facts, g->length[l], depth_of[depth]);
    }
    g->row[g->rows++] = like;
}

/* All lines of a section, in the report's order. */
static void put_section(table *t, grid *g, int part)
{
    int rule = 1;
    for (size_t i = 0; i < g->rep->count; i++) {
        const report_row *row = &g->rep->row[i];
        size_t earlier = 0;
        if (section(row) != part || depth_index(row) == DEPTHS) continue;
        while (!same_line(&g->rep->row[earlier], row) || depth_index(&g->rep->row[earlier]) == DEPTHS) earlier++;
        if (earlier < i) continue;
        for (int d = 0; d < DEPTHS; d++) {
            int any = 0;
            for (size_t l = 0; l < g->lengths; l++) any |= find_row(g->rep, row, g->length[l], d) != NULL;
            if (!any) continue;
            put_line(t, g, row, d, rule);
            rule = 0;
        }
    }
}

/* The best model of a section in one column, for a needle in one place. */
static int mark_best(table *t, const grid *g, int part, int depth, size_t l, pal_error *err)
{
    const report_row **rival = calloc(g->rows + 1, sizeof *rival);
    size_t *line = calloc(g->rows + 1, sizeof *line), rivals = 0;
    int code = rival && line ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the tables");
    for (size_t r = 0; code == PAL_OK && t && !t->failed && r < g->rows; r++) {
        const char *needle = t->cell[r * t->columns + COLUMN_NEEDLE].text;
        const report_row *row = find_row(g->rep, g->row[r], g->length[l], depth);
        if (section(g->row[r]) != part || strcmp(needle, depth_name[depth]) != 0 || !row) continue;
        rival[rivals] = row;
        line[rivals++] = r;
    }
    if (code == PAL_OK)
        code = tables_mark_best(t, COLUMN_FIRST + l, &g->rep->task->metric[g->metric], g->metric, rival, line,
                                rivals, err);
    free(rival);
    free(line);
    return code;
}

static int add_grid(table_set *set, grid *g, int controls, const char *id, const char *title, pal_error *err)
{
    char text[24];
    int code = PAL_OK;
    g->lengths = list_lengths(g->rep, controls, g->length);
    if (g->lengths == 0) return PAL_OK;
    g->rows = 0;
    g->row = malloc(DEPTHS * g->rep->count * sizeof *g->row);
    if (!g->row) return pal_fail(err, PAL_INTERNAL, "out of memory for the tables");
    table *t = table_add(set, "table3-passkey", id, title, COLUMN_FIRST);
    table_column(t, controls ? "control" : "training");
    table_column(t, "model");
    table_column(t, "needle");
    for (size_t l = 0; l < g->lengths; l++) table_column(t, kv_format_size(g->length[l], text));
    for (int part = controls ? CONTROL : ZERO_SHOT; part < (controls ? SECTIONS : CONTROL); part++) {
        put_section(t, g, part);
        for (int d = 0; !controls && d < DEPTHS; d++)
            for (size_t l = 0; code == PAL_OK && l < g->lengths; l++) code = mark_best(t, g, part, d, l, err);
    }
    if (t)
        snprintf(t->note, sizeof t->note,
                 "In percent. %s Columns are lengths in tokens, prompt and answer together, 1K = 1024. %s",
                 tables_note,
                 controls ? "Nothing is bold here: controls are no rivals."
                          : "Zero-shot: language models before any passkey; fine-tuned: the same weights after "
                            "it; passkey only: networks that were trained on nothing else. Rivals are the models "
                            "of the same training. The paper's models have 1B parameters.");
    free(g->row);
    return code;
}

static int add(table_set *set, const evidence *e, const char *weights, pal_error *err)
{
    (void)weights;
    static const struct {
        const char *metric, *id, *control_id, *title, *control_title;
        int paper;
    } tables[] = {{"token_accuracy", "table3-token-accuracy", "table3-controls-token-accuracy",
                   "Table 3: passkey, token-level accuracy",
                   "Table 3, controls and variants: token-level accuracy", 1},
                  {"exact_match", "table3-exact-match", "table3-controls-exact-match",
                   "Table 3: passkey, exact match", "Table 3, controls and variants: exact match", 0}};
    grid g = {.rep = evidence_report(e, "passkey")};
    if (!g.rep) return PAL_OK;
    for (int controls = 0; controls <= 1; controls++) {
        for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
            g.paper = tables[i].paper;
            for (g.metric = 0; g.metric < g.rep->task->metric_count; g.metric++)
                if (strcmp(g.rep->task->metric[g.metric].name, tables[i].metric) == 0)
                    PAL_TRY(add_grid(set, &g, controls, controls ? tables[i].control_id : tables[i].id,
                                     controls ? tables[i].control_title : tables[i].title, err));
        }
    }
    return PAL_OK;
}

const table_part passkey_tables = {add};
