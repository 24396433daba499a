/* The words of a command line, in the spelling of keys and in that of GNU's options.
 * The tables of the command decide what each means. */
#include "harness/cli/command.h"

#include "harness/base/home.h"
#include "harness/base/near.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct tables {
    const pal_command *command;
    command_group group[COMMAND_GROUPS];
    size_t groups;
} tables;

static void find_tables(const pal_command *c, tables *t)
{
    *t = (tables){.command = c};
    if (c->groups) t->groups = c->groups(t->group);
}

static const kv_spec *find_key(const tables *t, const char *key)
{
    const kv_spec *found = kv_find(t->command->options, t->command->count, key);
    for (size_t i = 0; !found && i < t->groups; i++) found = kv_find(t->group[i].table, t->group[i].count, key);
    return found;
}

static int unknown_key(const tables *t, const char *key, pal_error *err)
{
    near_names near;
    char text[NEAR_TEXT];
    near_begin(&near, key);
    for (size_t i = 0; i < t->command->count; i++) near_offer(&near, t->command->options[i].key);
    for (size_t i = 0; i < t->groups; i++)
        for (size_t k = 0; k < t->group[i].count; k++) near_offer(&near, t->group[i].table[k].key);
    return pal_fail(err, PAL_USAGE, "%s: %s has no such key%s `palimpsest help %s` lists them", key,
                    t->command->name, near.count ? near_text(&near, text) : ";", t->command->name);
}

int command_is_switch(const kv_spec *spec)
{
    if (spec->type == KV_CHOICE) return strcmp(spec->choices, "0|1") == 0;
    return spec->type == KV_INT && spec->min == 0 && spec->max == 1;
}

/* ---- GNU's spelling ---- */

/* The name of "--max-tokens=5" or "--max-tokens" as a key, max_tokens. Returns 0 where it is too long to be one.
 */
static int option_key(const char *name, size_t size, char *key, size_t room)
{
    if (size == 0 || size >= room) return 0;
    for (size_t i = 0; i < size; i++) key[i] = name[i] == '-' ? '_' : name[i];
    key[size] = '\0';
    return 1;
}

/* The words from argv[*at] on that make one option; *at is then its last. */
static int read_option(const tables *t, int argc, char *const *argv, int *at, kv_pairs *out, pal_error *err)
{
    const char *word = argv[*at] + 2;
    const size_t size = strcspn(word, "=");
    char key[sizeof out->pair->key];
    if (!option_key(word, size, key, sizeof key)) return unknown_key(t, argv[*at], err);
    const kv_spec *spec = find_key(t, key);
    if (!spec && !word[size] && strncasecmp(key, "no_", 3) == 0) {
        const kv_spec *off = find_key(t, key + 3);
        if (off && command_is_switch(off)) return kv_pairs_add(out, off->key, "0", KV_COMMAND_LINE, err);
    }
    if (!spec) return unknown_key(t, key, err);
    if (word[size]) return kv_pairs_add(out, spec->key, word + size + 1, KV_COMMAND_LINE, err);
    const char *next = *at + 1 < argc ? argv[*at + 1] : NULL;
    if (command_is_switch(spec) && !(next && (strcmp(next, "0") == 0 || strcmp(next, "1") == 0)))
        return kv_pairs_add(out, spec->key, "1", KV_COMMAND_LINE, err);
    if (!next) return pal_fail(err, PAL_USAGE, "--%s: its value is missing; write --%s=VALUE", word, word);
    ++*at;
    return kv_pairs_add(out, spec->key, next, KV_COMMAND_LINE, err);
}

/* ---- All words ---- */

/* "key=value": what is before the sign looks like a key. A path with a sign in a folder's name does not. */
static int is_setting(const char *word)
{
    const char *c = word;
    while (isalnum((unsigned char)*c) || *c == '_' || *c == '-') c++;
    return c > word && *c == '=';
}

static int read_setting(const tables *t, const char *word, kv_pairs *out, pal_error *err)
{
    char key[sizeof out->pair->key];
    const size_t size = strcspn(word, "=");
    if (!option_key(word, size, key, sizeof key)) return unknown_key(t, word, err);
    const kv_spec *spec = find_key(t, key);
    if (!spec) return unknown_key(t, key, err);
    return kv_pairs_add(out, spec->key, word + size + 1, KV_COMMAND_LINE, err);
}

static int not_a_setting(const pal_command *c, const char *word, pal_error *err)
{
    if (c->words)
        return pal_fail(err, PAL_USAGE, "\"%s\" is one word too many; %s takes %s%s%s and settings key=value",
                        word, c->name, c->words[0], c->words[1] ? " " : "", c->words[1] ? c->words[1] : "");
    return pal_fail(err, PAL_USAGE, "\"%s\" is not a setting; write key=value, such as %s=%s", word,
                    c->count ? c->options[0].key : "key", c->count ? c->options[0].fallback : "value");
}

/* Keys in upper case of the environment, where make asks for them. */
static int read_environment(const tables *t, size_t group, kv_pairs *out, pal_error *err)
{
    const kv_spec *table = group ? t->group[group - 1].table : t->command->options;
    const size_t count = group ? t->group[group - 1].count : t->command->count;
    for (size_t i = 0; i < count; i++) {
        char name[sizeof out->pair->key];
        size_t k = 0;
        for (; table[i].key[k] && k + 1 < sizeof name; k++)
            name[k] = (char)toupper((unsigned char)table[i].key[k]);
        name[k] = '\0';
        const char *value = getenv(name);
        if (value) PAL_TRY(kv_pairs_add(out, table[i].key, value, "environment", err));
    }
    return PAL_OK;
}

static void say_environment(const kv_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (strcmp(pairs->pair[i].where, "environment") == 0)
            fprintf(stderr, "palimpsest: %s=%s is taken from the environment\n", pairs->pair[i].key,
                    pairs->pair[i].value);
}

int command_words(const pal_command *c, int argc, char *const *argv, kv_pairs *out, pal_error *err)
{
    tables t;
    size_t place = 0;
    int options = 1; /* "--" ends them */
    find_tables(c, &t);
    const char *from_make = getenv(COMMAND_ENVIRONMENT);
    if (from_make && *from_make)
        for (size_t i = 0; i <= t.groups; i++) PAL_TRY(read_environment(&t, i, out, err));
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (options && strcmp(word, "--") == 0)
            options = 0;
        else if (options && strncmp(word, "--", 2) == 0)
            PAL_TRY(read_option(&t, argc, argv, &i, out, err));
        else if (options && is_setting(word) && word[0] != '-')
            PAL_TRY(read_setting(&t, word, out, err));
        else if (options && word[0] == '-' && word[1])
            return pal_fail(err, PAL_USAGE, "%s: %s has no such option; options begin with two dashes, as in --%s",
                            word, c->name, c->count ? c->options[0].key : "help");
        else if (!c->words || !c->words[place])
            return not_a_setting(c, word, err);
        else
            PAL_TRY(kv_pairs_add(out, c->words[place++], word, KV_COMMAND_LINE, err));
    }
    say_environment(out);
    return PAL_OK;
}

/* What is left when the command has taken its own. */
static int keep_rest(const pal_command *c, const kv_pairs *all, kv_pairs *rest, pal_error *err)
{
    for (size_t i = 0; i < all->count; i++) {
        const kv_pair *p = &all->pair[i];
        if (!kv_find(c->options, c->count, p->key)) PAL_TRY(kv_pairs_add(rest, p->key, p->value, p->where, err));
    }
    return PAL_OK;
}

/* Paths of what the program brings along, from any folder. */
static void find_homes(const pal_command *c, void *options)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->options[i].type == KV_TEXT && c->options[i].choices)
            home_settle((char *)options + c->options[i].offset);
}

int command_run(const pal_command *c, int argc, char *const *argv, pal_error *err)
{
    kv_pairs all = {0}, rest = {0};
    void *options = calloc(1, c->bytes ? c->bytes : 1);
    int code = options ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the settings");
    if (code == PAL_OK) code = command_words(c, argc, argv, &all, err);
    if (code == PAL_OK) code = kv_defaults(c->options, c->count, options, err);
    if (code == PAL_OK) code = kv_apply(c->options, c->count, options, &all, err);
    if (code == PAL_OK) find_homes(c, options);
    if (code == PAL_OK) code = keep_rest(c, &all, &rest, err);
    if (code == PAL_OK) code = c->run(options, &rest, err);
    kv_pairs_free(&all);
    kv_pairs_free(&rest);
    free(options);
    return code;
}
