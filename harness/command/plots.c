/* `palimpsest plots`: the pictures of a directory of results, drawn again. */
#include "harness/plots/plots.h"

#include "harness/command/commands.h"
#include "harness/eval/model_files.h"

#define AT(field) offsetof(plots_options, field)

static const kv_spec options_table[] = {
    {"results", KV_TEXT, AT(results), "results", 0, 0, NULL, "directory of the journals; the pictures go there"},
    {"training", KV_TEXT, AT(training), "", 0, 0, NULL, "directory of the training logs; empty: results/training"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, NULL,
     "directory of the models, for what the logs trained"},
    {"scripts", KV_TEXT, AT(scripts), PLOTS_DIR, 0, 0, NULL, "directory of the .gp files"},
    {"keep", KV_TEXT, AT(keep), "", 0, 0, NULL,
     "directory for the tables that gnuplot reads; empty: they are removed"},
};

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    return plots_run(options, task_table, stdout, err);
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
