/* Writes commands out of what a journal says of a cell: its task, model, and the words of its request. */
#include "harness/report/again.h"

#include "harness/base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The length of the key that `at` begins with, if it is one of the task's requests or of the control; else 0. */
static size_t key_at(const task_module *task, const char *at)
{
    const size_t size = strcspn(at, "= ");
    char key[64];
    if (at[size] != '=' || size == 0 || size >= sizeof key) return 0;
    snprintf(key, sizeof key, "%.*s", (int)size, at);
    return strcmp(key, "memory") == 0 || kv_find(task->eval->request_table, task->eval->request_count, key) ? size
                                                                                                            : 0;
}

/* Where the word at `at` ends. A value may hold spaces: the next word begins where a known key does. */
static size_t word_size(const task_module *task, const char *at)
{
    const char *end = at;
    do end += 1 + strcspn(end + 1, " ");
    while (*end && !key_at(task, end + 1));
    return (size_t)(end - at);
}

static int is_key(const char *word, const char *key)
{
    const size_t size = strlen(key);
    return strncmp(word, key, size) == 0 && word[size] == '=';
}

/* All words of the request but those of the keys in the NULL-terminated list. */
static void put_request(FILE *out, const task_module *task, const result_cell *cell, const char *const *without)
{
    for (const char *at = cell->request; *at; at += *at == ' ') {
        const size_t size = word_size(task, at);
        char word[RESULT_TEXT];
        size_t skip = 0;
        snprintf(word, sizeof word, "%.*s", (int)size, at);
        at += size;
        while (without[skip] && !is_key(word, without[skip])) skip++;
        if (without[skip]) continue;
        fputc(' ', out);
        text_shell(out, word);
    }
}

static void put_pair(FILE *out, const char *key, const char *value)
{
    char word[2 * KV_TEXT_MAX];
    snprintf(word, sizeof word, "%s=%s", key, value);
    fputc(' ', out);
    text_shell(out, word);
}

void again_eval(FILE *out, const task_module *task, const result_cell *cell)
{
    static const char *const none[] = {NULL};
    fprintf(out, "build/palimpsest eval task=%s", task->name);
    if (cell->kind == RESULT_REFERENCE)
        fputs(" references=1", out);
    else
        put_pair(out, "model", cell->model);
    put_request(out, task, cell, none);
}

void again_request(FILE *out, const task_module *task, const result_cell *cell)
{
    static const char *const none[] = {NULL};
    fprintf(out, "build/palimpsest eval task=%s", task->name);
    put_request(out, task, cell, none);
}

void again_show(FILE *out, const task_module *task, const result_cell *cell)
{
    static const char *const documents[] = {"n", "docs", "memory", NULL};
    static const char *const lengths[] = {"n", "docs", "memory", "len", "depths", NULL};
    fprintf(out, "build/palimpsest show task=%s", task->name);
    if (cell->tokenizer[0]) {
        char digest[AGAIN_DIGEST + 1];
        snprintf(digest, sizeof digest, "%.*s", AGAIN_DIGEST, cell->tokenizer);
        put_pair(out, "tokenizer", digest);
    }
    if (cell->extent == RESULT_LENGTH) {
        char size[24], depth[32];
        put_pair(out, "len", kv_format_size(cell->length, size));
        snprintf(depth, sizeof depth, "%.10g", cell->depth);
        if (isfinite(cell->depth)) put_pair(out, "depths", depth);
    }
    put_request(out, task, cell, cell->extent == RESULT_LENGTH ? lengths : documents);
    if (cell->extent == RESULT_DOCUMENTS) put_pair(out, "cell", cell->name);
    fputs(" index=", out);
}

char *again_text(again_put *put, const task_module *task, const result_cell *cell)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    put(out, task, cell);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
