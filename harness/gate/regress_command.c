#include "harness/command/commands.h"
#include "harness/eval/model_files.h"
#include "harness/gate/regress.h"
#include "models/engine/pool.h"

#define AT(field) offsetof(regress_options, field)

static const kv_spec options_table[] = {
    {"baseline", KV_TEXT, AT(baseline), "results/baseline.csv", 0, 0, NULL, "what the losses are held against"},
    {"update", KV_CHOICE, AT(update), "0", 0, 0, "0|1", "1: write the baseline instead"},
    {"model", KV_TEXT, AT(model), "all", 0, 0, NULL,
     "all that were trained on text, or a list as in an eval; the rows of others are then left alone"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, NULL, "directory of the shipped models"},
    {"data", KV_TEXT, AT(data), "datasets/slice", 0, 0, NULL, "the text: the test split of a corpus"},
    {"recipe", KV_TEXT, AT(recipe), "models/configs/regress.conf", 0, 0, NULL,
     "of the tiny model that is trained on that text"},
    {"threads", KV_INT, AT(threads), "0", 0, POOL_MAX_THREADS, NULL,
     "0: all processors; the results do not depend on it"},
};
enum { OPTIONS = sizeof options_table / sizeof *options_table };

const kv_spec *regress_options_table(size_t *count)
{
    *count = OPTIONS;
    return options_table;
}

int cmd_regress(int argc, char **argv, pal_error *err)
{
    regress_options o;
    PAL_TRY(command_options("regress", options_table, OPTIONS, &o, argc, argv, err));
    return regress_run(&o, stdout, stderr, err);
}
