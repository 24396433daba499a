#include "harness/command/commands.h"

#include <stddef.h>
#include <string.h>

const command command_table[] = {
    {"train", "train a model from a recipe", cmd_train, NULL, NULL},
    {"eval", "evaluate models on a task; finished samples are never computed again", cmd_eval, NULL, NULL},
    {"plan", "what an eval would cost: tokens, FLOPs, bytes, time", cmd_plan, NULL, NULL},
    {"report", "write CSVs, tables and plots again from the journal, computing nothing", cmd_report, NULL, NULL},
    {"compare", "compare two journals sample by sample; exit code 1 if the second is worse", cmd_compare,
     compare_options_table,
     "`compare A B` reads two journals, or all those of two directories of results, and pairs their samples."},
    {"regress", "hold losses against a committed baseline; exit code 1 if one moved", cmd_regress,
     regress_options_table,
     "With the baseline's BLAS core every bit must agree; with another one small relative differences are "
     "allowed\n"
     "(harness/gate/baseline.h)."},
    {"verify", "compute samples of a journal again, to the bit; exit code 1 if one differs", cmd_verify,
     verify_options_table, NULL},
    {"imprint", "what a needle leaves in a model's state, by the length of what follows it", cmd_imprint, NULL,
     NULL},
    {"plots", "draw all pictures of a directory of results again", cmd_plots, plots_options_table,
     "What gnuplot reads stays in keep=FOLDER: to draw a picture by hand, or with another program."},
    {"tables", "the paper's tables from the journals: Markdown, LaTeX and CSV", cmd_tables, tables_options_table,
     NULL},
    {"audit", "hold the papers' claims against the journals; exit code 1 if a verdict changed", cmd_audit,
     audit_options_table, NULL},
    {"html", "one page with all results, and results.json", cmd_html, html_options_table, NULL},
    {"list", "attention modules, tasks, and the weights that are here", cmd_list, NULL, NULL},
    {"bench", "speed of training and evaluation on this machine", cmd_bench, bench_config_table,
     "The keys of the model (`palimpsest help train`) work too."},
    {"tokenizer", "train a byte-level BPE tokenizer, or measure one", cmd_tokenizer, tokenizer_options_table,
     "`tokenizer train` learns one from data= and writes it to out=, `tokenizer stats` encodes data= and counts,\n"
     "`tokenizer encode` prints a line of tokens for every document."},
    {"rouge", "ROUGE-1, -2, -L and -Lsum of texts against references", cmd_rouge, rouge_options_table,
     "--key value, --key=value and --flag work as well as key=value. JSON lines: \"reference\" (a string or a "
     "list)\n"
     "and \"hypothesis\" or \"prediction\", in two files line by line, or both in the file of ref=."},
    {"help", "help, or help COMMAND: its keys and their defaults", cmd_help, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
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
