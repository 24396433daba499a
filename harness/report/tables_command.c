#include "harness/command/commands.h"
#include "harness/eval/model_files.h"
#include "harness/report/tables.h"

#define AT(field) offsetof(tables_options, field)

static const kv_spec options_table[] = {
    {"results", KV_TEXT, AT(results), "results", 0, 0, NULL, "directory of the journals"},
    {"out", KV_TEXT, AT(out), "results/tables", 0, 0, NULL, "directory of the tables: .md, .tex and .csv"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, NULL, "directory of the models, for table 1"},
};
enum { OPTIONS = sizeof options_table / sizeof *options_table };

const kv_spec *tables_options_table(size_t *count)
{
    *count = OPTIONS;
    return options_table;
}

int cmd_tables(int argc, char **argv, pal_error *err)
{
    tables_options o;
    PAL_TRY(command_options("tables", options_table, OPTIONS, &o, argc, argv, err));
    return tables_run(&o, task_table, stdout, err);
}
