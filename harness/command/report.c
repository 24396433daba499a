/* `palimpsest report`: everything that is made from the journals of a directory, computing no sample again: tables
 * and pictures of each task, the page, and the numbers for other programs. */
#include "harness/command/commands.h"

#include "harness/base/os.h"
#include "harness/eval/eval.h"
#include "harness/eval/facts.h"
#include "harness/eval/model_files.h"
#include "harness/page/lm_eval.h"
#include "harness/page/page.h"
#include "harness/report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct report_options {
    html_options page;
    char task[KV_TEXT_MAX];
    int64_t plots;
} report_options;

#define AT(field) offsetof(report_options, field)

static const kv_spec options_table[] = {
    {"results", KV_TEXT, AT(page.results), "results/run", 0, 0, NULL,
     "directory of the journals, and of all that is made"},
    {"task", KV_TEXT, AT(task), "", 0, 0, NULL, "only the tables and pictures of this task, and no page"},
    {"out", KV_TEXT, AT(page.out), "", 0, 0, NULL, "the page; empty: report.html in results="},
    {"json", KV_TEXT, AT(page.json), "", 0, 0, NULL,
     "the same numbers for other programs; empty: results.json in results="},
    {"lm_eval", KV_TEXT, AT(page.lm_eval), "", 0, 0, NULL,
     "folder for a folder of each model, as lm-evaluation-harness writes them; empty: lm-eval in results=; "
     "\"none\""},
    {"date", KV_TEXT, AT(page.date), LM_EVAL_DATE, 0, 0, NULL,
     "date in the names of those files; journals hold none, and the same results give the same files"},
    {"plots", KV_CHOICE, AT(plots), "1", 0, 0, "0|1", "draw the pictures, if gnuplot is there"},
    {"claims", KV_TEXT, AT(page.claims), "results/expected/claims.conf", 0, 0, KV_HOME, "the claims to judge"},
    {"weights", KV_TEXT, AT(page.weights), WEIGHTS_DIR, 0, 0, KV_HOME,
     "directory of the models, for their configs"},
};

/* One task's tables and pictures. */
static int report_task(const report_options *o, const task_module *task, const char *path, pal_error *err)
{
    results held;
    results_init(&held, task, path);
    int code = facts_read_journal(&held, o->page.weights, err);
    if (code == PAL_OK) results_note(&held, stderr);
    if (code == PAL_OK) code = report_write(&held, o->page.results, stdout, err);
    results_free(&held);
    return code;
}

static int report_tasks(const report_options *o, const task_module *only, pal_error *err)
{
    size_t found = 0;
    for (size_t i = 0; task_table[i]; i++) {
        char *path = NULL;
        if (only && only != task_table[i]) continue;
        if (asprintf(&path, "%s/%s-journal.jsonl", o->page.results, task_table[i]->name) < 0)
            return pal_fail(err, PAL_INTERNAL, "out of memory for a path");
        int code = PAL_OK;
        if (os_file_exists(path)) {
            found++;
            code = report_task(o, task_table[i], path, err);
        }
        free(path);
        PAL_TRY(code);
    }
    if (found && o->plots) return draw_pictures(only, o->page.results, o->page.weights, err);
    if (found) return PAL_OK;
    return pal_fail(err, PAL_DATA,
                    "%s: no journal of %s there; `palimpsest eval` makes one, results= names another",
                    o->page.results, only ? only->name : "any task");
}

/* A path that was not given lies in the directory of results. */
static int inside(const report_options *o, const char *name, char path[KV_TEXT_MAX], pal_error *err)
{
    if (path[0] || snprintf(path, KV_TEXT_MAX, "%s/%s", o->page.results, name) < KV_TEXT_MAX) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "results=%.60s...: too long for a directory of results", o->page.results);
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    report_options *o = malloc(sizeof *o);
    if (!o) return pal_fail(err, PAL_INTERNAL, "out of memory for the settings");
    *o = *(const report_options *)options;
    const task_module *only = o->task[0] ? task_find(o->task) : NULL;
    int code = PAL_OK;
    if (o->task[0] && !only)
        code = pal_fail(err, PAL_USAGE, "task=%s: no such task; `palimpsest list tasks` has all", o->task);
    if (code == PAL_OK) code = report_tasks(o, only, err);
    if (code == PAL_OK) code = inside(o, "report.html", o->page.out, err);
    if (code == PAL_OK) code = inside(o, "results.json", o->page.json, err);
    if (code == PAL_OK) code = inside(o, "lm-eval", o->page.lm_eval, err);
    if (strcmp(o->page.lm_eval, "none") == 0) o->page.lm_eval[0] = '\0';
    if (code == PAL_OK && !only) code = html_run(&o->page, task_table, stdout, err);
    free(o);
    return code;
}

const pal_command report_command = {
    .name = "report",
    .summary = "tables, pictures and one page of everything, again from the journals",
    .examples = "report\n"
                "report results=results/reference\n"
                "report task=passkey --no-plots\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(report_options),
    .run = run,
};
