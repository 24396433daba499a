/* The paper's tables from all journals of a directory, written in three forms. */
#include "harness/report/tables.h"

#include "harness/base/os.h"
#include "harness/eval/model_files.h"

#include <stdlib.h>
#include <string.h>

const char tables_note[] =
    "In brackets the 95 % interval: exact binomial for metrics that are hit or miss, beta-binomial for digits and "
    "facts, else the inverted sign-flip test over whole samples, of which it needs six. Bold: better than every "
    "other "
    "model of the column, of its size or training, each in a paired test on the same samples, p at most 0.05 for "
    "all "
    "of them together (min-P); without bold no model is shown to be the best.";

/* In the order in which they are shown. */
extern const table_part memory_tables, passkey_tables;
static const table_part *const parts[] = {&memory_tables,  &perplexity_tables, &passkey_tables,
                                          &booksum_tables, &ruler_tables,      &mqar_tables};

int tables_build(table_set *out, const evidence *e, const char *weights, pal_error *err)
{
    *out = (table_set){0};
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < sizeof parts / sizeof *parts; i++)
        code = parts[i]->add(out, e, weights, err);
    if (code == PAL_OK) code = table_set_check(out, err);
    if (code != PAL_OK) table_set_free(out);
    return code;
}

static int write_file(const table_set *set, size_t first, const char *dir, const char *suffix,
                      void (*put)(FILE *, const table_set *, size_t), FILE *log, pal_error *err)
{
    char path[2 * KV_TEXT_MAX], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s.%s", dir, set->table[first].file, suffix);
    FILE *out = open_memstream(&text, &size);
    if (!out) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    put(out, set, first);
    PAL_TRY(text_finish(out, &text, &size, path, err));
    fprintf(log, "wrote %s\n", path);
    return PAL_OK;
}

static int write_all(const table_set *set, const char *dir, FILE *log, pal_error *err)
{
    static const struct {
        const char *suffix;
        void (*put)(FILE *, const table_set *, size_t);
    } forms[] = {{"md", table_markdown}, {"tex", table_latex}, {"csv", table_csv}};
    PAL_TRY(os_make_dirs(dir, err));
    for (size_t i = 0; i < set->count; i++) {
        if (i > 0 && strcmp(set->table[i].file, set->table[i - 1].file) == 0) continue;
        for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
            PAL_TRY(write_file(set, i, dir, forms[f].suffix, forms[f].put, log, err));
    }
    return PAL_OK;
}

int tables_run(const tables_options *o, const task_module *const *tasks, FILE *log, pal_error *err)
{
    evidence *e = malloc(sizeof *e);
    table_set set;
    if (!e) return pal_fail(err, PAL_INTERNAL, "out of memory for the tables");
    int code = evidence_read(e, tasks, o->results, err);
    if (code == PAL_OK) {
        evidence_note(e, log);
        code = tables_build(&set, e, o->weights, err);
        if (code == PAL_OK) {
            code = write_all(&set, o->out, log, err);
            table_set_free(&set);
        }
        for (size_t i = 0; i < e->count; i++)
            if (e->task[i].rep.count == 0) fprintf(log, "no complete cells in %s: no table\n", e->task[i].path);
        evidence_free(e);
    }
    free(e);
    return code;
}

/* ---- The command ---- */

#define AT(field) offsetof(tables_options, field)

static const kv_spec options_table[] = {
    {"results", KV_TEXT, AT(results), "results/run", 0, 0, NULL, "directory of the journals"},
    {"out", KV_TEXT, AT(out), "", 0, 0, NULL,
     "directory of the tables, .md, .tex and .csv; empty: tables in results="},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, KV_HOME, "directory of the models, for table 1"},
};

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    tables_options o = *(const tables_options *)options;
    if (!o.out[0] && snprintf(o.out, sizeof o.out, "%s/tables", o.results) >= (int)sizeof o.out)
        return pal_fail(err, PAL_USAGE, "results=%.60s...: too long for a directory of results", o.results);
    return tables_run(&o, task_table, stdout, err);
}

const pal_command tables_command = {
    .name = "tables",
    .summary = "the paper's tables from the journals: Markdown, LaTeX and CSV",
    .examples = "tables\n"
                "tables results=results/reference out=/tmp/tables\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(tables_options),
    .run = run,
};
