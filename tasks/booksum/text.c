/* Where the texts of a split are, and how a text and its summary become tokens. */
#include "tasks/booksum/text.h"

#include "datasets/corpus/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

void booksum_tokens_free(booksum_tokens *t)
{
    free(t->token);
    *t = (booksum_tokens){0};
}

int booksum_is_stories(const char *data)
{
    return strcasecmp(data, BOOKSUM_STORIES) == 0;
}

int booksum_story_split(const char *name, story_split *out, pal_error *err)
{
    for (int i = 0; i < SPLITS; i++) {
        if (strcasecmp(split_canonical(name), split_name((size_t)i)) != 0) continue;
        *out = (story_split)i;
        return PAL_OK;
    }
    return pal_fail(err, PAL_USAGE, "booksum: split=%s: stories have the splits train, validation and test", name);
}

static int is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

int booksum_find(const char *data, const char *split, char path[BOOKSUM_PATH], int *whole, pal_error *err)
{
    static const char *const form[] = {"%s-%s.jsonl", "%s-%s.jsonl.gz", "%s/%s.jsonl", "%s/%s.jsonl.gz",
                                       "%s-%s.csv",   "%s-%s.csv.gz",   "%s/%s.csv",   "%s/%s.csv.gz"};
    const char *spelling;
    snprintf(path, BOOKSUM_PATH, "%s", data);
    *whole = is_file(path);
    if (*whole) return PAL_OK;
    for (size_t k = 0; (spelling = split_spelling(split, k)); k++)
        for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
            snprintf(path, BOOKSUM_PATH, form[i], data, spelling);
            if (is_file(path)) return PAL_OK;
        }
    return pal_fail(err, PAL_USAGE,
                    "booksum: data=%s: no such file, and no %s-%s.jsonl or %s/%s.jsonl (or .csv, or .gz) either; "
                    "give one of these, or data=" BOOKSUM_STORIES,
                    data, data, split, data, split);
}

int booksum_encode(const tokenizer *t, const char *text, size_t size, booksum_tokens *out, pal_error *err)
{
    out->token = malloc((tokenizer_room(t, size) + 1) * sizeof *out->token);
    if (!out->token) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for a text of %zu bytes", size);
    out->count = tokenizer_encode(t, text, size, out->token);
    int32_t *fitted = realloc(out->token, (out->count + 1) * sizeof *fitted);
    if (fitted) out->token = fitted;
    return PAL_OK;
}

int booksum_encode_summary(const tokenizer *t, const char *text, size_t size, booksum_tokens *out, pal_error *err)
{
    char stop = '\0', *flat = malloc(size + 1);
    if (!flat) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for a summary of %zu bytes", size);
    memcpy(flat, text, size);
    if (tokenizer_token_text(t, tokenizer_begin(t), &stop, 1) == 1)
        for (size_t i = 0; i < size; i++)
            if (flat[i] == stop) flat[i] = ' ';
    const int code = booksum_encode(t, flat, size, out, err);
    free(flat);
    if (code == PAL_OK) out->token[out->count++] = tokenizer_begin(t); /* there is room for one more */
    return code;
}
