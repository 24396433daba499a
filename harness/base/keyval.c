/* One value at a time: numbers, ranges, lists, choices and texts, as a row of a table describes them.
 * keyval_pairs.c reads the lines and words that hold them. */
#include "harness/base/keyval.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const int64_t size_limit = INT64_C(1) << 53; /* what a kv_list's double still holds exactly */

/* ---- Numbers. ---- */

typedef enum whole { WHOLE_OK, WHOLE_BAD, WHOLE_LARGE } whole;

/* Digits, also behind a point, with an optional sign before and an optional K or M behind: "-4", "32K", "1.5K".
 * Only what comes to a whole number is one. */
static whole parse_whole(const char *text, int64_t *out)
{
    const char *c = text;
    const int sign = *c == '-' ? -1 : 1;
    if (sign < 0) c++;
    if (!isdigit((unsigned char)*c)) return WHOLE_BAD;
    int64_t value = 0, tenths = 1; /* the number is value / tenths */
    int large = 0, point = 0;
    for (; isdigit((unsigned char)*c) || (*c == '.' && !point && isdigit((unsigned char)c[1])); c++) {
        if (*c == '.') {
            point = 1;
            continue;
        }
        if (point) large |= __builtin_mul_overflow(tenths, 10, &tenths);
        large |=
            __builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, sign * (*c - '0'), &value);
    }
    int64_t unit = 1;
    if (*c == 'k' || *c == 'K') unit = 1024;
    if (*c == 'm' || *c == 'M') unit = 1024 * 1024;
    if (unit > 1) c++;
    if (*c || (point && unit == 1)) return WHOLE_BAD;
    large |= __builtin_mul_overflow(value, unit, &value);
    if (!large && value % tenths != 0) return WHOLE_BAD;
    *out = large ? 0 : value / tenths;
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

/* ---- Lists. ---- */

static int put_number(const kv_spec *spec, const char *text, double value, kv_list *list, pal_error *err)
{
    if (list->count == KV_LIST_MAX)
        return pal_fail(err, PAL_USAGE, "%s=%s: too many values; a list holds up to %d", spec->key, text,
                        KV_LIST_MAX);
    list->value[list->count++] = value;
    return PAL_OK;
}

/* Decimal steps add up to what a person would write: 0.3, not 0.30000000000000004. */
static double tidy(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.12g", value);
    return strtod(text, NULL);
}

/* "FIRST:LAST:STEP" or "FIRST:LAST:*FACTOR": FIRST and then on while LAST is not passed. */
static int add_range(const kv_spec *spec, char *text, kv_list *list, pal_error *err)
{
    char whole_text[64];
    snprintf(whole_text, sizeof whole_text, "%s", text);
    char *last = strchr(text, ':'), *step = strchr(last + 1, ':');
    if (!step || strchr(step + 1, ':'))
        return pal_fail(err, PAL_USAGE,
                        "%s=%s: not a range; write FIRST:LAST:STEP or FIRST:LAST:*FACTOR, as in %s", spec->key,
                        whole_text, spec->type == KV_SIZES ? "32K:1M:*2" : "0:100:10");
    *last++ = *step++ = '\0';
    const int times = *step == '*';
    double from, to, by;
    int64_t unused;
    kv_spec free_step = *spec; /* a step has no bounds, and a factor no unit */
    free_step.min = free_step.max = 0;
    if (times) free_step.type = KV_REALS;
    PAL_TRY(parse_number(spec, text, &unused, &from, err));
    PAL_TRY(parse_number(spec, last, &unused, &to, err));
    PAL_TRY(parse_number(&free_step, step + times, &unused, &by, err));
    if (times ? by <= 1 || from <= 0 || to < from : by == 0 || (to < from) != (by < 0))
        return pal_fail(err, PAL_USAGE, "%s=%s: the step does not lead from %s to %s", spec->key, whole_text, text,
                        last);
    const double slack = spec->type == KV_SIZES ? 0 : 1e-9 * fabs(by);
    double value = from;
    for (int i = 1; by < 0 ? value >= to - slack : value <= to + slack; i++) {
        PAL_TRY(put_number(spec, whole_text, spec->type == KV_SIZES ? trunc(value) : tidy(value), list, err));
        value = times ? value * by : from + i * by;
    }
    return PAL_OK;
}

/* [*begin, *end) without the white space at both ends. */
static void trim(const char **begin, const char **end)
{
    while (*begin < *end && isspace((unsigned char)**begin)) ++*begin;
    while (*begin < *end && isspace((unsigned char)(*end)[-1])) --*end;
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
            return pal_fail(err, PAL_USAGE, "%s=%.60s...: not a number", spec->key, begin);
        memcpy(item, begin, (size_t)(end - begin));
        item[end - begin] = 0;
        double value;
        int64_t unused;
        if (strchr(item, ':')) {
            PAL_TRY(add_range(spec, item, &parsed, err));
        } else {
            PAL_TRY(parse_number(spec, item, &unused, &value, err));
            PAL_TRY(put_number(spec, text, value, &parsed, err));
        }
        if (!*at) break;
    }
    *list = parsed;
    return PAL_OK;
}

/* The end of the name at `at`: a comma that no backslash takes its meaning from. */
static const char *name_end(const char *at)
{
    for (; *at && *at != ','; at++)
        if (*at == '\\' && (at[1] == ',' || at[1] == '\\')) at++;
    return at;
}

int kv_each_name(const char *key, const char *list, kv_take_name *take, void *arg, pal_error *err)
{
    for (const char *at = list;; at++) {
        char name[KV_TEXT_MAX];
        const char *begin = at, *end = name_end(at);
        size_t size = 0;
        at = end;
        trim(&begin, &end);
        if (begin == end)
            return pal_fail(err, PAL_USAGE, "%s=%s: an empty name; give names or paths, separated by commas", key,
                            list);
        if ((size_t)(end - begin) >= sizeof name)
            return pal_fail(err, PAL_USAGE, "%s=%.60s...: a name that is too long", key, list);
        for (const char *c = begin; c < end; c++) {
            if (*c == '\\' && (c[1] == ',' || c[1] == '\\')) c++;
            name[size++] = *c;
        }
        name[size] = '\0';
        PAL_TRY(take(arg, name, err));
        if (!*at) return PAL_OK;
    }
}

/* ---- One field. ---- */

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
    char names[1024] = "";
    size_t used = 0;
    for (int64_t i = 0; (choice = choice_at(spec->choices, i, &length)) && used < sizeof names; i++) {
        const char *joint = i == 0 ? "" : choice[length] ? ", " : " or ";
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.*s", joint, (int)length, choice);
    }
    return pal_fail(err, PAL_USAGE, "%s=%s: unknown; choose %s", spec->key, text, names);
}

/* ---- Sets of layers. ---- */

static const int64_t all_layers = INT64_MAX;

static int set_layers(const kv_spec *spec, int64_t *out, const char *text, pal_error *err)
{
    int64_t bits = 0;
    if (strcasecmp(text, "all") == 0) {
        *out = all_layers;
        return PAL_OK;
    }
    for (const char *at = text;; at++) {
        char *end;
        while (isspace((unsigned char)*at)) at++;
        const long number = isdigit((unsigned char)*at) ? strtol(at, &end, 10) : -1;
        if (number < 0 || number >= KV_LAYERS_MAX)
            return pal_fail(err, PAL_USAGE, "%s=%.60s: not a list of layers; write 12.16.20, from 0 to %d, or all",
                            spec->key, text, KV_LAYERS_MAX - 1);
        bits |= INT64_C(1) << number;
        at = end;
        if (!*at) break;
        if (*at != '.' && *at != ',')
            return pal_fail(err, PAL_USAGE, "%s=%.60s: not a list of layers; write 12.16.20 or all", spec->key,
                            text);
    }
    *out = bits;
    return PAL_OK;
}

/* Without commas, which separate attentions and models in longer lists. */
static void get_layers(int64_t bits, char *out, size_t size)
{
    size_t length = 0;
    if (bits == all_layers) {
        snprintf(out, size, "all");
        return;
    }
    for (int i = 0; i < KV_LAYERS_MAX && length < size; i++)
        if (bits >> i & 1) length += (size_t)snprintf(out + length, size - length, "%s%d", length ? "." : "", i);
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
    case KV_LAYERS:
        return set_layers(spec, field, text, err);
    case KV_TEXT:
        if (strlen(text) >= KV_TEXT_MAX)
            return pal_fail(err, PAL_USAGE, "%s=%.40s...: too long; up to %d characters", spec->key, text,
                            KV_TEXT_MAX - 1);
        if (!*text && *spec->fallback) /* "results=" would mean the root directory */
            return pal_fail(err, PAL_USAGE, "%s=: an empty value; give one, or leave the key out for %s=%s",
                            spec->key, spec->key, spec->fallback);
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
    case KV_LAYERS:
        get_layers(*(const int64_t *)field, out, out_size);
        break;
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
