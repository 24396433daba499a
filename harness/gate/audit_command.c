/* The command `audit`: its options. */
#include "harness/command/commands.h"
#include "harness/eval/model_files.h"
#include "harness/gate/audit.h"

#define AT(field) offsetof(audit_options, field)

static const kv_spec options_table[] = {
    {"claims", KV_TEXT, AT(claims), "results/claims.conf", 0, 0, NULL, "the claims"},
    {"verdicts", KV_TEXT, AT(verdicts), "results/verdicts.csv", 0, 0, NULL, "the committed verdicts"},
    {"results", KV_TEXT, AT(results), "results/reference", 0, 0, NULL,
     "directory of the journals; the committed verdicts are about those that are committed too"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, NULL, "directory of the models, for their gates"},
    {"update", KV_CHOICE, AT(update), "0", 0, 0, "0|1", "1: write the verdicts instead of comparing with them"},
};
enum { OPTIONS = sizeof options_table / sizeof *options_table };

const kv_spec *audit_options_table(size_t *count)
{
    *count = OPTIONS;
    return options_table;
}

int cmd_audit(int argc, char **argv, pal_error *err)
{
    audit_options o;
    PAL_TRY(command_options("audit", options_table, OPTIONS, &o, argc, argv, err));
    return audit_run(&o, task_table, stdout, err);
}
