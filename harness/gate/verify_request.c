/* The request of a sample that a journal holds: the words that it was asked for with, opened again and checked. */
#include "harness/gate/verify_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 48, WORD_TEXT = KV_OUT_MAX + 64 };

typedef struct words {
    char text[WORDS_MAX][WORD_TEXT];
    char *word[WORDS_MAX];
    int count;
} words;

static int add_word(words *w, const char *key, const char *value, pal_error *err)
{
    if (w->count == WORDS_MAX || snprintf(w->text[w->count], WORD_TEXT, "%s=%s", key, value) >= WORD_TEXT)
        return pal_fail(err, PAL_DATA, "the journal's request is too long");
    w->word[w->count] = w->text[w->count];
    w->count++;
    return PAL_OK;
}

/* The words that the journal has of the cell. As many samples as were ever asked for, so that the drawn one is
 * among them. A value may hold spaces: what has no '=' belongs to the word before. */
static int add_request(words *w, const task_module *task, const result_cell *cell, pal_error *err)
{
    char request[RESULT_TEXT];
    memcpy(request, cell->request, sizeof request);
    int64_t most = 0;
    for (size_t i = 0; i < cell->asked_count; i++)
        if (cell->asked[i] > most) most = cell->asked[i];
    for (char *at = request; at && *at;) {
        char *value = strchr(at, '=');
        if (!value) return pal_fail(err, PAL_DATA, "the journal's request cannot be read: %s", cell->request);
        *value++ = '\0';
        char *next = strchr(value, '='), *end = next ? memrchr(value, ' ', (size_t)(next - value)) : NULL;
        if (end) *end = '\0';
        PAL_TRY(add_word(w, at, value, err));
        at = end ? end + 1 : NULL;
    }
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)most);
    return task->eval->keys.count ? add_word(w, task->eval->keys.count, number, err) : PAL_OK;
}

static int add_model(words *w, const verify_source *from, pal_error *err)
{
    const char *instead = from->cell->facts.instead;
    char model[2 * KV_TEXT_MAX + INSTEAD_TEXT + 2];
    snprintf(model, sizeof model, "%s%s%s", from->weights, instead[0] ? "+" : "", instead);
    PAL_TRY(add_word(w, "model", model, err));
    /* Rounded weights are named with the core; the others have the bits of any form. */
    return strstr(from->cell->blas_core, "bf16 weights") ? add_word(w, "hold", "bf16", err) : PAL_OK;
}

int verify_open(const verify_source *from, eval_request *r, int *absent, pal_error *err)
{
    words *w = calloc(1, sizeof *w);
    if (!w) return pal_fail(err, PAL_INTERNAL, "out of memory for a request");
    int code = add_word(w, "task", from->task->name, err);
    if (code == PAL_OK) code = add_model(w, from, err);
    if (code == PAL_OK && from->tokenizer[0]) code = add_word(w, "tokenizer", from->tokenizer, err);
    if (code == PAL_OK) code = add_request(w, from->task, from->cell, err);
    if (code == PAL_OK) code = eval_request_read(r, w->count, w->word, LOAD_NOTHING, err);
    if (code == PAL_OK) {
        eval_request_free(r);
        code = eval_request_read(r, w->count, w->word, LOAD_ALL, err);
        *absent = code == PAL_USAGE || code == PAL_DATA;
    }
    free(w);
    return code;
}

int verify_check(const eval_request *r, const verify_source *from, const task_cell **found, pal_error *err)
{
    const result_cell *cell = from->cell;
    char settings[RESULT_TEXT];
    *found = NULL;
    for (size_t i = 0; i < r->cell_count; i++)
        if (strcmp(r->cell[i].name, cell->name) == 0) *found = &r->cell[i];
    if (!*found || (*found)->samples <= from->index)
        return pal_fail(err, PAL_DATA, "%s sample %lld: this build has no such sample for the journal's words: %s",
                        cell->name, (long long)from->index, cell->request);
    if (strcmp((*found)->data, cell->data) != 0)
        return pal_fail(err, PAL_DATA,
                        "%s: the texts are no longer the journal's: their digest was %.12s and is %.12s; restore "
                        "them",
                        cell->name, cell->data, (*found)->data);
    if (strcmp(tokenizer_digest(r->tokenizer), cell->tokenizer) != 0)
        return pal_fail(err, PAL_DATA,
                        "%s: the journal's tokenizer has digest %.12s, this one %.12s; name the right one with "
                        "tokenizer=",
                        cell->name, cell->tokenizer, tokenizer_digest(r->tokenizer));
    PAL_TRY(eval_cell_settings(r, *found, r->options.memory == MEMORY_ZEROED, settings, sizeof settings, err));
    if (strcmp(settings, cell->settings) != 0)
        return pal_fail(err, PAL_DATA, "%s: the journal's settings were %s, this build's are %s", cell->name,
                        cell->settings, settings);
    return PAL_OK;
}
