/* `palimpsest plots`: the pictures of a directory of results, drawn again. */
#include "harness/plots/plots.h"

#include "harness/base/home.h"
#include "harness/command/commands.h"
#include "harness/eval/model_files.h"

#include <stdio.h>
#include <stdlib.h>

#define AT(field) offsetof(plots_options, field)

static const kv_spec options_table[] = {
    {"results", KV_TEXT, AT(results), "results/run", 0, 0, NULL,
     "directory of the journals; the pictures go there"},
    {"training", KV_TEXT, AT(training), "", 0, 0, NULL, "directory of the training logs; empty: results/training"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, KV_HOME,
     "directory of the models, for what the logs trained"},
    {"scripts", KV_TEXT, AT(scripts), PLOTS_DIR, 0, 0, KV_HOME, "directory of the .gp files"},
    {"keep", KV_TEXT, AT(keep), "", 0, 0, NULL,
     "directory for the tables that gnuplot reads; empty: they are removed"},
};

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    return plots_run(options, task_table, stdout, err);
}

int draw_pictures(const task_module *only, const char *results_dir, const char *weights, pal_error *err)
{
    if (only) return plots_task(only, results_dir, weights, stdout, err);
    plots_options *o = calloc(1, sizeof *o);
    if (!o) return pal_fail(err, PAL_INTERNAL, "out of memory for the pictures");
    snprintf(o->results, sizeof o->results, "%s", results_dir);
    snprintf(o->weights, sizeof o->weights, "%s", weights);
    home_path(PLOTS_DIR, o->scripts);
    const int code = plots_run(o, task_table, stdout, err);
    free(o);
    return code;
}

const pal_command plots_command = {
    .name = "plots",
    .summary = "draw all pictures of a directory of results again",
    .note = "What gnuplot reads stays in keep=FOLDER: to draw a picture by hand, or with another program.\n",
    .examples = "plots results=results/reference\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(plots_options),
    .run = run,
};
