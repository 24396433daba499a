/* `key = value` pairs as they were read: lines of a file, its sections, words of a command line.
 * keyval.c turns their values into fields. */
#include "harness/base/keyval.h"

#include "harness/base/array.h"
#include "harness/base/near.h"
#include "harness/base/utf8.h"

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
    PAL_TRY(array_room(&pairs->pair, &pairs->capacity, pairs->count + 1, sizeof added, "settings", err));
    added.value = strndup(value, value_length);
    added.where = strdup(where);
    if (!added.value || !added.where) {
        clear_pair(&added);
        return pal_fail(err, PAL_INTERNAL, "out of memory for settings");
    }
    kv_pair *found = find_pair(pairs, added.key);
    if (found) clear_pair(found);
    *(found ? found : &pairs->pair[pairs->count++]) = added;
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

int kv_pairs_read(kv_pairs *pairs, const char *path, pal_error *err)
{
    char *text;
    PAL_TRY(utf8_read_text(path, &text, err));
    const int code = kv_pairs_parse(pairs, text, path, err);
    free(text);
    return code;
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

/* ---- Sections. ---- */

enum { DEEPEST = 16 };

void sections_free(kv_sections *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->section[i].name);
        free(s->section[i].where);
        kv_pairs_free(&s->section[i].own);
    }
    free(s->section);
    *s = (kv_sections){0};
}

const kv_section *sections_find(const kv_sections *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->section[i].name, name) == 0) return &s->section[i];
    return NULL;
}

static int add_section(kv_sections *s, const char *name, size_t size, const char *file, int line, pal_error *err)
{
    PAL_TRY(array_room(&s->section, &s->capacity, s->count + 1, sizeof *s->section, file, err));
    kv_section *added = &s->section[s->count];
    *added = (kv_section){.name = strndup(name, size)};
    if (!added->name || asprintf(&added->where, "%s:%d", file, line) < 0) {
        free(added->name);
        return pal_fail(err, PAL_INTERNAL, "out of memory for %s", file);
    }
    const kv_section *earlier = sections_find(s, added->name);
    s->count++;
    if (earlier)
        return pal_fail(err, PAL_DATA, "%s: the section [%s] is already at %s; give it another name", added->where,
                        added->name, earlier->where);
    return PAL_OK;
}

static int is_head(const char *begin, const char *end)
{
    return end - begin > 2 && *begin == '[' && end[-1] == ']';
}

int sections_parse(kv_sections *s, const char *text, const char *name, pal_error *err)
{
    const char *begin, *end;
    const size_t first = s->count;
    for (int line = 1; kv_next_line(&text, &begin, &end); line++) {
        if (begin == end) continue;
        if (is_head(begin, end))
            PAL_TRY(add_section(s, begin + 1, (size_t)(end - begin - 2), name, line, err));
        else if (s->count == first)
            return pal_fail(err, PAL_DATA, "%s:%d: a line before the first [section]; write [NAME] above it", name,
                            line);
        else
            PAL_TRY(kv_pairs_line(&s->section[s->count - 1].own, begin, end, name, line, err));
    }
    return PAL_OK;
}

int sections_read(kv_sections *s, const char *path, pal_error *err)
{
    char *text;
    PAL_TRY(utf8_read_text(path, &text, err));
    const int code = sections_parse(s, text, path, err);
    free(text);
    return code;
}

/* ---- from ---- */

/* What one resolution needs, and the names on the way down. */
typedef struct walk {
    const kv_sections *all;
    const char *const *own_only;
    const char *path[DEEPEST];
    size_t depth;
    kv_pairs *out;
} walk;

static int walk_into(walk *w, const kv_section *at, pal_error *err);

static int take_from(void *arg, const char *name, pal_error *err)
{
    walk *w = arg;
    const kv_section *next = sections_find(w->all, name);
    const kv_section *here = sections_find(w->all, w->path[w->depth - 1]);
    near_names near;
    char text[NEAR_TEXT];
    if (next) return walk_into(w, next, err);
    near_begin(&near, name);
    for (size_t i = 0; i < w->all->count; i++) near_offer(&near, w->all->section[i].name);
    return pal_fail(err, PAL_DATA, "%s: [%s] takes from [%s], which is nowhere%s", here->where, here->name, name,
                    near.count ? near_text(&near, text) : "");
}

static int is_own_only(const walk *w, const char *key)
{
    for (const char *const *k = w->own_only; k && *k; k++)
        if (strcasecmp(*k, key) == 0) return 1;
    return 0;
}

static int walk_into(walk *w, const kv_section *at, pal_error *err)
{
    for (size_t i = 0; i < w->depth; i++)
        if (w->path[i] == at->name)
            return pal_fail(err, PAL_DATA, "%s: [%s] takes from itself, by way of [%s]", at->where, at->name,
                            w->path[w->depth - 1]);
    if (w->depth == DEEPEST)
        return pal_fail(err, PAL_DATA, "%s: [%s] lies more than %d sections deep", at->where, at->name, DEEPEST);
    w->path[w->depth++] = at->name;
    const char *from = kv_pairs_value(&at->own, "from");
    if (from) PAL_TRY(kv_each_name("from", from, take_from, w, err));
    w->depth--;
    for (size_t i = 0; i < at->own.count; i++) {
        const kv_pair *p = &at->own.pair[i];
        if (strcasecmp(p->key, "from") == 0 || (w->depth > 0 && is_own_only(w, p->key))) continue;
        PAL_TRY(kv_pairs_add(w->out, p->key, p->value, p->where, err));
    }
    return PAL_OK;
}

int sections_resolve(const kv_sections *s, const char *name, const char *const *own_only, kv_pairs *out,
                     pal_error *err)
{
    const kv_section *at = sections_find(s, name);
    if (!at) {
        near_names near;
        char text[NEAR_TEXT];
        near_begin(&near, name);
        for (size_t i = 0; i < s->count; i++) near_offer(&near, s->section[i].name);
        return pal_fail(err, PAL_USAGE, "%s: no such section%s", name, near.count ? near_text(&near, text) : "");
    }
    walk w = {.all = s, .own_only = own_only, .out = out};
    return walk_into(&w, at, err);
}
