/* The command `plots`: its keys. */
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
enum { OPTIONS = sizeof options_table / sizeof *options_table };

const kv_spec *plots_options_table(size_t *count)
{
    *count = OPTIONS;
    return options_table;
}

int cmd_plots(int argc, char **argv, pal_error *err)
{
    plots_options o;
    PAL_TRY(command_options("plots", options_table, OPTIONS, &o, argc, argv, err));
    return plots_run(&o, task_table, stdout, err);
}
