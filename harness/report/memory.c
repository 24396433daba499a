/* Table 1: the paper's formulas of what a method keeps, at its own sizes and at those of our models. */
#include "harness/report/memory.h"

#include "harness/base/os.h"
#include "harness/eval/model_files.h"
#include "harness/report/tables.h"
#include "models/attention/attention.h"
#include "models/attention/recurrence.h"
#include "models/decoder/config_keys.h"
#include "models/files/checkpoint.h"
#include "tasks/paper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Formulas ---- */

double memory_entries(memory_kind kind, const memory_shape *s)
{
    const double cached = (s->d_key + s->d_value) * s->heads * s->cache * s->layers;
    switch (kind) {
    case MEMORY_TRANSFORMER_XL:
        return cached;
    case MEMORY_COMPRESSIVE:
        return s->d_model * (s->compressed + s->cache) * s->layers;
    case MEMORY_MEMORIZING:
        return (s->d_key + s->d_value) * s->heads * s->remembered + cached;
    case MEMORY_RMT:
        return 2 * s->d_model * s->prompts * s->layers;
    case MEMORY_AUTOCOMPRESSORS:
        return s->d_model * s->prompts * (s->steps + 1) * s->layers;
    case MEMORY_INFINI:
        return s->d_key * (s->d_value + 1) * s->heads * s->layers;
    case MEMORY_KINDS:
        break;
    }
    return NAN;
}

memory_shape memory_paper_shape(void)
{
    return (memory_shape){.d_key = 128,
                          .d_value = 128,
                          .d_model = 1024,
                          .heads = 8,
                          .layers = 12,
                          .cache = 2048,
                          .remembered = 65000,
                          .prompts = 100,
                          .compressed = NAN,
                          .steps = NAN};
}

double memory_rounded(double entries)
{
    const double digit = entries < 1e7 ? 1e5 : 1e6;
    return round(entries / digit) * digit;
}

/* ---- At the paper's sizes ---- */

static const struct {
    paper_method paper;
    const char *entries, *context, *update, *read;
} methods[MEMORY_KINDS] = {
    [MEMORY_TRANSFORMER_XL] = {PAPER_TRANSFORMER_XL, "(d_k + d_v) H N l", "N l", "discarded",
                               "dot-product attention"},
    [MEMORY_COMPRESSIVE] = {PAPER_COMPRESSIVE, "d_model (c + N) l", "(c r + N) l", "discarded",
                            "dot-product attention"},
    [MEMORY_MEMORIZING] = {PAPER_MEMORIZING, "(d_k + d_v) H N S", "N S", "none", "kNN + dot-product attention"},
    [MEMORY_RMT] = {PAPER_RMT, "d_model p l 2", "N S", "discarded", "soft-prompt input"},
    [MEMORY_AUTOCOMPRESSORS] = {PAPER_AUTOCOMPRESSORS, "d_model p (m + 1) l", "N S", "discarded",
                                "soft-prompt input"},
    [MEMORY_INFINI] = {PAPER_INFINI, "d_k (d_v + 1) H l", "N S", "incremental", "linear attention"},
};

static void put_ratio(table *t, size_t column, double ratio)
{
    table_cell *c = table_at(t, column);
    if (!c || !isfinite(ratio)) return;
    c->value = ratio;
    c->digits = ratio < 10;
}

static void add_paper_sizes(table_set *set)
{
    static const char *const columns[] = {"method",
                                          "memory",
                                          "context",
                                          "update",
                                          "retrieval",
                                          "entries at the paper's sizes",
                                          "rounded",
                                          "ratio of the exact",
                                          "ratio of the rounded"};
    table *t = table_add(set, "table1-memory", "table1-paper-sizes",
                         "Table 1: memory, at the sizes of the paper's language models", 1);
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) table_column(t, columns[c]);
    const memory_shape shape = memory_paper_shape();
    const double largest = memory_entries(MEMORY_MEMORIZING, &shape);
    for (int kind = 0; t && kind < MEMORY_KINDS; kind++) {
        const double entries = memory_entries((memory_kind)kind, &shape);
        table_row(t, 0);
        table_text(t, 0, "%s", paper_memory_of(methods[kind].paper)->name);
        table_text(t, 1, "%s", methods[kind].entries);
        table_text(t, 2, "%s", methods[kind].context);
        table_text(t, 3, "%s", methods[kind].update);
        table_text(t, 4, "%s", methods[kind].read);
        if (!isfinite(entries)) continue;
        const double rounded = memory_rounded(entries);
        table_text(t, 5, "%.0f", entries);
        table_text(t, 6, rounded < 1e7 ? "%.1fM" : "%.0fM", rounded / 1e6);
        table_cell *exact = table_at(t, 5), *shown = table_at(t, 6);
        if (exact) exact->value = entries;
        if (shown) shown->value = rounded;
        table_paper(t, 6, paper_memory_of(methods[kind].paper)->entries);
        put_ratio(t, 7, largest / entries);
        put_ratio(t, 8, memory_rounded(largest) / rounded);
        table_paper(t, 8, paper_memory_of(methods[kind].paper)->ratio);
    }
    if (t)
        snprintf(
            t->note, sizeof t->note,
            "Entries are numbers kept, of any width. Sizes: %.0f layers, %.0f heads x %.0f, d_model %.0f, N = "
            "%.0f cached tokens, N S = %.0f remembered tokens in one layer beside the cache of Transformer-XL "
            "in all, p = %.0f prompts; the paper gives no c, r or m. Ratios are of Memorizing Transformers' "
            "entries to the method's; the paper's are those of its rounded figures. Computed from the "
            "formulas: exact, with no interval.",
            shape.layers, shape.heads, shape.d_key, shape.d_model, shape.cache, shape.remembered, shape.prompts);
}

/* ---- Of our models ---- */

typedef struct shipped {
    char names[TABLE_TEXT]; /* of all weights with this config */
    char *config_text;
    model_config config;
    double entries, bytes; /* by the formula; of the state that the module really lays out */
    uint64_t held;         /* most that a stream of an evaluation kept; 0: none was run */
    int64_t samples;       /* of which it is the largest */
} shipped;

static void measure(shipped *model, const evidence *e, const char *digest)
{
    for (size_t i = 0; i < e->count; i++) {
        const report *rep = &e->task[i].rep;
        for (size_t r = 0; r < rep->count; r++) {
            if (strcmp(rep->row[r].cell->weights, digest) != 0) continue;
            for (int64_t k = 0; k < rep->row[r].n; k++) {
                const uint64_t held = rep->row[r].cell->sample[k].held;
                if (held > model->held) model->held = held;
            }
            model->samples += rep->row[r].n;
        }
    }
}

static int read_config(model_config *cfg, const char *text, const char *path, pal_error *err)
{
    kv_pairs pairs = {0};
    int code = kv_pairs_parse(&pairs, text, path, err);
    if (code == PAL_OK) code = model_config_read(cfg, &pairs, err);
    kv_pairs_free(&pairs);
    return code;
}

/* The entry of this config in list[*count], made when it is not there. */
static int find_shipped(shipped *list, size_t *count, const st_file *file, const weights_file *where,
                        shipped **out, pal_error *err)
{
    size_t at = 0;
    while (at < *count && strcmp(list[at].config_text, file->config) != 0) at++;
    *out = &list[at];
    if (at < *count) {
        const size_t used = strlen(list[at].names);
        snprintf(list[at].names + used, TABLE_TEXT - used, ", %s", where->name);
        return PAL_OK;
    }
    shipped s = {.config_text = strdup(file->config)};
    if (!s.config_text) return pal_fail(err, PAL_INTERNAL, "out of memory for the tables");
    snprintf(s.names, sizeof s.names, "%s", where->name);
    const int code = read_config(&s.config, file->config, where->path, err);
    if (code != PAL_OK) {
        free(s.config_text);
        return code;
    }
    const attn_module *attention = s.config.attention;
    s.entries = attention->memory_entries ? attention->memory_entries(&s.config) : 0;
    for (int64_t l = 0; l < s.config.n_layers; l++)
        s.bytes += (double)(attn_sizes_of(&s.config, (size_t)l, 1).state * sizeof(real));
    if (attention->above) s.bytes += (double)(attention->above->state_reals(&s.config) * sizeof(real));
    list[(*count)++] = s;
    return PAL_OK;
}

static int list_shipped(shipped *list, size_t *count, const weights_file *file, size_t files, const evidence *e,
                        pal_error *err)
{
    for (size_t i = 0; i < files; i++) {
        st_file content;
        shipped *model;
        PAL_TRY(st_read(file[i].path, &content, err));
        /* Weights of other projects carry no config. */
        int code = content.config ? find_shipped(list, count, &content, &file[i], &model, err) : PAL_OK;
        if (code == PAL_OK && content.config) measure(model, e, content.digest);
        st_free(&content);
        PAL_TRY(code);
    }
    return PAL_OK;
}

/* Of the Memorizing Transformers, which the paper's ratios are of. */
static double largest_entries(const shipped *list, size_t count)
{
    double largest = NAN;
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].config.attention->name, "memorizing") == 0)
            largest = fmax(largest, list[i].entries); /* fmax drops a NaN */
    return largest;
}

static void add_shipped(table_set *set, const shipped *list, size_t count)
{
    static const char *const columns[] = {"models",  "attention",     "segment",       "memory",
                                          "entries", "entries ratio", "state, module", "held by a stream"};
    table *t = table_add(set, "table1-memory", "table1-shipped", "Table 1: memory of our models", 1);
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) table_column(t, columns[c]);
    const double largest = largest_entries(list, count);
    for (size_t i = 0; t && i < count; i++) {
        const shipped *s = &list[i];
        table_row(t, 0);
        table_text(t, 0, "%s", s->names);
        table_text(t, 1, "%s", s->config.attention->name);
        table_text(t, 2, "%lld", (long long)s->config.segment);
        const char *formula = s->config.attention->memory_formula;
        table_text(t, 3, "%s", formula ? formula : "none");
        table_text(t, 4, "%.0f", s->entries);
        table_cell *entries = table_at(t, 4), *held = table_at(t, 7);
        if (entries) entries->value = s->entries;
        if (s->entries > 0) put_ratio(t, 5, largest / s->entries);
        table_bytes(t, 6, s->bytes);
        if (!s->held || !held) continue;
        table_bytes(t, 7, (double)s->held);
        held->n = s->samples;
    }
    if (t)
        snprintf(
            t->note, sizeof t->note,
            "Entries: the paper's formula for the model's own sizes. State: what the module lays out, %zu "
            "bytes an entry; Transformer-XL caches hidden states (d_model of a token) and computes keys and "
            "values anew, which is half of the formula's (d_k + d_v) H. Held: the most that a stream kept in "
            "n evaluated samples, tokens that wait for a whole segment included; a maximum, with no interval.",
            sizeof(real));
}

static int add(table_set *set, const evidence *e, const char *weights, pal_error *err)
{
    weights_file *file = NULL;
    size_t files = 0, count = 0;
    pal_error none;
    add_paper_sizes(set);
    if (weights_resolve("all", weights, &file, &files, &none) != PAL_OK) return PAL_OK; /* none are shipped */
    shipped *list = calloc(files + 1, sizeof *list);
    int code = list ? list_shipped(list, &count, file, files, e, err)
                    : pal_fail(err, PAL_INTERNAL, "out of memory for the tables");
    if (code == PAL_OK && count) add_shipped(set, list, count);
    for (size_t i = 0; i < count; i++) free(list[i].config_text);
    free(list);
    free(file);
    return code;
}

const table_part memory_tables = {add};
