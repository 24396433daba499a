/* The command `plots`: every picture of a directory of results. */
#include "harness/plots/plots.h"

#include "harness/base/home.h"
#include "harness/base/os.h"
#include "harness/eval/facts.h"

#include <stdlib.h>
#include <string.h>

/* What the pictures of one run are made of. */
typedef struct sources {
    const report *const *rep; /* of the tasks; NULL ends the list */
    const char *dir;
    const char *training, *weights; /* training NULL: no logs */
} sources;

static int draw_task(const report *rep, const char *dir, figure_output *out, FILE *log, pal_error *err)
{
    int none = 0;
    if (rep->count == 0) return PAL_OK;
    PAL_TRY(plots_cells(rep, out, err));
    PAL_TRY(plots_cost(rep, out, &none, err));
    if (none && out->progress) progress_clear(out->progress);
    if (none && !out->counting)
        fprintf(log, "no cost picture of %s: all samples shared work; evaluate with share=0 to measure\n",
                rep->task->name);
    return plots_imprint(rep, dir, out, err);
}

static int draw_all(const sources *from, figure_output *out, FILE *log, pal_error *err)
{
    for (size_t i = 0; from->rep[i]; i++) PAL_TRY(draw_task(from->rep[i], from->dir, out, log, err));
    return from->training ? plots_training(from->training, from->weights, out, err) : PAL_OK;
}

/* Count the pictures, then draw them with a line of progress. */
static int draw(const sources *from, figure_output *out, FILE *log, pal_error *err)
{
    progress shown;
    out->counting = 1;
    PAL_TRY(draw_all(from, out, log, err));
    out->counting = 0;
    out->progress = &shown;
    progress_start(&shown, stderr, "pictures", (double)out->planned, 0, NULL);
    const int code = draw_all(from, out, log, err);
    progress_clear(&shown);
    if (code == PAL_OK && out->left_out[0]) fprintf(log, "left out of the pictures: %s\n", out->left_out);
    if (code == PAL_OK && out->note[0]) fprintf(log, "no plots: %s\n", out->note);
    if (code == PAL_OK && out->drawn)
        fprintf(log, "drew %zu pictures in %s, as .svg and .png\n", out->drawn, out->dir);
    return code;
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
        if (code == PAL_OK) {
            const report *const list[] = {&rep, NULL};
            code = draw(&(sources){.rep = list, .dir = dir}, &out, log, err);
            report_free(&rep);
        }
    }
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
        const report *list[EVIDENCE_TASKS + 1] = {NULL};
        for (size_t i = 0; i < e->count; i++) list[i] = &e->task[i].rep;
        code = draw(&(sources){.rep = list, .dir = o->results, .training = training, .weights = o->weights}, &out,
                    log, err);
        evidence_free(e);
    }
    if (code == PAL_OK && out.drawn == 0 && !out.note[0])
        fprintf(log, "%s holds no complete cells and no training logs: no pictures\n", o->results);
    free(training);
    free(e);
    return code;
}
