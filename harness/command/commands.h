/* The subcommands of the binary. A command gets the words after its name, key=value each, and returns a status;
 * only main() prints errors. */
#ifndef PAL_COMMANDS_H
#define PAL_COMMANDS_H

#include "harness/base/keyval.h"

int cmd_train(int argc, char **argv, pal_error *err);
int cmd_eval(int argc, char **argv, pal_error *err);
int cmd_plan(int argc, char **argv, pal_error *err);
int cmd_report(int argc, char **argv, pal_error *err);
int cmd_compare(int argc, char **argv, pal_error *err);
int cmd_regress(int argc, char **argv, pal_error *err);
int cmd_imprint(int argc, char **argv, pal_error *err);
int cmd_verify(int argc, char **argv, pal_error *err);
int cmd_plots(int argc, char **argv, pal_error *err);
int cmd_tables(int argc, char **argv, pal_error *err);
int cmd_audit(int argc, char **argv, pal_error *err);
int cmd_html(int argc, char **argv, pal_error *err);
int cmd_list(int argc, char **argv, pal_error *err);
int cmd_bench(int argc, char **argv, pal_error *err);
int cmd_tokenizer(int argc, char **argv, pal_error *err);
int cmd_rouge(int argc, char **argv, pal_error *err);
int cmd_help(int argc, char **argv, pal_error *err);

/* The keys of commands that have a table of their own, for help. */
const kv_spec *bench_config_table(size_t *count);
const kv_spec *compare_options_table(size_t *count);
const kv_spec *regress_options_table(size_t *count);
const kv_spec *verify_options_table(size_t *count);
const kv_spec *tokenizer_options_table(size_t *count);
const kv_spec *rouge_options_table(size_t *count);
const kv_spec *plots_options_table(size_t *count);
const kv_spec *tables_options_table(size_t *count);
const kv_spec *audit_options_table(size_t *count);
const kv_spec *html_options_table(size_t *count);

/* For commands that take words key=value alone: the defaults of a table, and the words over them. PAL_USAGE: a key
 * that is not in the table, or a bad value. */
int command_options(const char *name, const kv_spec *table, size_t count, void *base, int argc, char *const *argv,
                    pal_error *err);

typedef struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv, pal_error *err);
    const kv_spec *(*keys)(size_t *count); /* the table of its own keys, for help; NULL: help knows more */
    const char *note;                      /* what help says before them; may be NULL */
} command;

/* All of them; ends with a NULL name. */
extern const command command_table[];
const command *command_find(const char *name);

#endif
