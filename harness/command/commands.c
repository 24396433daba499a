/* The table of commands, and how the first word of a command line finds one.
 * A word that is no command gets the nearest names. */
#include "harness/command/commands.h"

#include "harness/base/near.h"
#include "harness/base/version.h"
#include "harness/gate/audit.h"
#include "harness/gate/compare.h"
#include "harness/gate/regress.h"
#include "harness/gate/verify.h"
#include "harness/inspect/inspect.h"
#include "harness/page/findings.h"
#include "harness/report/tables.h"
#include "harness/shard/merge.h"

#include <stdio.h>
#include <string.h>

const pal_command *const command_table[] = {
    &eval_command,     &plan_command,
    &merge_command,    &report_command,
    &plots_command,    &tables_command,
    &compare_command,  &audit_command,
    &findings_command, &verify_command,
    &regress_command,  &train_command,
    &bench_command,    &imprint_command,
    &show_command,     &generate_command,
    &export_command,   &list_command,
    &rouge_command,    &tokenizer_command,
    &help_command,     NULL,
};

static const pal_command *find(const char *name)
{
    for (size_t i = 0; command_table[i]; i++)
        if (strcmp(command_table[i]->name, name) == 0) return command_table[i];
    return NULL;
}

static int is(const char *word, const char *option, const char *other)
{
    return strcmp(word, option) == 0 || strcmp(word, other) == 0;
}

static int unknown(const char *word, pal_error *err)
{
    near_names near;
    char text[NEAR_TEXT];
    near_begin(&near, word);
    for (size_t i = 0; command_table[i]; i++) near_offer(&near, command_table[i]->name);
    return pal_fail(err, PAL_USAGE, "%s: no such command%s `palimpsest help` lists them", word,
                    near.count ? near_text(&near, text) : ";");
}

/* A command's --help may stand anywhere before "--". The word behind it, or the first word, names the topic. */
static int asks_for_help(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is(argv[i], "--help", "-h")) return 1;
    return 0;
}

static const char *topic_of(int argc, char *const *argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncasecmp(argv[i], "task=", 5) == 0) return argv[i] + 5;
        if (argv[i][0] != '-' && !strchr(argv[i], '=')) return argv[i];
    }
    return NULL;
}

int commands_main(int argc, char *const *argv, pal_error *err)
{
    if (argc < 2)
        return pal_fail(
            err, PAL_USAGE,
            "say what to do, such as `palimpsest eval passkey len=4K n=5`; `palimpsest help` has more");
    const char *word = argv[1];
    if (is(word, "--help", "-h")) {
        help_overview();
        return PAL_OK;
    }
    if (is(word, "--version", "-V") || strcmp(word, "version") == 0) {
        printf("palimpsest %s\n", pal_version());
        return PAL_OK;
    }
    const pal_command *c = find(word);
    if (!c) return unknown(word, err);
    if (asks_for_help(argc - 2, argv + 2))
        return help_command_text(c, c->groups ? topic_of(argc - 2, argv + 2) : NULL, err);
    return command_run(c, argc - 2, argv + 2, err);
}
