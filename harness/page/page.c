/* The page as a whole: head, contents, sections, and the files that hold it.
 * Its security policy lets only its own style and script work; nothing is loaded. */
#include "harness/page/page.h"

#include "harness/base/hash.h"
#include "harness/base/home.h"
#include "harness/base/os.h"
#include "harness/base/text.h"
#include "harness/base/version.h"
#include "harness/page/files.h"
#include "harness/page/headline.h"
#include "harness/page/lm_eval.h"
#include "harness/plots/plots.h"

#include <stdlib.h>
#include <string.h>

/* Tables of this file are about sizes: they stand further down. */
#define SIZES_FILE "table1"

/* The parts of the page, in its order. */
static const struct {
    const char *id, *title, *says;
} section[] = {
    {"tables", "Tables", NULL},
    {"claims", "Claims",
     "What papers and their readers claim, and what the cells below say to it. A verdict needs the whole 95 % "
     "interval on one side; what was not run under the claim's conditions is not comparable."},
    {"figures", "More figures", NULL},
    {"sizes", "Sizes", "What the models keep while they read, beside the sizes that the paper states."},
    {"runs", "Runs",
     "A run is one set of weights under one set of settings, of a task by its version and its scorer's. Threads "
     "and "
     "samples side by side are the most that any of its samples saw; neither changes a value. What a run cost is "
     "in the file TASK-cost.csv of its task."},
    {"cells", "Every cell, its samples, and how to make it again",
     "The number of samples opens them. A command evaluates what the journal in <code>results/run</code> does not "
     "hold; move the journal away to compute all of it anew, or let <code>make verify</code> compare samples."},
    {"configs", "Configs of the weights",
     "The whole recipe is in the weights' own metadata, and their SHA-256 is the one that runs name. "
     "<code>make weights</code> trains them again."},
    {"environment", "Environment and reproduction", NULL},
};
enum { TABLES, CLAIMS, FIGURES, SIZES, RUNS, CELLS, CONFIGS, ENVIRONMENT, SECTIONS };
_Static_assert(sizeof section / sizeof *section == SECTIONS, "a title for each section");

static void put_section(FILE *out, int which)
{
    fprintf(out, "<h2 id=\"%s\">%s</h2>\n", section[which].id, section[which].title);
    if (section[which].says) fprintf(out, "<p>%s</p>\n", section[which].says);
}

static void put_head(FILE *out)
{
    char style[HASH_BASE64], script[HASH_BASE64];
    hash_base64(page_css, strlen(page_css), style);
    hash_base64(page_js, strlen(page_js), script);
    fprintf(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "script-src 'sha256-%s'; style-src 'sha256-%s'; img-src data:; base-uri 'none'; form-action 'none'\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
        "<title>Palimpsest: results</title>\n<style>%s</style>\n</head>\n<body>\n",
        script, style, page_css);
}

static int is_sizes(const table *t)
{
    return strncmp(t->file, SIZES_FILE, strlen(SIZES_FILE)) == 0;
}

static void put_link(FILE *out, const char *prefix, const char *id, const char *title)
{
    fprintf(out, "<li><a href=\"#%s%s\">", prefix, id);
    text_html(out, title);
    fputs("</a></li>\n", out);
}

static void put_contents(FILE *out, const evidence *e, const table_set *set)
{
    fputs("<form role=\"search\" hidden=\"hidden\"><label>Filter the rows of all tables <input type=\"search\" "
          "id=\"filter\" placeholder=\"overlap 1M\" autocomplete=\"off\"/></label> "
          "<output id=\"found\" for=\"filter\"></output></form>\n<nav aria-label=\"Contents\">\n<ul>\n",
          out);
    for (int i = 0; i < SECTIONS; i++) {
        fprintf(out, "<li><a href=\"#%s\">%s</a>", section[i].id, section[i].title);
        size_t listed = 0;
        for (size_t t = 0; (i == TABLES || i == SIZES) && t < set->count; t++) {
            if (set->table[t].rows == 0 || is_sizes(&set->table[t]) != (i == SIZES)) continue;
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
    size_t verdicts[AUDIT_VERDICTS] = {0}, listed = 0;
    fputs("<h1>Palimpsest: results</h1>\n<p class=\"lead\">Transformers with bounded memory, trained and "
          "evaluated on one engine, with one data path and one "
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
            "<span class=\"no\">%zu not reproduced</span> <span class=\"open\">%zu not comparable</span> "
            "<span class=\"open\">%zu not run</span></p>\n",
            verdicts[AUDIT_REPRODUCED], verdicts[AUDIT_NOT_REPRODUCED], verdicts[AUDIT_NOT_COMPARABLE],
            verdicts[AUDIT_NOT_RUN]);
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
        text_html(out, core[i]);
    }
    fputs(cores ? "" : "none recorded", out);
    fputs("</b>. They decide the last bits; the environment variable <code>OPENBLAS_CORETYPE</code> sets one."
          "</li>\n<li>Threads, samples side by side, interruptions and their order change no bit of a result; "
          "<a href=\"#runs\">runs</a> and <a href=\"#cells\">cells</a> say what each was made with.</li>\n"
          "<li>This page was written by a build with ",
          out);
    text_html(out, "C17, compiler " __VERSION__);
    fputs(".</li>\n</ul>\n<p>In a clone of the repository, on a Debian machine:</p>\n"
          "<pre>make eval TASK=passkey LEN=1M            # a cell; the whole lists are above\n"
          "make verify RESULTS=results/reference K=3  # samples of the journals again, to the bit\n"
          "make audit RESULTS=results/reference       # the claims\n"
          "make report RESULTS=results/reference      # this page</pre>\n",
          out);
}

/* What the parts of the page are made of. */
typedef struct content {
    const evidence *e;
    const audit *a;
    const table_set *set;
    page_figures figures;
    char *configs; /* written aside first: they say which weights can be linked to */
    size_t configs_size;
    html_shipped shipped;
} content;

static int gather(content *c, const html_options *o, const task_module *const *tasks, FILE *log, pal_error *err)
{
    char scripts[KV_TEXT_MAX];
    FILE *aside = open_memstream(&c->configs, &c->configs_size);
    if (!aside) return pal_fail(err, PAL_INTERNAL, "out of memory for %s", o->out);
    int code = html_configs(aside, o->weights, &c->shipped, err);
    if (fclose(aside) != 0 && code == PAL_OK) code = pal_fail(err, PAL_INTERNAL, "out of memory for %s", o->out);
    return code == PAL_OK ? figures_read(&c->figures, o->results, home_path(PLOTS_DIR, scripts), tasks, log, err)
                          : code;
}

static void content_free(content *c)
{
    figures_free(&c->figures);
    html_shipped_free(&c->shipped);
    free(c->configs);
}

static void put_tables(FILE *out, const table_set *set, int sizes)
{
    for (size_t i = 0; i < set->count; i++)
        if (is_sizes(&set->table[i]) == sizes) html_table(out, &set->table[i]);
}

static size_t leading(const page_figures *all)
{
    size_t count = 0;
    while (count < all->count && all->figure[count].lead) count++;
    return count;
}

static void put_figures(FILE *out, const page_figures *all)
{
    if (all->count == 0) fputs("<p>None have been drawn: <code>make plots</code> does, with gnuplot.</p>\n", out);
    html_figures(out, all, leading(all), all->count);
}

/* The main numbers of each task beside the first picture; the other leading pictures below. */
static void put_headlines(FILE *out, const content *c)
{
    const size_t leads = leading(&c->figures);
    fputs("<div class=\"headline\">\n<div>\n", out);
    for (size_t t = 0; t < c->e->count; t++) {
        const headline h = headline_of(&c->e->task[t].rep);
        html_headline(out, &h);
    }
    fputs("</div>\n<div>\n", out);
    html_figures(out, &c->figures, 0, leads ? 1 : 0);
    fputs("</div>\n</div>\n", out);
    html_figures(out, &c->figures, 1, leads);
}

static int put_page(FILE *out, const content *c, pal_error *err)
{
    int code;
    put_head(out);
    put_overview(out, c->e, c->a);
    put_headlines(out, c);
    put_contents(out, c->e, c->set);
    put_section(out, TABLES);
    put_tables(out, c->set, 0);
    put_section(out, CLAIMS);
    html_audit(out, c->a);
    put_section(out, FIGURES);
    put_figures(out, &c->figures);
    put_section(out, SIZES);
    put_tables(out, c->set, 1);
    put_section(out, RUNS);
    html_runs(out, c->e, &c->shipped);
    put_section(out, CELLS);
    code = html_cells(out, c->e, err);
    put_section(out, CONFIGS);
    fwrite(c->configs, 1, c->configs_size, out);
    put_section(out, ENVIRONMENT);
    put_environment(out, c->e);
    fputs("<footer>Made by Palimpsest ", out);
    text_html(out, pal_version());
    fprintf(out, "</footer>\n<script>%s</script>\n</body>\n</html>\n", page_js);
    return code;
}

static int write_page(const html_options *o, const task_module *const *tasks, const evidence *e, const audit *a,
                      FILE *log, pal_error *err)
{
    table_set set;
    char *text = NULL;
    size_t size = 0;
    PAL_TRY(tables_build(&set, e, o->weights, err));
    content c = {.e = e, .a = a, .set = &set};
    int code = gather(&c, o, tasks, log, err);
    FILE *out = code == PAL_OK ? open_memstream(&text, &size) : NULL;
    if (out)
        code = put_page(out, &c, err);
    else if (code == PAL_OK)
        code = pal_fail(err, PAL_INTERNAL, "out of memory for %s", o->out);
    content_free(&c);
    table_set_free(&set);
    if (code != PAL_OK) {
        if (out) fclose(out);
        free(text);
        return code;
    }
    PAL_TRY(text_finish(out, &text, &size, o->out, err));
    fprintf(log, "wrote %s\n", o->out);
    PAL_TRY(lm_eval_summary(e, o->json, err));
    fprintf(log, "wrote %s\n", o->json);
    size_t models = 0;
    if (o->lm_eval[0]) PAL_TRY(lm_eval_export(e, o->lm_eval, o->date, &models, err));
    if (o->lm_eval[0]) fprintf(log, "wrote %s, a folder for each of %zu models\n", o->lm_eval, models);
    return PAL_OK;
}

int html_run(const html_options *o, const task_module *const *tasks, FILE *log, pal_error *err)
{
    audit a = {0};
    if (os_file_exists(o->claims)) PAL_TRY(audit_read(&a, o->claims, err));
    evidence *e = malloc(sizeof *e);
    int code = e ? evidence_read(e, tasks, o->results, err) : pal_fail(err, PAL_INTERNAL, "out of memory");
    if (code == PAL_OK) {
        evidence_note(e, log);
        code = audit_judge(&a, e, o->weights, err);
        if (code == PAL_OK) code = write_page(o, tasks, e, &a, log, err);
        evidence_free(e);
    }
    free(e);
    audit_free(&a);
    return code;
}
