/* Labels of tables where model= wants names: finds the weights that a label means, by their hash or by the
 * journal. */
#include "harness/eval/model_labels.h"

#include "harness/eval/eval.h"
#include "harness/journal/labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char zeroed_words[] = LABEL_ZEROED;

typedef struct relabel {
    const eval_options *o;
    const task_module *task;
    char list[KV_TEXT_MAX]; /* of the new names */
    size_t used;
    int64_t names;
} relabel;

/* Take the words that name the control out of the list; returns how many there were. */
static int64_t cut_controls(char *list)
{
    int64_t count = 0;
    for (char *at = list; (at = strstr(at, zeroed_words));) {
        char *after = at + sizeof zeroed_words - 1;
        if (*after && *after != ',' && *after != '@') {
            at = after;
            continue;
        }
        memmove(at, after, strlen(after) + 1);
        count++;
    }
    return count;
}

static int append(relabel *to, const char *name, pal_error *err)
{
    size_t room = sizeof to->list - to->used;
    if (to->names++ && room > 1) {
        to->list[to->used++] = ',';
        room--;
    }
    for (; *name && room > 3; name++) {
        if (*name == ',' || *name == '\\') {
            to->list[to->used++] = '\\';
            room--;
        }
        to->list[to->used++] = *name;
        room--;
    }
    to->list[to->used] = '\0';
    if (!*name) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "model=%.60s...: a list that is too long", to->o->model);
}

/* The start of the SHA-256 of the weights of a run that the label names in the journal; "" where there is none. */
static int find_run(const relabel *to, const char *text, char digest[HASH_HEX], pal_error *err)
{
    results held;
    char path[2 * KV_TEXT_MAX];
    eval_journal_path(to->o, to->task, path, sizeof path);
    results_init(&held, to->task, path);
    digest[0] = '\0';
    const int code = journal_read(path, results_visit, &held, err);
    for (size_t i = 0; i < held.count && !digest[0]; i++)
        if (strcmp(held.cell[i].model, text) != 0 && label_fits(text, &held.cell[i]))
            memcpy(digest, held.cell[i].weights, HASH_HEX);
    results_free(&held);
    return code;
}

/* A path, with the attention that the label's model has in place of its own. */
static int append_path(relabel *to, const char *path, const label_parts *parts, pal_error *err)
{
    const char *plus = instead_find(parts->model);
    char name[2 * KV_TEXT_MAX + INSTEAD_TEXT];
    snprintf(name, sizeof name, "%s%.*s", path, INSTEAD_TEXT - 1, plus ? plus : "");
    return append(to, name, err);
}

/* The path of the weights whose digest begins so; 0: none here has. */
static int find_weights(const relabel *to, const char *hash, char path[2 * KV_TEXT_MAX])
{
    weights_file *files = NULL;
    size_t count = 0, found = 0;
    pal_error none;
    if (!hash[0] || weights_resolve("*", to->o->weights, &files, &count, &none) != PAL_OK) return 0;
    for (size_t i = 0; i < count && !found; i++) {
        st_file f;
        if (st_read(files[i].path, &f, &none) != PAL_OK) continue;
        found = strncmp(f.digest, hash, strlen(hash)) == 0;
        if (found) memcpy(path, files[i].path, 2 * KV_TEXT_MAX);
        st_free(&f);
    }
    free(files);
    return found != 0;
}

static int take(void *arg, const char *name, pal_error *err)
{
    relabel *to = arg;
    label_parts parts;
    weights_file *files = NULL;
    size_t count;
    pal_error none;
    char digest[HASH_HEX], path[2 * KV_TEXT_MAX];
    if (!label_read(name, &parts) || !parts.hash[0]) return append(to, name, err);
    /* A file may be called like a label. */
    const int plain = weights_resolve_for(to->task->name, name, to->o->weights, &files, &count, &none) == PAL_OK;
    free(files);
    if (plain) return append(to, name, err);
    if (find_weights(to, parts.hash, path)) return append_path(to, path, &parts, err);
    PAL_TRY(find_run(to, name, digest, err));
    if (find_weights(to, digest, path)) return append_path(to, path, &parts, err);
    if (digest[0])
        return pal_fail(err, PAL_USAGE, "model=%s: its weights have SHA-256 %.12s, and are not in %s", name,
                        digest, to->o->weights);
    return pal_fail(err, PAL_USAGE, "model=%s: no weights in %s and no run in %s have that hash", name,
                    to->o->weights, to->o->results);
}

int model_labels(eval_options *o, const task_module *task, pal_error *err)
{
    if (!strchr(o->model, '@') && !strstr(o->model, zeroed_words)) return PAL_OK;
    relabel to = {.o = o, .task = task};
    char list[KV_TEXT_MAX];
    memcpy(list, o->model, sizeof list);
    const int64_t controls = cut_controls(list);
    PAL_TRY(kv_each_name("model", list, take, &to, err));
    if (controls && controls < to.names && o->memory != MEMORY_BOTH)
        return pal_fail(err, PAL_USAGE, "model=%.200s: names controls beside models; give memory=both", o->model);
    if (controls && o->memory == MEMORY_KEPT) o->memory = MEMORY_ZEROED;
    memcpy(o->model, to.list, sizeof o->model);
    return PAL_OK;
}
