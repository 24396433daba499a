/* The command `verify`: its options. */
#include "harness/command/commands.h"
#include "harness/eval/model_files.h"
#include "harness/gate/verify.h"
#include "models/engine/pool.h"

#define AT(field) offsetof(verify_options, field)

static const kv_spec options_table[] = {
    {"results", KV_TEXT, AT(results), "results", 0, 0, NULL, "directory of the journal"},
    {"task", KV_TEXT, AT(task), "", 0, 0, NULL, "only this task's journal; else every one that is there"},
    {"k", KV_INT, AT(k), "3", 1, 10000000, NULL, "samples to compute again, of each journal"},
    {"seed", KV_INT, AT(seed), "1", 0, 9007199254740992.0, NULL, "which samples are drawn"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, NULL,
     "directory where the journal's weights are sought by their SHA-256"},
    {"tokenizer", KV_TEXT, AT(tokenizer), "", 0, 0, NULL,
     "\"bytes\" or the path of a tokenizer.json; empty: the one that the model was trained with"},
    {"threads", KV_INT, AT(threads), "0", 0, POOL_MAX_THREADS, NULL,
     "0: all processors, at least 2; the results should not depend on it"},
    {"trace", KV_SIZE, AT(trace), "4K", 1, 1 << 26, NULL,
     "tokens of a sample that differs that are read with 1 thread and with all, to compare every layer"},
};
enum { OPTIONS = sizeof options_table / sizeof *options_table };

const kv_spec *verify_options_table(size_t *count)
{
    *count = OPTIONS;
    return options_table;
}

int cmd_verify(int argc, char **argv, pal_error *err)
{
    verify_options o;
    PAL_TRY(command_options("verify", options_table, OPTIONS, &o, argc, argv, err));
    return verify_run(&o, stdout, err);
}
