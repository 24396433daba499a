#include "harness/html.h"

#include "harness/base/os.h"

#include <stdlib.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fdfcf9;--line:#c9c4b8;--soft:#f1eee6;--yes:#00664a;"
    "--no:#a13d00;--open:#565656;--link:#0059a8}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e3dc;--paper:#171716;--line:#4a4843;--soft:#24231f;"
    "--yes:#55d3a8;--no:#ff9a5c;--open:#b3b0a8;--link:#7fbfff}}\n"
    "body{color:var(--ink);background:var(--paper);font:16px/1.5 system-ui,sans-serif;margin:0 auto;"
    "max-width:80rem;padding:1rem}\n"
    "a{color:var(--link)}nav a{margin-right:1rem}\n"
    "h2{border-bottom:2px solid var(--line);margin-top:2.5rem}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.85rem;border-top:2px solid var(--ink);"
    "border-bottom:2px solid var(--ink)}\n"
    "th,td{padding:.25rem .6rem;text-align:left;vertical-align:top}\n"
    "thead th{border-bottom:1px solid var(--ink)}tbody th{font-weight:normal}\n"
    "td.n{font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    "tr.rule th,tr.rule td{border-top:1px solid var(--line)}\n"
    "tbody tr:nth-child(even){background:var(--soft)}\n"
    "i,small{opacity:.85}.note{font-size:.85rem;max-width:60rem}\n"
    ".yes{color:var(--yes);font-weight:bold}.no{color:var(--no);font-weight:bold}.open{color:var(--open)}\n"
    "pre,code{font-size:.8rem;overflow-x:auto}pre{background:var(--soft);padding:.5rem;white-space:pre-wrap}\n"
    "figure{margin:1rem 0;overflow-x:auto}figure svg{max-width:100%;height:auto;background:#fff}\n"
    "summary{cursor:pointer}\n";

static void put_head(FILE *out)
{
    fprintf(out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
            "<title>Palimpsest: results</title>\n<style>\n%s</style>\n</head>\n<body>\n"
            "<h1>Palimpsest: results</h1>\n"
            "<nav><a href=\"#tables\">Tables</a><a href=\"#claims\">Claims</a><a href=\"#plots\">Plots</a>"
            "<a href=\"#runs\">Runs</a><a href=\"#cells\">Every cell</a><a href=\"#configs\">Configs</a>"
            "<a href=\"#environment\">Environment</a></nav>\n",
            style);
}

/* What is here, in a sentence. */
static void put_overview(FILE *out, const evidence *e, const audit *a)
{
    size_t verdicts[3] = {0};
    fputs("<p>Complete cells: ", out);
    size_t listed = 0;
    for (size_t t = 0; t < e->count; t++) {
        const report *rep = &e->task[t].rep;
        int64_t samples = 0;
        for (size_t i = 0; i < rep->count; i++) samples += rep->row[i].n;
        if (rep->count)
            fprintf(out, "%s%s %zu (%lld samples)", listed++ ? ", " : "", rep->task->name, rep->count,
                    (long long)samples);
    }
    if (!listed) fputs("none", out);
    for (size_t i = 0; i < a->count; i++) verdicts[a->finding[i].verdict]++;
    fprintf(out,
            ". Claims: %zu reproduced, %zu not reproduced, %zu not comparable. Every number comes from the "
            "journals alone; the same journals give the same numbers.</p>\n",
            verdicts[0], verdicts[1], verdicts[2]);
}

/* The machine that wrote the page is not part of it: what shaped the numbers is recorded with them. */
static void put_environment(FILE *out, const evidence *e)
{
    const char *core[64];
    size_t cores = 0;
    int64_t threads = 0, batch = 0;
    uint64_t rss = 0;
    for (size_t t = 0; t < e->count; t++)
        for (size_t i = 0; i < e->task[t].rep.count; i++) {
            const report_row *row = &e->task[t].rep.row[i];
            size_t at = 0;
            while (at < cores && strcmp(core[at], row->cell->blas_core) != 0) at++;
            if (at == cores && cores < sizeof core / sizeof *core) core[cores++] = row->cell->blas_core;
            for (int64_t k = 0; k < row->n; k++) {
                const result_sample *s = &row->cell->sample[k];
                if (s->threads > threads) threads = s->threads;
                if (s->batch > batch) batch = s->batch;
                if (s->peak_rss > rss) rss = s->peak_rss;
            }
        }
    fputs("<ul>\n<li>BLAS cores (the kernels that OpenBLAS chose by processor; they decide the last bits; "
          "OPENBLAS_CORETYPE sets one): ",
          out);
    for (size_t i = 0; i < cores; i++) {
        if (i) fputs(", ", out);
        html_text(out, core[i]);
    }
    fprintf(out,
            "%s</li>\n<li>At most %lld threads, %lld samples side by side, %.0f MiB of memory; none of them "
            "changes a value.</li>\n<li>This build: ",
            cores ? "" : "none recorded", (long long)threads, (long long)batch, (double)rss / 1048576);
    html_text(out, "C17, compiler " __VERSION__);
    fputs("</li>\n</ul>\n", out);
}

static int put_page(FILE *out, const html_options *o, const evidence *e, const audit *a, const table_set *set,
                    FILE *log, pal_error *err)
{
    size_t figures;
    put_head(out);
    put_overview(out, e, a);
    fputs("<h2 id=\"tables\">Tables</h2>\n", out);
    for (size_t i = 0; i < set->count; i++) html_table(out, &set->table[i]);
    fputs("<h2 id=\"claims\">Claims</h2>\n<p>What papers and their readers claim, and what the cells below say "
          "to it.</p>\n",
          out);
    html_audit(out, a);
    fputs("<h2 id=\"plots\">Plots</h2>\n", out);
    PAL_TRY(html_figures(out, o->results, log, &figures, err));
    if (!figures) fputs("<p>None have been drawn: <code>make plots</code> does, with gnuplot.</p>\n", out);
    fputs("<h2 id=\"runs\">Runs</h2>\n", out);
    html_runs(out, e);
    fputs("<h2 id=\"cells\">Every cell, and how to make it again</h2>\n<p>A command evaluates what the journal in "
          "<code>results/</code> does not hold; move the journal away to compute all of it anew, or let "
          "<code>make verify</code> compare samples to the bit.</p>\n",
          out);
    html_cells(out, e);
    fputs("<h2 id=\"configs\">Configs of the weights</h2>\n", out);
    PAL_TRY(html_configs(out, o->weights, err));
    fputs("<h2 id=\"environment\">Environment</h2>\n", out);
    put_environment(out, e);
    fputs("</body>\n</html>\n", out);
    return PAL_OK;
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
    PAL_TRY(report_finish(out, &text, &size, o->out, err));
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
