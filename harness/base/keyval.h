/* Table-driven `key = value` settings: one table describes a struct's fields, and the same table reads config
 * files, command-line overrides and checkpoint metadata, and writes them back. */
#ifndef PAL_KEYVAL_H
#define PAL_KEYVAL_H

#include "harness/base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef enum kv_type {
    KV_INT,    /* int64_t; also accepts the suffixes of KV_SIZE */
    KV_SIZE,   /* int64_t with an optional K (1024) or M (1024*1024) suffix: "32768", "32K", "1.5K" */
    KV_REAL,   /* double */
    KV_CHOICE, /* int64_t index into `choices` */
    KV_LAYERS, /* int64_t whose bits are numbers 0..62: "12.16.20", commas do as well; "all": every bit */
    KV_TEXT,   /* char[KV_TEXT_MAX] */
    KV_SIZES,  /* kv_list of KV_SIZE values: "32K,128K,1M"; ranges: "32K:1M:*2" */
    KV_REALS   /* kv_list of doubles: "0,50,100"; ranges: "0:100:10" */
} kv_type;

enum {
    KV_TEXT_MAX = 4096, /* as PATH_MAX: any path fits */
    KV_LIST_MAX = 128,
    KV_LAYERS_MAX = 63, /* numbers of KV_LAYERS */
    KV_OUT_MAX =
        KV_TEXT_MAX /* holds the text of any value, NUL included; a list takes 26 for each of its numbers */
};

/* `choices` of a KV_TEXT row: a path of what the program brings along, found as home.h says. */
#define KV_HOME "home"

typedef struct kv_list {
    int64_t count;
    double value[KV_LIST_MAX]; /* exact for sizes below 2^53 */
} kv_list;

typedef struct kv_spec {
    const char *key;
    kv_type type;
    size_t offset;        /* of the field in the struct */
    const char *fallback; /* default, in the syntax of a value */
    double min, max;      /* inclusive bounds of numbers (each element of a list); ignored when min >= max */
    const char *choices;  /* KV_CHOICE: "a|b|c"; KV_TEXT: KV_HOME, or NULL */
    const char *help;
} kv_spec;

/* "128", "32K", "1M" -> tokens or bytes. PAL_USAGE names `key` and the accepted forms. */
int kv_parse_size(const char *key, const char *text, int64_t *out, pal_error *err);
typedef int kv_take_name(void *arg, const char *name, pal_error *err);
/* Hand each name of a comma-separated list on, without the white space around it. "\," stands for a comma inside a
 * name, "\\" for a backslash before one. PAL_USAGE: an empty name; or what `take` returns. */
int kv_each_name(const char *key, const char *list, kv_take_name *take, void *arg, pal_error *err);
/* 131072 -> "128K"; exact values only, otherwise plain digits. `out` holds at least 24 bytes. Returns `out`. */
char *kv_format_size(int64_t value, char *out);

/* The row of `key` (case-insensitive) or NULL. Tables hold `count` rows. */
const kv_spec *kv_find(const kv_spec *table, size_t count, const char *key);
/* Write every row's default into the struct at `base`. */
int kv_defaults(const kv_spec *table, size_t count, void *base, pal_error *err);
/* Parse `text` into the field of `spec`. PAL_USAGE: one line with the key, the value and what is accepted. */
int kv_set(const kv_spec *spec, void *base, const char *text, pal_error *err);
/* The field's value as text that kv_set reads back to the same bits; KV_OUT_MAX bytes always suffice. */
void kv_get(const kv_spec *spec, const void *base, char *out, size_t out_size);

/* One `key = value` pair as it was read, with where it stood (for messages). */
typedef struct kv_pair {
    char key[64];
    char *value;
    char *where; /* "my.conf:3" or KV_COMMAND_LINE */
} kv_pair;

#define KV_COMMAND_LINE "command line"

typedef struct kv_pairs {
    kv_pair *pair;
    size_t count, capacity;
} kv_pairs;

void kv_pairs_free(kv_pairs *pairs);
/* Append one pair; a later pair of the same key (case-insensitive) replaces the earlier one in place. */
int kv_pairs_add(kv_pairs *pairs, const char *key, const char *value, const char *where, pal_error *err);
/* Append all pairs of `over`, as kv_pairs_add would. */
int kv_pairs_merge(kv_pairs *pairs, const kv_pairs *over, pal_error *err);
/* The next line of *text without its comment and the white space around it; 0 at the end. A '#' at the start of a
 * line or behind white space starts a comment. */
int kv_next_line(const char **text, const char **begin, const char **end);
/* Append the pair of such a line; `name` and `number` are used in messages. */
int kv_pairs_line(kv_pairs *pairs, const char *begin, const char *end, const char *name, int number,
                  pal_error *err);
/* Append the pairs of "key = value" lines. `name` is used in messages. */
int kv_pairs_parse(kv_pairs *pairs, const char *text, const char *name, pal_error *err);
/* Append the pairs of a file of such lines. */
int kv_pairs_read(kv_pairs *pairs, const char *path, pal_error *err);
/* Append command-line words of the form key=value. PAL_USAGE for any other word. */
int kv_pairs_args(kv_pairs *pairs, int count, char *const *words, pal_error *err);
/* The value of `key`, or NULL. */
const char *kv_pairs_value(const kv_pairs *pairs, const char *key);
/* kv_set every row that has a pair; pairs of other keys are left alone. Messages about a pair that was read from a
 * file begin with the file and line. */
int kv_apply(const kv_spec *table, size_t count, void *base, const kv_pairs *pairs, pal_error *err);

/* ---- Sections: "[name]" begins one, "key = value" lines belong to it, and "from = a, b" takes over what the
 * sections a and then b hold. A section's own lines go over what it takes. ---- */

typedef struct kv_section {
    char *name, *where; /* "models/recipes/text.conf:12" */
    kv_pairs own;       /* its lines, with from */
} kv_section;

typedef struct kv_sections {
    kv_section *section;
    size_t count, capacity;
} kv_sections;

void sections_free(kv_sections *s);
/* Append the sections of a text. PAL_DATA: a line before the first "[name]", a name that is there twice, a bad
 * line. */
int sections_parse(kv_sections *s, const char *text, const char *name, pal_error *err);
/* Append the sections of a file. */
int sections_read(kv_sections *s, const char *path, pal_error *err);
/* NULL: none of that name. */
const kv_section *sections_find(const kv_sections *s, const char *name);
/* All pairs of a section, those that it takes over first. Without the key from, and without the keys of `own_only`
 * (ends with NULL) that it does not hold itself. PAL_USAGE: no section of that name (with the nearest names);
 * PAL_DATA: a `from` that names none, or leads back to itself. */
int sections_resolve(const kv_sections *s, const char *name, const char *const *own_only, kv_pairs *out,
                     pal_error *err);

#endif
