/* Help out of the tables: every key with its default, on lines that fit the terminal.
 * `help eval passkey` shows one task's keys; the manual and the completion are in manual.c. */
#include "harness/command/commands.h"
#include "harness/command/manual.h"

#include "harness/base/near.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { KEY_COLUMN = 24, NARROWEST = 40, WIDEST = 120, USUAL = 80 };

/* ---- Lines that fit ---- */

static int line_width(void)
{
    struct winsize size;
    const char *said = getenv("COLUMNS");
    int width = said ? atoi(said) : 0;
    if (width <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) width = size.ws_col;
    if (width <= 0) return USUAL;
    return width < NARROWEST ? NARROWEST : width > WIDEST ? WIDEST : width;
}

/* Print the words of `text` from column `at` on; later lines begin at column `indent`. */
static void put_wrapped(const char *text, int at, int indent)
{
    const int width = line_width();
    int first = 1;
    while (*text) {
        while (*text == ' ') text++;
        const int size = (int)strcspn(text, " ");
        if (size == 0) break;
        if (!first && at + 1 + size > width) {
            printf("\n%*s", indent, "");
            at = indent;
            first = 1;
        }
        at += printf("%s%.*s", first ? "" : " ", size, text);
        first = 0;
        text += size;
    }
    putchar('\n');
}

/* Each line of `text` as a paragraph of its own. */
static void put_paragraphs(const char *text)
{
    while (*text) {
        char line[1024];
        const int size = (int)strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", size, text);
        put_wrapped(line, 0, 0);
        text += size + (text[size] == '\n');
    }
}

/* ---- Keys ---- */

static void put_key(const kv_spec *s)
{
    char head[256], text[1024];
    int at = snprintf(head, sizeof head, "  %s=%s", s->key, s->fallback);
    printf("%s", head);
    if (at >= KEY_COLUMN - 1) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", KEY_COLUMN - at, "");
    snprintf(text, sizeof text, "%s%s%s%s", s->help ? s->help : "", s->type == KV_CHOICE ? " (" : "",
             s->type == KV_CHOICE ? s->choices : "", s->type == KV_CHOICE ? ")" : "");
    put_wrapped(text, KEY_COLUMN, KEY_COLUMN);
}

static void put_table(const char *title, const char *topic, const kv_spec *table, size_t count)
{
    if (count == 0) return;
    printf("\n%s%s%s:\n", title, *topic ? " " : "", topic);
    for (size_t i = 0; i < count; i++) put_key(&table[i]);
}

/* The names of a group's keys alone. */
static void put_names(const pal_command *c, const command_group *g)
{
    char text[4096];
    const size_t first = strcspn(g->topic, ",");
    size_t used = (size_t)snprintf(text, sizeof text, "%s %s (`palimpsest help %s %.*s`):", g->title, g->topic,
                                   c->name, (int)first, g->topic);
    for (size_t i = 0; i < g->count && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %s", i ? "," : "", g->table[i].key);
    putchar('\n');
    put_wrapped(text, 0, 2);
}

/* ---- Topics ---- */

/* Whether "infini-linear, infini-delta" names the topic. */
static int has_topic(const command_group *g, const char *topic)
{
    const size_t size = strlen(topic);
    for (const char *at = g->topic; *at; at += *at == ',' ? 2 : 0) {
        const size_t name = strcspn(at, ",");
        if (name == size && strncasecmp(at, topic, size) == 0) return 1;
        at += name;
    }
    return 0;
}

static int knows_topic(const pal_command *c, const char *topic)
{
    command_group group[COMMAND_GROUPS];
    const size_t count = c->groups ? c->groups(group) : 0;
    for (size_t i = 0; i < count; i++)
        if (has_topic(&group[i], topic)) return 1;
    return 0;
}

static void put_examples(const pal_command *c, const char *topic)
{
    int any = 0;
    for (const char *at = c->examples; at && *at;) {
        const int size = (int)strcspn(at, "\n");
        char line[256];
        snprintf(line, sizeof line, "%.*s", size, at);
        if (!topic || strstr(line, topic)) printf("%s  palimpsest %s\n", any++ ? "" : "\nExamples:\n", line);
        at += size + (at[size] == '\n');
    }
}

int help_command_text(const pal_command *c, const char *topic, pal_error *err)
{
    command_group group[COMMAND_GROUPS];
    const size_t count = c->groups ? c->groups(group) : 0;
    if (topic && !knows_topic(c, topic))
        return pal_fail(err, PAL_USAGE, "%s: not a part of %s; `palimpsest help %s` names them", topic, c->name,
                        c->name);
    printf("palimpsest %s", c->name);
    for (size_t i = 0; c->words && c->words[i]; i++) printf(" [%s]", c->words[i]);
    printf(" key=value...\n");
    put_paragraphs(c->summary);
    if (c->note) putchar('\n');
    if (c->note) put_paragraphs(c->note);
    put_examples(c, topic);
    if (!topic) put_table("Keys and their defaults", "", c->options, c->count);
    for (size_t i = 0; i < count; i++) {
        const int picked = topic ? has_topic(&group[i], topic) : !group[i].topic[0];
        if (picked) put_table(group[i].title, group[i].topic, group[i].table, group[i].count);
        if (!topic && !picked) put_names(c, &group[i]);
    }
    putchar('\n');
    if (topic) {
        char text[256];
        snprintf(text, sizeof text, "`palimpsest help %s` lists the keys that do not belong to one part.",
                 c->name);
        put_wrapped(text, 0, 0);
    }
    put_wrapped("1K is 1024. Lists: len=32K,128K; ranges: len=32K:1M:*2, depths=0:100:10; a comma inside a name: "
                "\"\\,\". --key value and --key=value mean key=value.",
                0, 0);
    return PAL_OK;
}

/* ---- The command ---- */

void help_overview(void)
{
    printf("palimpsest COMMAND key=value...\n\n");
    for (size_t i = 0; command_table[i]; i++) {
        const int at = printf("  %-10s ", command_table[i]->name);
        put_wrapped(command_table[i]->summary, at, at);
    }
    putchar('\n');
    put_wrapped("`palimpsest help COMMAND` lists its keys, `palimpsest help TASK` those of a task. Sizes take K "
                "and M: 1K = 1024 tokens. Lists are comma-separated: len=32K,128K,1M; ranges: len=32K:1M:*2.",
                0, 0);
    put_wrapped("Exit codes: 0 done, 1 a gate failed, 2 bad request, 3 bad file, 4 failure of the machine or a "
                "bug, 5 cannot tell.",
                0, 12);
    put_wrapped("PALIMPSEST_HOME names the directory of models, datasets and plots, where it is not this one.", 0,
                0);
}

typedef struct help_options {
    char command[KV_TEXT_MAX], topic[KV_TEXT_MAX];
    int64_t format;
} help_options;

enum { HELP_TEXT, HELP_MAN, HELP_COMPLETION };

#define AT(field) offsetof(help_options, field)

static const kv_spec options_table[] = {
    {"command", KV_TEXT, AT(command), "", 0, 0, NULL, "a command, or a task or attention module"},
    {"topic", KV_TEXT, AT(topic), "", 0, 0, NULL, "a task or attention module: its keys alone"},
    {"format", KV_CHOICE, AT(format), "text", 0, 0, "text|man|completion",
     "man: the manual page; completion: for bash"},
};

static int unknown(const char *name, pal_error *err)
{
    near_names near;
    char text[NEAR_TEXT];
    near_begin(&near, name);
    for (size_t i = 0; command_table[i]; i++) near_offer(&near, command_table[i]->name);
    return pal_fail(err, PAL_USAGE,
                    "%s: no command, task or attention module%s `palimpsest help` lists the commands", name,
                    near.count ? near_text(&near, text) : ";");
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    const help_options *o = options;
    if (o->format == HELP_MAN) manual_page(stdout);
    if (o->format == HELP_COMPLETION) manual_completion(stdout);
    if (o->format != HELP_TEXT) return PAL_OK;
    if (!o->command[0]) {
        help_overview();
        return PAL_OK;
    }
    for (size_t i = 0; command_table[i]; i++)
        if (strcasecmp(command_table[i]->name, o->command) == 0)
            return help_command_text(command_table[i], o->topic[0] ? o->topic : NULL, err);
    for (size_t i = 0; command_table[i]; i++)
        if (knows_topic(command_table[i], o->command)) return help_command_text(command_table[i], o->command, err);
    return unknown(o->command, err);
}

static const char *const places[] = {"command", "topic", NULL};

const pal_command help_command = {
    .name = "help",
    .summary = "help, or help COMMAND: its keys and their defaults",
    .examples = "help eval passkey\n"
                "help train infini-delta\n"
                "help format=man\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(help_options),
    .words = places,
    .run = run,
};
