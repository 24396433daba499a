/* The command `plots`: every picture of a directory of results. */
#include "harness/plots/plots.h"

#include "harness/base/home.h"
#include "harness/base/os.h"
#include "harness/eval/facts.h"

#include <stdlib.h>
#include <string.h>

static int draw_task(const report *rep, const char *dir, figure_output *out, FILE *log, pal_error *err)
{
    int none = 0;
    if (rep->count == 0) return PAL_OK;
    PAL_TRY(plots_cells(rep, out, err));
    PAL_TRY(plots_cost(rep, out, &none, err));
    if (none)
        fprintf(log, "no cost picture of %s: all samples shared work; evaluate with share=0 to measure\n",
                rep->task->name);
    return plots_imprint(rep, dir, out, err);
}

static void say(const figure_output *out, FILE *log)
{
    if (out->note[0]) fprintf(log, "no plots: %s\n", out->note);
    if (out->drawn) fprintf(log, "drew %zu pictures in %s, as .svg and .png\n", out->drawn, out->dir);
}

int plots_task(const task_module *task, const char *dir, const char *weights, FILE *log, pal_error *err)
{
    char scripts[KV_TEXT_MAX];
    figure_output out = {.scripts = home_path(PLOTS_DIR, scripts), .dir = dir, .keep = ""};
    char *path = NULL;
    results held;
    report rep;
    if (asprintf(&path, "%s/%s-journal.jsonl", dir, task->name) < 0)
        return pal_fail(err, PAL_INTERNAL, "out of memory for the pictures");
    results_init(&held, task, path);
    int code = facts_read_journal(&held, weights, err);
    if (code == PAL_OK) {
        code = report_create(&rep, &held, err);
        if (code == PAL_OK) code = draw_task(&rep, dir, &out, log, err);
        if (code == PAL_OK) report_free(&rep);
    }
    if (code == PAL_OK) say(&out, log);
    results_free(&held);
    free(path);
    return code;
}

int plots_run(const plots_options *o, const task_module *const *tasks, FILE *log, pal_error *err)
{
    figure_output out = {.scripts = o->scripts, .dir = o->results, .keep = o->keep};
    char *training = NULL;
    evidence *e = malloc(sizeof *e);
    if (!e || asprintf(&training, "%s%s", o->training[0] ? o->training : o->results,
                       o->training[0] ? "" : "/training") < 0) {
        free(e);
        return pal_fail(err, PAL_INTERNAL, "out of memory for the pictures");
    }
    int code = evidence_read(e, tasks, o->results, err);
    if (code == PAL_OK) {
        for (size_t i = 0; code == PAL_OK && i < e->count; i++)
            code = draw_task(&e->task[i].rep, o->results, &out, log, err);
        evidence_free(e);
    }
    if (code == PAL_OK) code = plots_training(training, o->weights, &out, err);
    if (code == PAL_OK) say(&out, log);
    if (code == PAL_OK && out.drawn == 0 && !out.note[0])
        fprintf(log, "%s holds no complete cells and no training logs: no pictures\n", o->results);
    free(training);
    free(e);
    return code;
}
