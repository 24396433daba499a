#include "harness/base/keyval.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COMMAND_LINE "command line"

static const int64_t size_limit = INT64_C(1) << 53; /* what a kv_list's double still holds exactly */

/* ---- Numbers. ---- */

typedef enum whole { WHOLE_OK, WHOLE_BAD, WHOLE_LARGE } whole;

/* Digits with an optional sign before and an optional K or M behind. */
static whole parse_whole(const char *text, int64_t *out)
{
    const char *c = text;
    const int sign = *c == '-' ? -1 : 1;
    if (sign < 0) c++;
    if (!isdigit((unsigned char)*c)) return WHOLE_BAD;
    int64_t value = 0;
    int large = 0;
    for (; isdigit((unsigned char)*c); c++)
        large |=
            __builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, sign * (*c - '0'), &value);
    int64_t unit = 1;
    if (*c == 'k' || *c == 'K') unit = 1024;
    if (*c == 'm' || *c == 'M') unit = 1024 * 1024;
    if (unit > 1) c++;
    if (*c) return WHOLE_BAD;
    large |= __builtin_mul_overflow(value, unit, &value);
    *out = value;
    return large ? WHOLE_LARGE : WHOLE_OK;
}

int kv_parse_size(const char *key, const char *text, int64_t *out, pal_error *err)
{
    int64_t value = 0;
    const whole kind = parse_whole(text, &value);
    if (kind == WHOLE_BAD || text[0] == '-')
        return pal_fail(err, PAL_USAGE, "%s=%s: not a size; write tokens as 32768, 32K or 1M (1K = 1024)", key,
                        text);
    if (kind == WHOLE_LARGE || value > size_limit)
        return pal_fail(err, PAL_USAGE, "%s=%s: too large; sizes go up to %lldM", key, text,
                        (long long)(size_limit >> 20));
    *out = value;
    return PAL_OK;
}

static int parse_int(const char *key, const char *text, int64_t *out, pal_error *err)
{
    int64_t value = 0;
    const whole kind = parse_whole(text, &value);
    if (kind == WHOLE_BAD)
        return pal_fail(err, PAL_USAGE, "%s=%s: not a whole number; write it as 4096 or 4K (1K = 1024)", key,
                        text);
    if (kind == WHOLE_LARGE)
        return pal_fail(err, PAL_USAGE, "%s=%s: too large; whole numbers go up to %lld", key, text,
                        (long long)INT64_MAX);
    *out = value;
    return PAL_OK;
}

static int parse_real(const char *key, const char *text, double *out, pal_error *err)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end || isspace((unsigned char)*text) || !isfinite(value))
        return pal_fail(err, PAL_USAGE, "%s=%s: not a number; write it as 0.5 or 3e-4", key, text);
    *out = value;
    return PAL_OK;
}

char *kv_format_size(int64_t value, char *out)
{
    const int64_t k = 1024, m = k * k;
    if (value > 0 && value % m == 0)
        snprintf(out, 24, "%lldM", (long long)(value / m));
    else if (value > 0 && value % k == 0)
        snprintf(out, 24, "%lldK", (long long)(value / k));
    else
        snprintf(out, 24, "%lld", (long long)value);
    return out;
}

/* The shortest of three precisions that strtod reads back to the same double. */
static void format_real(double value, char out[32])
{
    static const int digits[] = {9, 15, 17};
    for (int i = 0; i < 3; i++) {
        snprintf(out, 32, "%.*g", digits[i], value);
        if (strtod(out, NULL) == value) return;
    }
}

static void format_bound(const kv_spec *spec, double bound, char out[32])
{
    if (spec->type == KV_SIZE || spec->type == KV_SIZES)
        kv_format_size((int64_t)bound, out);
    else if (spec->type == KV_INT)
        snprintf(out, 32, "%lld", (long long)bound);
    else
        format_real(bound, out);
}

static int check_bounds(const kv_spec *spec, const char *text, double value, pal_error *err)
{
    if (spec->min >= spec->max || (value >= spec->min && value <= spec->max)) return PAL_OK;
    char low[32] = "", high[32] = "";
    const int no_low = spec->min<-0x1p53, no_high = spec->max> 0x1p53; /* a bound in name only */
    if (!no_low) format_bound(spec, spec->min, low);
    if (!no_high) format_bound(spec, spec->max, high);
    return pal_fail(err, PAL_USAGE, "%s=%s: out of range; use %s%s%s", spec->key, text, low,
                    no_high  ? " or more"
                    : no_low ? "at most "
                             : " to ",
                    high);
}

/* One number of `spec`, a scalar or an element of a list. Exactly one of *whole_out and *real_out is its value;
 * for whole numbers *real_out is the same in double. */
static int parse_number(const kv_spec *spec, const char *text, int64_t *whole_out, double *real_out,
                        pal_error *err)
{
    if (spec->type == KV_REAL || spec->type == KV_REALS) {
        PAL_TRY(parse_real(spec->key, text, real_out, err));
    } else {
        if (spec->type == KV_INT)
            PAL_TRY(parse_int(spec->key, text, whole_out, err));
        else
            PAL_TRY(kv_parse_size(spec->key, text, whole_out, err));
        *real_out = (double)*whole_out;
    }
    return check_bounds(spec, text, *real_out, err);
}

/* ---- One field. ---- */

/* [*begin, *end) without the white space at both ends. */
static void trim(const char **begin, const char **end)
{
    while (*begin < *end && isspace((unsigned char)**begin)) ++*begin;
    while (*begin < *end && isspace((unsigned char)(*end)[-1])) --*end;
}

int kv_each_name(const char *key, const char *list, kv_take_name *take, void *arg, pal_error *err)
{
    for (const char *at = list;; at++) {
        char name[KV_TEXT_MAX];
        const char *begin = at, *end = at + strcspn(at, ",");
        at = end;
        trim(&begin, &end);
        if (begin == end)
            return pal_fail(err, PAL_USAGE, "%s=%s: an empty name; give names or paths, separated by commas", key,
                            list);
        if ((size_t)(end - begin) >= sizeof name)
            return pal_fail(err, PAL_USAGE, "%s=%s: a name that is too long", key, list);
        snprintf(name, sizeof name, "%.*s", (int)(end - begin), begin);
        PAL_TRY(take(arg, name, err));
        if (!*at) return PAL_OK;
    }
}

static int set_list(const kv_spec *spec, kv_list *list, const char *text, pal_error *err)
{
    kv_list parsed = {0};
    if (!*text && !*spec->fallback) { /* only where it is the default can an empty list mean something */
        *list = parsed;
        return PAL_OK;
    }
    for (const char *at = text;; at++) {
        const char *begin = at, *end = at + strcspn(at, ",");
        at = end;
        trim(&begin, &end);
        char item[64];
        if (begin == end)
            return pal_fail(err, PAL_USAGE, "%s=%s: an empty value in the list; write it as %s", spec->key, text,
                            spec->type == KV_SIZES ? "32K,128K" : "0,50,100");
        if ((size_t)(end - begin) >= sizeof item)
            return pal_fail(err, PAL_USAGE, "%s=%.*s: not a number", spec->key, (int)(end - begin), begin);
        memcpy(item, begin, (size_t)(end - begin));
        item[end - begin] = 0;
        if (parsed.count == KV_LIST_MAX)
            return pal_fail(err, PAL_USAGE, "%s=%s: too many values; a list holds up to %d", spec->key, text,
                            KV_LIST_MAX);
        int64_t unused;
        PAL_TRY(parse_number(spec, item, &unused, &parsed.value[parsed.count], err));
        parsed.count++;
        if (!*at) break;
    }
    *list = parsed;
    return PAL_OK;
}

/* The i-th of "a|b|c" and its length, or NULL. */
static const char *choice_at(const char *choices, int64_t index, size_t *length)
{
    const char *at = choices;
    for (int64_t i = 0; i < index; i++) {
        at = strchr(at, '|');
        if (!at) return NULL;
        at++;
    }
    *length = strcspn(at, "|");
    return at;
}

static int set_choice(const kv_spec *spec, int64_t *out, const char *text, pal_error *err)
{
    size_t length = 0;
    const char *choice;
    for (int64_t i = 0; (choice = choice_at(spec->choices, i, &length)); i++) {
        if (strlen(text) == length && strncasecmp(choice, text, length) == 0) {
            *out = i;
            return PAL_OK;
        }
    }
    char names[256] = "";
    size_t used = 0;
    for (int64_t i = 0; (choice = choice_at(spec->choices, i, &length)) && used < sizeof names; i++) {
        const char *joint = i == 0 ? "" : choice[length] ? ", " : " or ";
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.*s", joint, (int)length, choice);
    }
    return pal_fail(err, PAL_USAGE, "%s=%s: unknown; choose %s", spec->key, text, names);
}

int kv_set(const kv_spec *spec, void *base, const char *text, pal_error *err)
{
    void *field = (char *)base + spec->offset;
    int64_t number = 0;
    double value = 0;
    switch (spec->type) {
    case KV_INT:
    case KV_SIZE:
        PAL_TRY(parse_number(spec, text, &number, &value, err));
        *(int64_t *)field = number;
        return PAL_OK;
    case KV_REAL:
        PAL_TRY(parse_number(spec, text, &number, &value, err));
        *(double *)field = value;
        return PAL_OK;
    case KV_CHOICE:
        return set_choice(spec, field, text, err);
    case KV_TEXT:
        if (strlen(text) >= KV_TEXT_MAX)
            return pal_fail(err, PAL_USAGE, "%s=%.40s...: too long; up to %d characters", spec->key, text,
                            KV_TEXT_MAX - 1);
        memset(field, 0, KV_TEXT_MAX); /* no stale bytes behind the NUL: structs are compared and hashed */
        memcpy(field, text, strlen(text));
        return PAL_OK;
    case KV_SIZES:
    case KV_REALS:
        return set_list(spec, field, text, err);
    }
    return pal_fail(err, PAL_INTERNAL, "%s: a row of unknown type", spec->key);
}

void kv_get(const kv_spec *spec, const void *base, char *out, size_t out_size)
{
    const void *field = (const char *)base + spec->offset;
    char number[32];
    size_t length = 0;
    if (!out_size) return;
    out[0] = 0;
    switch (spec->type) {
    case KV_INT:
        snprintf(out, out_size, "%lld", (long long)*(const int64_t *)field);
        break;
    case KV_SIZE:
        snprintf(out, out_size, "%s", kv_format_size(*(const int64_t *)field, number));
        break;
    case KV_REAL:
        format_real(*(const double *)field, number);
        snprintf(out, out_size, "%s", number);
        break;
    case KV_CHOICE: {
        const char *choice = choice_at(spec->choices, *(const int64_t *)field, &length);
        snprintf(out, out_size, "%.*s", (int)length, choice ? choice : "");
        break;
    }
    case KV_TEXT:
        snprintf(out, out_size, "%s", (const char *)field);
        break;
    case KV_SIZES:
    case KV_REALS: {
        const kv_list *list = field;
        for (int64_t i = 0; i < list->count && length < out_size; i++) {
            if (spec->type == KV_SIZES)
                kv_format_size((int64_t)list->value[i], number);
            else
                format_real(list->value[i], number);
            length += (size_t)snprintf(out + length, out_size - length, "%s%s", i ? "," : "", number);
        }
        break;
    }
    }
}

const kv_spec *kv_find(const kv_spec *table, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(table[i].key, key) == 0) return &table[i];
    return NULL;
}

int kv_defaults(const kv_spec *table, size_t count, void *base, pal_error *err)
{
    for (size_t i = 0; i < count; i++) PAL_TRY(kv_set(&table[i], base, table[i].fallback, err));
    return PAL_OK;
}

/* ---- Pairs. ---- */

void kv_pairs_free(kv_pairs *pairs)
{
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
    if (value_length >= sizeof added.value)
        return pal_fail(err, PAL_USAGE, "%s: the value of \"%s\" is longer than %zu characters", where, added.key,
                        sizeof added.value - 1);
    memcpy(added.value, value, value_length);
    snprintf(added.where, sizeof added.where, "%s", where);

    kv_pair *slot = find_pair(pairs, added.key);
    if (!slot) {
        if (pairs->count == pairs->capacity) {
            const size_t capacity = pairs->capacity ? 2 * pairs->capacity : 16;
            kv_pair *grown = realloc(pairs->pair, capacity * sizeof *grown);
            if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for settings");
            pairs->pair = grown;
            pairs->capacity = capacity;
        }
        slot = &pairs->pair[pairs->count++];
    }
    *slot = added;
    return PAL_OK;
}

int kv_pairs_add(kv_pairs *pairs, const char *key, const char *value, const char *where, pal_error *err)
{
    return add_span(pairs, key, strlen(key), value, strlen(value), where, err);
}

int kv_pairs_parse(kv_pairs *pairs, const char *text, const char *name, pal_error *err)
{
    int number = 0;
    for (const char *line = text; *line;) {
        const char *next = line + strcspn(line, "\n");
        const char *begin = line, *end = line + strcspn(line, "#\n");
        line = *next ? next + 1 : next;
        number++;
        trim(&begin, &end);
        if (begin == end) continue;
        const char *equals = memchr(begin, '=', (size_t)(end - begin));
        if (!equals)
            return pal_fail(err, PAL_DATA, "%s:%d: \"%.*s\" is not a setting; write key = value", name, number,
                            end - begin > 60 ? 60 : (int)(end - begin), begin);
        const char *key_end = equals, *value = equals + 1;
        trim(&begin, &key_end);
        trim(&value, &end);
        char where[320];
        snprintf(where, sizeof where, "%s:%d", name, number);
        PAL_TRY(add_span(pairs, begin, (size_t)(key_end - begin), value, (size_t)(end - value), where, err));
    }
    return PAL_OK;
}

int kv_pairs_args(kv_pairs *pairs, int count, char *const *words, pal_error *err)
{
    for (int i = 0; i < count; i++) {
        const char *equals = strchr(words[i], '=');
        if (!equals || equals == words[i])
            return pal_fail(err, PAL_USAGE, "\"%s\" is not a setting; write key=value, such as len=32K", words[i]);
        PAL_TRY(add_span(pairs, words[i], (size_t)(equals - words[i]), equals + 1, strlen(equals + 1),
                         COMMAND_LINE, err));
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
        if (strcmp(found->where, COMMAND_LINE) == 0) return pal_fail(err, code, "%s", cause.text);
        return pal_fail(err, code, "%s: %s", found->where, cause.text);
    }
    return PAL_OK;
}
