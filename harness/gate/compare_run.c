#include "harness/gate/compare.h"

#include "harness/base/os.h"
#include "harness/eval/facts.h"
#include "harness/eval/model_files.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_TEXT = 2 * KV_TEXT_MAX };

/* ---- Where the journals are ---- */

/* The task of a journal's first record, into a char[64]. */
static int take_task(void *arg, const char *line, size_t size, int64_t number, pal_error *err)
{
    (void)err;
    if (number > 1) return PAL_OK;
    json_t *object = json_loadb(line, size, JSON_ALLOW_NUL, NULL);
    const char *task = json_string_value(json_object_get(object, "task"));
    snprintf(arg, 64, "%s", task ? task : "");
    json_decref(object);
    return PAL_OK;
}

/* One side of the comparison: a directory, or a journal of one task. */
typedef struct side {
    const char *path;
    int is_dir;
    char task[64]; /* of the one journal */
} side;

static int find_side(side *s, const char *key, const char *path, pal_error *err)
{
    struct stat info;
    *s = (side){.path = path};
    if (!path[0])
        return pal_fail(err, PAL_USAGE,
                        "%s is missing; type: palimpsest compare A B, each a journal or a directory", key);
    if (stat(path, &info) != 0)
        return pal_fail(err, PAL_USAGE, "%s: no such file or directory; %s is a journal or a directory of results",
                        path, key);
    s->is_dir = S_ISDIR(info.st_mode);
    if (s->is_dir) return PAL_OK;
    PAL_TRY(journal_read(path, take_task, s->task, err));
    if (!task_find(s->task)) return pal_fail(err, PAL_DATA, "%s:1: not a journal of a known task", path);
    return PAL_OK;
}

/* The path of the task's journal; 0: this side has none. */
static int side_journal(const side *s, const task_module *task, char out[PATH_TEXT])
{
    if (!s->is_dir) {
        snprintf(out, PATH_TEXT, "%s", s->path);
        return task_find(s->task) == task;
    }
    snprintf(out, PATH_TEXT, "%s/%s-journal.jsonl", s->path, task->name);
    return os_file_exists(out);
}

/* ---- The whole comparison ---- */

static int add_task(comparison *c, const task_module *task, const char *path_a, const char *path_b,
                    compare_models models, int64_t *outdated, pal_error *err)
{
    results a, b;
    results_init(&a, task, path_a);
    results_init(&b, task, path_b);
    int code = facts_read_journal(&a, WEIGHTS_DIR, err);
    if (code == PAL_OK) code = facts_read_journal(&b, WEIGHTS_DIR, err);
    if (code == PAL_OK) {
        results_note(&a, stderr);
        results_note(&b, stderr);
    }
    if (code == PAL_OK) code = compare_add(c, &a, &b, models, err);
    *outdated += a.outdated + b.outdated;
    results_free(&a);
    results_free(&b);
    return code;
}

static int add_all(comparison *c, const compare_options *o, pal_error *err)
{
    side a, b;
    PAL_TRY(find_side(&a, "a", o->a, err));
    PAL_TRY(find_side(&b, "b", o->b, err));
    const task_module *only = o->task[0] ? task_find(o->task) : NULL;
    if (o->task[0] && !only)
        return pal_fail(err, PAL_USAGE, "task=%s: no such task; see `palimpsest list`", o->task);
    int64_t outdated = 0;
    size_t tasks = 0;
    for (size_t i = 0; task_table[i]; i++) {
        char path_a[PATH_TEXT], path_b[PATH_TEXT];
        const task_module *task = task_table[i];
        if (only && only != task) continue;
        if (!side_journal(&a, task, path_a) || !side_journal(&b, task, path_b)) continue;
        tasks++;
        PAL_TRY(add_task(c, task, path_a, path_b, (compare_models){o->model_a, o->model_b}, &outdated, err));
    }
    if (tasks == 0)
        return pal_fail(err, PAL_USAGE, "nothing to compare: %s and %s hold no journal of the same task", o->a,
                        o->b);
    if (c->count == 0)
        return pal_fail(err, PAL_USAGE,
                        "nothing to compare: no complete cell of the same name, texts, tokenizer and settings "
                        "(%zu only in A, %zu only in B, %lld records of other versions); model_a= and model_b= "
                        "pair models of different names",
                        c->only_a, c->only_b, (long long)outdated);
    return PAL_OK;
}

int compare_run(const compare_options *o, FILE *out, pal_error *err)
{
    comparison c = {.alpha = o->alpha};
    int code = add_all(&c, o, err);
    if (code == PAL_OK) code = compare_judge(&c, err);
    if (code == PAL_OK) compare_print(&c, out);
    if (code == PAL_OK && c.worse)
        code = pal_fail(err, PAL_GATE, "%s is significantly worse than %s in %zu of %zu comparisons", o->b, o->a,
                        c.worse, c.count);
    compare_free(&c);
    return code;
}

/* ---- The command ---- */

#define AT(field) offsetof(compare_options, field)

static const kv_spec options_table[] = {
    {"a", KV_TEXT, AT(a), "", 0, 0, NULL, "what to compare with; the first word without a key"},
    {"b", KV_TEXT, AT(b), "", 0, 0, NULL, "what may be worse; the second word without a key"},
    {"task", KV_TEXT, AT(task), "", 0, 0, NULL, "only this task; else every one that both hold"},
    {"model_a", KV_TEXT, AT(model_a), "", 0, 0, NULL,
     "only this model of A; NAME@SHA picks one of several weights of a name"},
    {"model_b", KV_TEXT, AT(model_b), "", 0, 0, NULL, "the model of B that it meets; else the same"},
    {"alpha", KV_REAL, AT(alpha), "0.05", 1e-6, 0.5, NULL, "level of the tests; the intervals are at 1 - alpha"},
};

static const char *const places[] = {"a", "b", NULL};

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    return compare_run(options, stdout, err);
}

const pal_command compare_command = {
    .name = "compare",
    .summary = "compare two journals sample by sample; exit code 1 if the second is worse",
    .note =
        "`compare A B` reads two journals, or all those of two directories of results, and pairs their samples.\n",
    .examples = "compare before after\n"
                "compare results/reference results task=passkey\n"
                "compare . . model_a=passkey-local model_b=passkey-infini-delta\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(compare_options),
    .words = places,
    .run = run,
};
