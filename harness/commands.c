#include "harness/commands.h"

#include <stddef.h>
#include <string.h>

const command command_table[] = {
    {"train", "train a model from a recipe", cmd_train},
    {"eval", "evaluate models on a task; finished samples are never computed again", cmd_eval},
    {"plan", "what an eval would cost: tokens, FLOPs, bytes, time", cmd_plan},
    {"report", "write CSVs, tables and plots again from the journal, computing nothing", cmd_report},
    {"compare", "compare two journals sample by sample; exit code 1 if the second is worse", cmd_compare},
    {"regress", "hold losses against a committed baseline; exit code 1 if one moved", cmd_regress},
    {"verify", "compute samples of a journal again, to the bit; exit code 1 if one differs", cmd_verify},
    {"tables", "the paper's tables from the journals: Markdown, LaTeX and CSV", cmd_tables},
    {"audit", "hold the papers' claims against the journals; exit code 1 if a verdict changed", cmd_audit},
    {"html", "one page with all results, and results.json", cmd_html},
    {"list", "attention modules, tasks, and the weights that are here", cmd_list},
    {"bench", "speed of training and evaluation on this machine", cmd_bench},
    {"tokenizer", "train a byte-level BPE tokenizer, or measure one", cmd_tokenizer},
    {"rouge", "ROUGE-1, -2, -L and -Lsum of texts against references", cmd_rouge},
    {"help", "help, or help COMMAND: its keys and their defaults", cmd_help},
    {NULL, NULL, NULL},
};

const command *command_find(const char *name)
{
    for (const command *c = command_table; c->name; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

int command_options(const char *name, const kv_spec *table, size_t count, void *base, int argc, char *const *argv,
                    pal_error *err)
{
    kv_pairs words = {0};
    int code = kv_pairs_args(&words, argc, argv, err);
    for (size_t i = 0; code == PAL_OK && i < words.count; i++)
        if (!kv_find(table, count, words.pair[i].key))
            code = pal_fail(err, PAL_USAGE, "%s: %s has no such key; `palimpsest help %s` lists them",
                            words.pair[i].key, name, name);
    if (code == PAL_OK) code = kv_defaults(table, count, base, err);
    if (code == PAL_OK) code = kv_apply(table, count, base, &words, err);
    kv_pairs_free(&words);
    return code;
}
