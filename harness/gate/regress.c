/* The regression gate: losses of models on a slice of text, and of one model trained here, against a baseline. */
#include "harness/gate/regress.h"

#include "harness/base/home.h"
#include "harness/base/os.h"
#include "harness/base/utf8.h"
#include "harness/cli/progress.h"
#include "harness/eval/model_files.h"
#include "harness/eval/plan.h"
#include "harness/gate/baseline.h"
#include "harness/train/recipes.h"
#include "harness/train/train.h"
#include "models/engine/gemm.h"
#include "models/engine/pool.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { PATH_TEXT = 2 * KV_TEXT_MAX };

typedef struct gate {
    const regress_options *o;
    pool *pool;
    baseline now;
    progress progress;
    size_t models, done; /* the one trained here included */
} gate;

/* ---- One model on the slice ---- */

/* The first task that measures bits of a text, and its metric of them. */
static const task_module *text_task(const task_metric **bits)
{
    for (size_t i = 0; task_table[i]; i++)
        for (size_t m = 0; m < task_table[i]->metric_count; m++) {
            if (task_table[i]->metric[m].kind != METRIC_BITS) continue;
            *bits = &task_table[i]->metric[m];
            return task_table[i];
        }
    *bits = NULL;
    return NULL;
}

typedef struct evaluation {
    gate *gate;
    const task_module *task;
    const task_metric *bits;
    baseline_row row; /* name, core and weights of all rows */
    double nll, bytes;
    double read, tokens; /* so far, in all */
} evaluation;

static int add_row(gate *g, const baseline_row *like, const char *metric, double value, pal_error *err)
{
    baseline_row row = *like;
    row.value = value;
    if ((size_t)snprintf(row.metric, sizeof row.metric, "%s", metric) >= sizeof row.metric)
        return pal_fail(err, PAL_USAGE, "%s: the name is too long for a baseline; shorten it", metric);
    return baseline_add(&g->now, &row, err);
}

/* A batch_setup.done: a row for each document. */
static int on_document(void *arg, const batch_item *item, const batch_result *result, pal_error *err)
{
    (void)item;
    evaluation *e = arg;
    json_t *record = json_loads(result->record, 0, NULL);
    const char *name = json_string_value(json_object_get(record, e->task->target));
    char metric[KV_TEXT_MAX];
    snprintf(metric, sizeof metric, "%s/%s", e->task->value[e->bits->value], name ? name : "?");
    json_decref(record);
    const double nll = result->value[e->bits->value];
    e->nll += nll;
    e->bytes += result->value[e->bits->over];
    return add_row(e->gate, &e->row, metric, nll, err);
}

static void on_progress(void *arg, uint64_t tokens, double computed)
{
    (void)computed;
    evaluation *e = arg;
    e->read += (double)tokens;
    progress_update(&e->gate->progress, (double)e->gate->done + e->read / e->tokens, e->row.name);
}

static int run_plan(evaluation *e, const eval_request *r, const plan *p, pal_error *err)
{
    const plan_part *part = &p->part[0];
    if (part->skip[0]) return pal_fail(err, PAL_USAGE, "%s; leave it out with model=", part->skip);
    e->tokens = part->work;
    const batch_setup setup = {.d = part->model->decoder,
                               .threads = e->gate->pool,
                               .task = r->task,
                               .run = r->run,
                               .done = on_document,
                               .progress = on_progress,
                               .arg = e};
    batch_runner *runner;
    PAL_TRY(batch_open(&runner, &setup, err));
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < part->group_count; i++)
        code = batch_run(runner, part->item, &part->group[i], err);
    batch_close(runner);
    return code;
}

/* Add the rows of a model, with the attention behind its '+'. name NULL: its own, and its digest; else it was
 * trained here, so that its digest is a result. */
static int evaluate(gate *g, const char *name, const weights_file *file, pal_error *err)
{
    char model[PATH_TEXT + INSTEAD_TEXT + 8], data[KV_TEXT_MAX + 8], named[64], split[64];
    snprintf(model, sizeof model, "model=%s%s%s", file->path, file->instead[0] ? "+" : "", file->instead);
    const task_metric *bits;
    const task_module *task = text_task(&bits);
    if (!task) return pal_fail(err, PAL_INTERNAL, "no task measures the loss on a text");
    snprintf(named, sizeof named, "task=%s", task->name);
    snprintf(split, sizeof split, "%s=test", task->eval->keys.split);
    snprintf(data, sizeof data, "%s=%s", task->eval->keys.texts, g->o->data);
    char *const words[] = {named, split, model, data};
    eval_request r;
    PAL_TRY(eval_request_read(&r, sizeof words / sizeof *words, words, LOAD_ALL, err));
    r.threads = pool_threads(g->pool);
    evaluation e = {.gate = g, .task = r.task, .bits = bits};
    snprintf(e.row.name, sizeof e.row.name, "%s", name ? name : r.model[0].file.name);
    if (!name) memcpy(e.row.weights, r.model[0].info.digest, sizeof e.row.weights);
    plan p = {0};
    int code = plan_make(&p, &r, NULL, NULL, NULL, err);
    if (code == PAL_OK) decoder_core(r.model[0].decoder, e.row.blas_core, sizeof e.row.blas_core);
    if (code == PAL_OK) code = run_plan(&e, &r, &p, err);
    if (code == PAL_OK) code = add_row(g, &e.row, bits->name, e.nll / e.bytes / log(2), err);
    plan_free(&p);
    eval_request_free(&r);
    g->done++;
    return code;
}

/* ---- The model trained here ---- */

static int read_recipe(const regress_options *o, const char *dir, kv_pairs *recipe, pal_error *err)
{
    char path[PATH_TEXT], threads[24];
    int code = recipe_read(o->recipe, o->recipes, recipe, err);
    snprintf(threads, sizeof threads, "%lld", (long long)o->threads);
    if (code == PAL_OK) code = kv_pairs_add(recipe, "threads", threads, "regress", err);
    if (code == PAL_OK) code = kv_pairs_add(recipe, "data", o->data, "regress", err);
    snprintf(path, sizeof path, "%s/tiny.safetensors", dir);
    if (code == PAL_OK) code = kv_pairs_add(recipe, "out", path, "regress", err);
    snprintf(path, sizeof path, "%s/tiny.csv", dir);
    if (code == PAL_OK) code = kv_pairs_add(recipe, "log", path, "regress", err);
    const char *task = kv_pairs_value(recipe, "task");
    const task_metric *bits;
    const task_module *wanted = text_task(&bits);
    if (code == PAL_OK && (!task || !wanted || strcasecmp(task, wanted->name) != 0))
        code = pal_fail(err, PAL_USAGE, "recipe=%s: the recipe should have task = %s", o->recipe,
                        wanted ? wanted->name : "one that measures the loss on a text");
    return code;
}

/* The kernels that made the losses: those of a model of this shape. */
static int core_of(const char *weights, char *out, size_t size, pal_error *err)
{
    decoder *d;
    PAL_TRY(checkpoint_load(weights, &d, NULL, err));
    decoder_core(d, out, size);
    decoder_destroy(d);
    return PAL_OK;
}

/* A row for each row of the training log: step,length,tokens,loss,... */
static int add_losses(gate *g, const char *path, const char *weights, pal_error *err)
{
    char *text, metric[48];
    baseline_row row = {.name = REGRESS_TRAINED};
    PAL_TRY(core_of(weights, row.blas_core, sizeof row.blas_core, err));
    PAL_TRY(utf8_read_text(path, &text, err));
    char *rest = text;
    strsep(&rest, "\n"); /* the head */
    int code = PAL_OK;
    for (char *line; code == PAL_OK && (line = strsep(&rest, "\n")) && *line;) {
        long long step;
        double loss;
        if (sscanf(line, "%lld,%*[^,],%*[^,],%lf", &step, &loss) != 2)
            code = pal_fail(err, PAL_INTERNAL, "%s: a row of the training log cannot be read: %s", path, line);
        snprintf(metric, sizeof metric, "loss@%lld", step);
        if (code == PAL_OK) code = add_row(g, &row, metric, loss, err);
    }
    free(text);
    return code;
}

static void remove_folder(const char *dir)
{
    DIR *handle = opendir(dir);
    for (struct dirent *item; handle && (item = readdir(handle));)
        if (item->d_name[0] != '.') unlinkat(dirfd(handle), item->d_name, 0);
    if (handle) closedir(handle);
    rmdir(dir);
}

static int train_in(gate *g, const char *dir, pal_error *err)
{
    kv_pairs recipe = {0};
    char path[PATH_TEXT];
    weights_file trained = {.name = REGRESS_TRAINED};
    FILE *quiet = fopen("/dev/null", "w");
    int code = quiet ? PAL_OK : pal_fail(err, PAL_INTERNAL, "cannot open /dev/null");
    if (code == PAL_OK) code = read_recipe(g->o, dir, &recipe, err);
    if (code == PAL_OK) code = train_run(&recipe, quiet, err);
    if (quiet) fclose(quiet);
    kv_pairs_free(&recipe);
    snprintf(path, sizeof path, "%s/tiny.csv", dir);
    snprintf(trained.path, sizeof trained.path, "%s/tiny.safetensors", dir);
    if (code == PAL_OK) code = add_losses(g, path, trained.path, err);
    if (code == PAL_OK) code = evaluate(g, REGRESS_TRAINED, &trained, err);
    return code;
}

static int retrain(gate *g, pal_error *err)
{
    const char *base = getenv("TMPDIR");
    char dir[KV_TEXT_MAX];
    snprintf(dir, sizeof dir, "%s/palimpsest-regress-XXXXXX", base && base[0] ? base : "/tmp");
    if (!mkdtemp(dir))
        return pal_fail(err, PAL_INTERNAL, "cannot make %s; let TMPDIR name a folder that can be written to", dir);
    const int code = train_in(g, dir, err);
    remove_folder(dir);
    return code;
}

/* ---- All of them ---- */

static int trained_on(const task_module *wanted, const weights_file *file, int *is, pal_error *err)
{
    st_file f;
    PAL_TRY(st_read(file->path, &f, err));
    const char *task = kv_pairs_value(&f.metadata, "task");
    *is = task && strcasecmp(task, wanted->name) == 0;
    st_free(&f);
    return PAL_OK;
}

/* Keep the files of models that the gate is for: all that are named, or those that were trained on text. */
static int find_models(const regress_options *o, weights_file **files, size_t *count, pal_error *err)
{
    const task_metric *bits;
    const task_module *task = text_task(&bits);
    if (!task) return pal_fail(err, PAL_INTERNAL, "no task measures the loss on a text");
    PAL_TRY(weights_resolve_for(task->name, o->model, o->weights, files, count, err));
    size_t kept = 0;
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < *count; i++) {
        int is = 1;
        if (strcmp(o->model, "all") == 0) code = trained_on(task, &(*files)[i], &is, err);
        if (is) (*files)[kept++] = (*files)[i];
    }
    *count = kept;
    if (code != PAL_OK) free(*files);
    return code;
}

static int measure(gate *g, FILE *log, pal_error *err)
{
    weights_file *files;
    size_t count;
    PAL_TRY(find_models(g->o, &files, &count, err));
    g->models = count + 1;
    progress_start(&g->progress, log, "regress", (double)g->models, 0, NULL);
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < count; i++) code = evaluate(g, NULL, &files[i], err);
    free(files);
    if (code == PAL_OK) code = retrain(g, err);
    progress_clear(&g->progress);
    return code;
}

/* Which rows this run can speak of. */
static int asked(const gate *g, const baseline_row *row)
{
    if (strcmp(g->o->model, "all") == 0) return 1;
    for (size_t i = 0; i < g->now.count; i++)
        if (strcmp(g->now.row[i].name, row->name) == 0) return 1;
    return 0;
}

static int read_baseline(const gate *g, int want_asked, baseline *out, pal_error *err)
{
    PAL_TRY(baseline_read(out, g->o->baseline, err));
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++)
        if (asked(g, &out->row[i]) == want_asked) out->row[kept++] = out->row[i];
    out->count = kept;
    return PAL_OK;
}

static int update(const gate *g, FILE *out, pal_error *err)
{
    baseline all = {0};
    int code = os_file_exists(g->o->baseline) ? read_baseline(g, 0, &all, err) : PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < g->now.count; i++) code = baseline_add(&all, &g->now.row[i], err);
    if (code == PAL_OK) code = baseline_write(&all, g->o->baseline, err);
    if (code == PAL_OK)
        fprintf(out, "wrote %s: %zu rows, %zu of them measured now\n", g->o->baseline, all.count, g->now.count);
    baseline_free(&all);
    return code;
}

static int compare(const gate *g, FILE *out, pal_error *err)
{
    baseline then;
    PAL_TRY(read_baseline(g, 1, &then, err));
    const size_t different = baseline_compare(&then, &g->now, out);
    baseline_free(&then);
    if (different == 0) return PAL_OK;
    return pal_fail(err, PAL_GATE,
                    "rows that differ from %s: %zu; if that is intended, commit new ones: make regress-update",
                    g->o->baseline, different);
}

int regress_run(const regress_options *o, FILE *out, FILE *log, pal_error *err)
{
    gate g = {.o = o};
    const int threads = o->threads ? (int)o->threads : os_processors();
    /* What can be known about it is said before minutes of measuring. */
    int code = os_check_regular(o->baseline, err);
    if (code == PAL_OK) code = gemm_setup(threads, err);
    if (code == PAL_OK) code = pool_create(&g.pool, threads, err);
    if (code == PAL_OK) code = measure(&g, log, err);
    if (code == PAL_OK) code = o->update ? update(&g, out, err) : compare(&g, out, err);
    baseline_free(&g.now);
    pool_destroy(g.pool);
    return code;
}

/* ---- The command ---- */

#define AT(field) offsetof(regress_options, field)

static const kv_spec options_table[] = {
    {"baseline", KV_TEXT, AT(baseline), "results/expected/baseline.csv", 0, 0, KV_HOME,
     "what the losses are held against"},
    {"update", KV_CHOICE, AT(update), "0", 0, 0, "0|1", "1: write the baseline instead"},
    {"model", KV_TEXT, AT(model), "all", 0, 0, NULL,
     "all that were trained on text, or a list as in an eval; the rows of others are then left alone"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, KV_HOME, "directory of the shipped models"},
    {"data", KV_TEXT, AT(data), "datasets/slice", 0, 0, NULL, "the text: the test split of a corpus"},
    {"recipe", KV_TEXT, AT(recipe), "regress", 0, 0, NULL, "of the tiny model that is trained on that text"},
    {"recipes", KV_TEXT, AT(recipes), HOME_RECIPES, 0, 0, KV_HOME, "folder of recipes, or one file of your own"},
    {"threads", KV_INT, AT(threads), "0", 0, POOL_MAX_THREADS, NULL,
     "0: all processors; the results do not depend on it"},
};

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    return regress_run(options, stdout, stderr, err);
}

const pal_command regress_command = {
    .name = "regress",
    .summary = "compare losses with the committed baseline; exit code 1 if one moved",
    .note = "With the baseline's BLAS core every bit must agree. With another one small relative differences are "
            "allowed (harness/gate/baseline.h).\n",
    .examples = "regress\n"
                "regress update=1 baseline=new.csv\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(regress_options),
    .run = run,
};
