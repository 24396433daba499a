#include "harness/page/page.h"

#include "harness/base/os.h"

#include <stdlib.h>
#include <string.h>

/* The parts of the page, in its order. */
static const struct {
    const char *id, *title, *says;
} section[] = {
    {"tables", "Tables", NULL},
    {"claims", "Claims",
     "What papers and their readers claim, and what the cells below say to it. A verdict needs the whole 95 % "
     "interval on one side; what was not run under the claim's conditions is not comparable."},
    {"figures", "Figures", NULL},
    {"runs", "Runs",
     "A run is one set of weights under one set of settings, of a task by its version and its scorer's. Threads, "
     "samples side by side and peak memory are "
     "the most that any of its samples saw; none of them changes a value. Seconds are of wall time."},
    {"cells", "Every cell, and how to make it again",
     "A command evaluates what the journal in <code>results/</code> does not hold; move the journal away to "
     "compute all of it anew, or let <code>make verify</code> compare samples to the bit."},
    {"configs", "Configs of the weights",
     "The whole recipe is in the weights' own metadata, and their SHA-256 is the one that runs name. "
     "<code>make weights</code> trains them again."},
    {"environment", "Environment and reproduction", NULL},
};
enum { TABLES, CLAIMS, FIGURES, RUNS, CELLS, CONFIGS, ENVIRONMENT, SECTIONS };
_Static_assert(sizeof section / sizeof *section == SECTIONS, "a title for each section");

static void put_section(FILE *out, int which)
{
    fprintf(out, "<h2 id=\"%s\">%s</h2>\n", section[which].id, section[which].title);
    if (section[which].says) fprintf(out, "<p>%s</p>\n", section[which].says);
}

static void put_head(FILE *out)
{
    fprintf(out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
            "<title>Palimpsest: results</title>\n<style>\n%s</style>\n</head>\n<body>\n"
            "<h1>Palimpsest: results</h1>\n",
            html_style);
}

static void put_link(FILE *out, const char *prefix, const char *id, const char *title)
{
    fprintf(out, "<li><a href=\"#%s%s\">", prefix, id);
    html_text(out, title);
    fputs("</a></li>\n", out);
}

static void put_contents(FILE *out, const evidence *e, const table_set *set)
{
    fputs("<nav aria-label=\"Contents\">\n<ul>\n", out);
    for (int i = 0; i < SECTIONS; i++) {
        fprintf(out, "<li><a href=\"#%s\">%s</a>", section[i].id, section[i].title);
        size_t listed = 0;
        for (size_t t = 0; i == TABLES && t < set->count; t++) {
            if (set->table[t].rows == 0) continue;
            if (!listed++) fputs("\n<ul>\n", out);
            put_link(out, "", set->table[t].id, set->table[t].title);
        }
        for (size_t t = 0; i == CELLS && t < e->count; t++) {
            if (e->task[t].rep.count == 0) continue;
            if (!listed++) fputs("\n<ul>\n", out);
            put_link(out, "cells-", e->task[t].rep.task->name, e->task[t].rep.task->name);
        }
        fputs(listed ? "</ul></li>\n" : "</li>\n", out);
    }
    fputs("</ul>\n</nav>\n", out);
}

/* What is here, in a few sentences. */
static void put_overview(FILE *out, const evidence *e, const audit *a)
{
    size_t verdicts[3] = {0}, listed = 0;
    fputs("<p>Transformers with bounded memory, trained and evaluated on one engine, with one data path and one "
          "scorer, so that only the attention differs. Every number on this page comes from journals that hold "
          "each sample; the same journals give the same page.</p>\n<p>Complete cells: ",
          out);
    for (size_t t = 0; t < e->count; t++) {
        const report *rep = &e->task[t].rep;
        int64_t samples = 0;
        for (size_t i = 0; i < rep->count; i++) samples += rep->row[i].n;
        if (rep->count)
            fprintf(out, "%s%s %zu (%lld samples)", listed++ ? ", " : "", rep->task->name, rep->count,
                    (long long)samples);
    }
    fputs(listed ? ".</p>\n" : "none.</p>\n", out);
    if (a->count == 0) return;
    for (size_t i = 0; i < a->count; i++) verdicts[a->finding[i].verdict]++;
    fprintf(out,
            "<p><a href=\"#claims\">Claims</a>: <span class=\"yes\">%zu reproduced</span> "
            "<span class=\"no\">%zu not reproduced</span> <span class=\"open\">%zu not comparable</span></p>\n",
            verdicts[AUDIT_REPRODUCED], verdicts[AUDIT_NOT_REPRODUCED], verdicts[AUDIT_NOT_COMPARABLE]);
}

/* The machine that wrote the page is not part of it: what shaped the numbers is recorded with them. */
static void put_environment(FILE *out, const evidence *e)
{
    const char *core[64];
    size_t cores = 0;
    for (size_t t = 0; t < e->count; t++)
        for (size_t i = 0; i < e->task[t].rep.count; i++) {
            const result_cell *cell = e->task[t].rep.row[i].cell;
            size_t at = 0;
            while (at < cores && strcmp(core[at], cell->blas_core) != 0) at++;
            if (at == cores && cores < sizeof core / sizeof *core && cell->kind == RESULT_MODEL)
                core[cores++] = cell->blas_core;
        }
    fputs("<ul class=\"plain\">\n<li>BLAS cores, the kernels that OpenBLAS chose by processor: <b>", out);
    for (size_t i = 0; i < cores; i++) {
        if (i) fputs(", ", out);
        html_text(out, core[i]);
    }
    fputs(cores ? "" : "none recorded", out);
    fputs("</b>. They decide the last bits; the environment variable <code>OPENBLAS_CORETYPE</code> sets one."
          "</li>\n<li>Threads, samples side by side, interruptions and their order change no bit of a result; "
          "<a href=\"#runs\">runs</a> and <a href=\"#cells\">cells</a> say what each was made with.</li>\n"
          "<li>This page was written by a build with ",
          out);
    html_text(out, "C17, compiler " __VERSION__);
    fputs(".</li>\n</ul>\n<p>In a clone of the repository, on a Debian machine:</p>\n"
          "<pre>make eval TASK=passkey LEN=1M            # a cell; the whole lists are above\n"
          "make verify RESULTS=results/reference K=3  # samples of the journals again, to the bit\n"
          "make audit RESULTS=results/reference       # the claims\n"
          "make report RESULTS=results/reference      # this page</pre>\n",
          out);
}

static int put_page(FILE *out, const html_options *o, const evidence *e, const audit *a, const table_set *set,
                    FILE *log, pal_error *err)
{
    size_t figures, size = 0;
    char *configs = NULL;
    html_shipped shipped = {0};
    FILE *aside = open_memstream(&configs, &size);
    int code = aside ? html_configs(aside, o->weights, &shipped, err)
                     : pal_fail(err, PAL_INTERNAL, "out of memory for %s", o->out);
    if (aside && fclose(aside) != 0 && code == PAL_OK)
        code = pal_fail(err, PAL_INTERNAL, "out of memory for %s", o->out);
    put_head(out);
    put_overview(out, e, a);
    put_contents(out, e, set);
    put_section(out, TABLES);
    for (size_t i = 0; i < set->count; i++) html_table(out, &set->table[i]);
    put_section(out, CLAIMS);
    html_audit(out, a);
    put_section(out, FIGURES);
    if (code == PAL_OK) code = html_figures(out, o->results, log, &figures, err);
    if (code == PAL_OK && !figures)
        fputs("<p>None have been drawn: <code>make plots</code> does, with gnuplot.</p>\n", out);
    put_section(out, RUNS);
    html_runs(out, e, &shipped);
    put_section(out, CELLS);
    html_cells(out, e);
    put_section(out, CONFIGS);
    if (code == PAL_OK) fwrite(configs, 1, size, out);
    put_section(out, ENVIRONMENT);
    put_environment(out, e);
    fputs("</body>\n</html>\n", out);
    html_shipped_free(&shipped);
    free(configs);
    return code;
}

static int write_page(const html_options *o, const evidence *e, const audit *a, FILE *log, pal_error *err)
{
    table_set set;
    char *text = NULL;
    size_t size = 0;
    PAL_TRY(tables_build(&set, e, o->weights, err));
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        table_set_free(&set);
        return pal_fail(err, PAL_INTERNAL, "out of memory for %s", o->out);
    }
    const int code = put_page(out, o, e, a, &set, log, err);
    table_set_free(&set);
    if (code != PAL_OK) {
        fclose(out);
        free(text);
        return code;
    }
    PAL_TRY(text_finish(out, &text, &size, o->out, err));
    fprintf(log, "wrote %s\n", o->out);
    PAL_TRY(html_json(e, o->json, err));
    fprintf(log, "wrote %s\n", o->json);
    return PAL_OK;
}

int html_run(const html_options *o, const task_module *const *tasks, FILE *log, pal_error *err)
{
    audit a = {0};
    if (os_file_exists(o->claims)) PAL_TRY(audit_read(&a, o->claims, err));
    evidence *e = malloc(sizeof *e);
    int code = e ? evidence_read(e, tasks, o->results, err) : pal_fail(err, PAL_INTERNAL, "out of memory");
    if (code == PAL_OK) {
        code = audit_judge(&a, e, o->weights, err);
        if (code == PAL_OK) code = write_page(o, e, &a, log, err);
        evidence_free(e);
    }
    free(e);
    audit_free(&a);
    return code;
}
