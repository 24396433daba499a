/* `key = value` pairs as they were read: lines of a file, words of a command line.
 * keyval.c turns their values into fields. */
#include "harness/base/keyval.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void clear_pair(kv_pair *pair)
{
    free(pair->value);
    free(pair->where);
}

void kv_pairs_free(kv_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) clear_pair(&pairs->pair[i]);
    free(pairs->pair);
    *pairs = (kv_pairs){0};
}

static kv_pair *find_pair(const kv_pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (strcasecmp(pairs->pair[i].key, key) == 0) return &pairs->pair[i];
    return NULL;
}

/* The place for a pair of this key: that of an earlier one, emptied, or a new one at the end. NULL: out of memory.
 */
static kv_pair *place_for(kv_pairs *pairs, const char *key)
{
    kv_pair *found = find_pair(pairs, key);
    if (found) {
        clear_pair(found);
        return found;
    }
    if (pairs->count == pairs->capacity) {
        const size_t capacity = pairs->capacity ? 2 * pairs->capacity : 16;
        kv_pair *grown = realloc(pairs->pair, capacity * sizeof *grown);
        if (!grown) return NULL;
        pairs->pair = grown;
        pairs->capacity = capacity;
    }
    return &pairs->pair[pairs->count++];
}

static int add_span(kv_pairs *pairs, const char *key, size_t key_length, const char *value, size_t value_length,
                    const char *where, pal_error *err)
{
    kv_pair added = {0};
    if (key_length == 0) return pal_fail(err, PAL_USAGE, "%s: no key before '='; write key=value", where);
    if (key_length >= sizeof added.key)
        return pal_fail(err, PAL_USAGE, "%s: the key \"%.*s...\" is longer than %zu characters", where, 20, key,
                        sizeof added.key - 1);
    memcpy(added.key, key, key_length);
    if (value_length >= KV_TEXT_MAX)
        return pal_fail(err, PAL_USAGE, "%s: the value of \"%s\" is longer than %d characters", where, added.key,
                        KV_TEXT_MAX - 1);
    added.value = strndup(value, value_length);
    added.where = strdup(where);
    kv_pair *place = added.value && added.where ? place_for(pairs, added.key) : NULL;
    if (!place) {
        clear_pair(&added);
        return pal_fail(err, PAL_INTERNAL, "out of memory for settings");
    }
    *place = added;
    return PAL_OK;
}

int kv_pairs_add(kv_pairs *pairs, const char *key, const char *value, const char *where, pal_error *err)
{
    return add_span(pairs, key, strlen(key), value, strlen(value), where, err);
}

int kv_pairs_merge(kv_pairs *pairs, const kv_pairs *over, pal_error *err)
{
    for (size_t i = 0; i < over->count; i++)
        PAL_TRY(kv_pairs_add(pairs, over->pair[i].key, over->pair[i].value, over->pair[i].where, err));
    return PAL_OK;
}

/* [*begin, *end) without the white space at both ends. */
static void trim(const char **begin, const char **end)
{
    while (*begin < *end && isspace((unsigned char)**begin)) ++*begin;
    while (*begin < *end && isspace((unsigned char)(*end)[-1])) --*end;
}

/* Where the line's comment or the line ends: a '#' inside a word is a part of it, as in a file's name. */
static const char *content_end(const char *line)
{
    const char *at = line;
    while (*at && *at != '\n' && !(*at == '#' && (at == line || isspace((unsigned char)at[-1])))) at++;
    return at;
}

int kv_next_line(const char **text, const char **begin, const char **end)
{
    if (!**text) return 0;
    const char *next = *text + strcspn(*text, "\n");
    *begin = *text;
    *end = content_end(*text);
    *text = *next ? next + 1 : next;
    trim(begin, end);
    return 1;
}

int kv_pairs_line(kv_pairs *pairs, const char *begin, const char *end, const char *name, int number,
                  pal_error *err)
{
    const char *equals = memchr(begin, '=', (size_t)(end - begin));
    if (!equals)
        return pal_fail(err, PAL_DATA, "%s:%d: \"%.*s\" is not a setting; write key = value", name, number,
                        end - begin > 60 ? 60 : (int)(end - begin), begin);
    const char *key_end = equals, *value = equals + 1;
    trim(&begin, &key_end);
    trim(&value, &end);
    char *where = NULL;
    if (asprintf(&where, "%s:%d", name, number) < 0)
        return pal_fail(err, PAL_INTERNAL, "out of memory for %s", name);
    const int code = add_span(pairs, begin, (size_t)(key_end - begin), value, (size_t)(end - value), where, err);
    free(where);
    return code;
}

int kv_pairs_parse(kv_pairs *pairs, const char *text, const char *name, pal_error *err)
{
    const char *begin, *end;
    for (int number = 1; kv_next_line(&text, &begin, &end); number++)
        if (begin < end) PAL_TRY(kv_pairs_line(pairs, begin, end, name, number, err));
    return PAL_OK;
}

int kv_pairs_args(kv_pairs *pairs, int count, char *const *words, pal_error *err)
{
    for (int i = 0; i < count; i++) {
        const char *equals = strchr(words[i], '=');
        if (!equals || equals == words[i])
            return pal_fail(err, PAL_USAGE, "\"%s\" is not a setting; write key=value, such as len=32K", words[i]);
        PAL_TRY(add_span(pairs, words[i], (size_t)(equals - words[i]), equals + 1, strlen(equals + 1),
                         KV_COMMAND_LINE, err));
    }
    return PAL_OK;
}

const char *kv_pairs_value(const kv_pairs *pairs, const char *key)
{
    const kv_pair *found = find_pair(pairs, key);
    return found ? found->value : NULL;
}

int kv_apply(const kv_spec *table, size_t count, void *base, const kv_pairs *pairs, pal_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const kv_pair *found = find_pair(pairs, table[i].key);
        if (!found) continue;
        pal_error cause;
        const int code = kv_set(&table[i], base, found->value, &cause);
        if (code == PAL_OK) continue;
        if (strcmp(found->where, KV_COMMAND_LINE) == 0) return pal_fail(err, code, "%s", cause.text);
        return pal_fail(err, code, "%s: %s", found->where, cause.text);
    }
    return PAL_OK;
}
