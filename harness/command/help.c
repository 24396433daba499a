#include "harness/command/commands.h"
#include "harness/eval/request.h"
#include "harness/train/train.h"
#include "models/attention/attention.h"

#include <stdio.h>
#include <string.h>

static void print_table(const char *title, const kv_spec *table, size_t count)
{
    if (count == 0) return;
    printf("\n%s:\n", title);
    for (size_t i = 0; i < count; i++) {
        const kv_spec *s = &table[i];
        char head[128];
        snprintf(head, sizeof head, "%s=%s", s->key, s->fallback);
        printf("  %-26s %s", head, s->help ? s->help : "");
        if (s->type == KV_CHOICE) printf(" (%s)", s->choices);
        putchar('\n');
    }
}

static void help_eval(void)
{
    size_t count;
    const kv_spec *table = eval_options_table(&count);
    print_table("Keys and their defaults", table, count);
    for (size_t i = 0; task_table[i]; i++) {
        char title[64];
        snprintf(title, sizeof title, "Keys of task %s", task_table[i]->name);
        print_table(title, task_table[i]->request_table, task_table[i]->request_count);
    }
}

static void help_train(void)
{
    size_t count;
    const kv_spec *table = train_config_table(&count);
    printf("\nconfig=FILE,FILE reads keys from files, the later over the earlier; words beside it override them "
           "all.\n");
    print_table("Keys and their defaults", table, count);
    table = model_config_table(&count);
    print_table("Keys of the model", table, count);
    for (size_t i = 0; attn_table[i]; i++) {
        char title[80];
        snprintf(title, sizeof title, "Keys of attention = %s", attn_table[i]->name);
        print_table(title, attn_table[i]->options, attn_table[i]->option_count);
    }
    for (size_t i = 0; task_table[i]; i++) {
        char title[64];
        snprintf(title, sizeof title, "Keys of training on %s", task_table[i]->name);
        print_table(title, task_table[i]->train_table, task_table[i]->train_count);
    }
}

static void help_all(void)
{
    printf("palimpsest COMMAND key=value...\n\n");
    for (const command *c = command_table; c->name; c++) printf("  %-9s %s\n", c->name, c->summary);
    printf("\nSizes take K and M: 1K = 1024 tokens. Lists are comma-separated: len=32K,128K,1M.\n"
           "Exit codes: 0 done, 1 a gate failed, 2 bad request, 3 bad file, 4 failure of the machine or a bug.\n"
           "`palimpsest help COMMAND` lists its keys.\n");
}

int cmd_help(int argc, char **argv, pal_error *err)
{
    if (argc == 0) {
        help_all();
        return PAL_OK;
    }
    const command *found = command_find(argv[0]);
    if (!found) return pal_fail(err, PAL_USAGE, "no command \"%s\"; see `palimpsest help`", argv[0]);
    printf("palimpsest %s key=value...: %s\n", found->name, found->summary);
    printf("Sizes take K and M: 1K = 1024 tokens. Keys may be in upper or lower case.\n");
    if (found->run == cmd_train) help_train();
    if (found->run == cmd_eval || found->run == cmd_plan || found->run == cmd_report || found->run == cmd_imprint)
        help_eval();
    if (found->note) printf("\n%s\n", found->note);
    if (found->keys) {
        size_t count;
        const kv_spec *table = found->keys(&count);
        print_table("Keys and their defaults", table, count);
    }
    if (found->run == cmd_list) printf("\n  weights=%-18s directory of the shipped models\n", WEIGHTS_DIR);
    return PAL_OK;
}
