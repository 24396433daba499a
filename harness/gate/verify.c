/* Verification: computes drawn samples of a journal again and compares every value. */
#include "harness/gate/verify.h"

#include "harness/base/home.h"
#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "harness/eval/model_files.h"
#include "harness/eval/request.h"
#include "harness/gate/verify_request.h"
#include "harness/gate/verify_values.h"
#include "harness/report/report.h"
#include "models/engine/gemm.h"
#include "models/engine/pool.h"
#include "models/import/import.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_TEXT = 2 * KV_TEXT_MAX };

/* Weights that are here, by their digest. */
typedef struct found_weights {
    char path[PATH_TEXT], digest[HASH_HEX];
} found_weights;

/* A sample that was drawn. */
typedef struct pick {
    const result_cell *cell;
    int64_t index;
    const char *path; /* of its weights; NULL: they are not here */
} pick;

typedef struct verifier {
    const verify_options *o;
    FILE *out;
    pool *pool, *one; /* all threads, and one */
    found_weights *weights;
    size_t weights_count;
    int foreign; /* the models of other programs are among them */
    size_t verified, different;
    size_t near, ties; /* samples that agree within the tolerance, and of these some with other choices */
    size_t skipped;    /* their weights or texts are not here */
} verifier;

/* ---- Weights ---- */

static int add_weights(verifier *v, const char *path, const char digest[HASH_HEX], pal_error *err)
{
    found_weights *grown = realloc(v->weights, (v->weights_count + 1) * sizeof *grown);
    if (!grown) return pal_fail(err, PAL_INTERNAL, "out of memory for the list of weights");
    v->weights = grown;
    found_weights *w = &grown[v->weights_count++];
    snprintf(w->path, sizeof w->path, "%s", path);
    memcpy(w->digest, digest, sizeof w->digest);
    return PAL_OK;
}

/* A file that cannot be read is none that a journal could name. */
static int list_weights(verifier *v, pal_error *err)
{
    weights_file *files;
    size_t count;
    pal_error none;
    if (weights_resolve("all", v->o->weights, &files, &count, &none) != PAL_OK) return PAL_OK;
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < count; i++) {
        st_file f;
        if (st_read(files[i].path, &f, &none) != PAL_OK) continue;
        code = add_weights(v, files[i].path, f.digest, err);
        st_free(&f);
    }
    free(files);
    return code;
}

static int add_foreign(verifier *v, const char *path, pal_error *err)
{
    imported *m;
    pal_error none;
    char digest[HASH_HEX];
    if (!import_is_foreign(path) || import_open(&m, path, &none) != PAL_OK) return PAL_OK;
    import_digest(m, NULL, NULL, digest);
    import_close(m);
    return add_weights(v, path, digest, err);
}

/* Models of other programs: the place itself may be one, or hold GGUF files and folders. They are large: digested
 * only when a journal names weights that are none of this program. */
static int list_foreign(verifier *v, pal_error *err)
{
    char place[KV_TEXT_MAX], path[PATH_TEXT];
    const char *dir = home_path(v->o->weights, place);
    DIR *handle = opendir(dir);
    int code = add_foreign(v, dir, err);
    for (struct dirent *entry; handle && code == PAL_OK && (entry = readdir(handle));)
        if (entry->d_name[0] != '.' && snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) < (int)sizeof path)
            code = add_foreign(v, path, err);
    if (handle) closedir(handle);
    v->foreign = 1;
    return code;
}

static const char *known_weights(const verifier *v, const result_cell *cell)
{
    for (size_t i = 0; i < v->weights_count; i++)
        if (strcmp(v->weights[i].digest, cell->weights) == 0) return v->weights[i].path;
    return NULL;
}

/* *path: of a cell's weights; NULL: they are not here. */
static int find_weights(verifier *v, const result_cell *cell, const char **path, pal_error *err)
{
    *path = known_weights(v, cell);
    if (*path || v->foreign) return PAL_OK;
    PAL_TRY(list_foreign(v, err));
    *path = known_weights(v, cell);
    return PAL_OK;
}

/* ---- Drawing ---- */

/* All finished samples that a model made; *out is malloc'ed. */
static int list_samples(const results *r, pick **out, size_t *count, pal_error *err)
{
    size_t room = 0;
    *count = 0;
    for (size_t c = 0; c < r->count; c++) room += r->cell[c].count;
    *out = calloc(room + 1, sizeof **out);
    if (!*out) return pal_fail(err, PAL_INTERNAL, "out of memory for the samples of the journal");
    for (size_t c = 0; c < r->count; c++) {
        if (r->cell[c].kind == RESULT_REFERENCE) continue;
        for (size_t i = 0; i < r->cell[c].count; i++)
            (*out)[(*count)++] = (pick){.cell = &r->cell[c], .index = r->cell[c].sample[i].index};
    }
    return PAL_OK;
}

static int by_place(const void *a, const void *b)
{
    const pick *x = a, *y = b;
    if (x->cell != y->cell) return x->cell < y->cell ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Move k drawn ones to the front, in the order of the journal; returns how many there are. */
static size_t draw(const verify_options *o, pick *sample, size_t count)
{
    rng draws = rng_make((uint64_t)o->seed, "verify", 0, 0);
    const size_t k = (uint64_t)o->k < count ? (size_t)o->k : count;
    for (size_t i = 0; i < k; i++) {
        const size_t at = i + rng_below(&draws, count - i);
        const pick drawn = sample[at];
        sample[at] = sample[i];
        sample[i] = drawn;
    }
    qsort(sample, k, sizeof *sample, by_place);
    return k;
}

/* ---- Running ---- */

static int keep_result(void *arg, const batch_item *item, const batch_result *result, pal_error *err)
{
    (void)item, (void)err;
    memcpy(arg, result, sizeof *result);
    return PAL_OK;
}

static int run_sample(const verifier *v, const eval_request *r, const task_cell *cell, int64_t index,
                      batch_result *result, pal_error *err)
{
    const int zeroed = r->options.memory == MEMORY_ZEROED;
    batch_item item = {.cell = cell, .index = index};
    batch_group group;
    PAL_TRY(batch_measure(r->task, r->run, &item, err));
    batch_cut(r->model[0].decoder, &item, 1, 1, 0, zeroed, &group);
    const batch_setup setup = {.d = r->model[0].decoder,
                               .threads = v->pool,
                               .task = r->task,
                               .run = r->run,
                               .zeroed = zeroed,
                               .done = keep_result,
                               .arg = result};
    batch_runner *runner;
    PAL_TRY(batch_open(&runner, &setup, err));
    const int code = batch_run(runner, &item, &group, err);
    batch_close(runner);
    return code;
}

/* ---- One sample, one journal, all of them ---- */

static void put_sample(const verifier *v, const char *word, const task_module *task, const pick *p)
{
    char label[LABEL_TEXT];
    fprintf(v->out, "%-9s %s  %s  %s sample %lld  %.12s: ", word, task->name, label_name(p->cell, label),
            p->cell->name, (long long)p->index, p->cell->weights);
}

static void skip(verifier *v, const task_module *task, const pick *p, const char *why)
{
    put_sample(v, "skipped", task, p);
    fprintf(v->out, "%s\n", why);
    v->skipped++;
}

static int verify_opened(verifier *v, const eval_request *r, const verify_source *from, const pick *p,
                         pal_error *err)
{
    static const char *const word[] = {"same", "agrees", "DIFFERENT"};
    const task_module *task = r->task;
    const double *then = result_sample_at(p->cell, p->index)->value;
    const task_cell *cell;
    batch_result now;
    PAL_TRY(verify_check(r, from, &cell, err));
    PAL_TRY(run_sample(v, r, cell, p->index, &now, err));
    char core[sizeof p->cell->blas_core];
    decoder_core(r->model[0].decoder, core, sizeof core);
    const int other_core = strcmp(p->cell->blas_core, core) != 0;
    const value_agreement a = values_agree(task, then, now.value, other_core);
    put_sample(v, word[a.verdict], task, p);
    v->verified++;
    v->near += a.verdict == VALUES_NEAR;
    v->ties += a.verdict == VALUES_NEAR && a.choices > 0;
    v->different += a.verdict == VALUES_DIFFERENT;
    if (a.verdict == VALUES_SAME) {
        fprintf(v->out, "%zu values\n", task->value_count);
    } else if (a.verdict == VALUES_NEAR) {
        fprintf(v->out, "within %.1e, other core (%s, now %s)", a.largest, p->cell->blas_core, core);
        fprintf(v->out, a.choices ? "; %zu discrete values went the other way at a near-tie\n" : "\n", a.choices);
    } else {
        fprintf(v->out, "%zu of %zu values; BLAS core then %s, now %s\n", a.different, task->value_count,
                p->cell->blas_core, core);
        values_print(task, then, now.value, v->out);
    }
    fflush(v->out);
    if (a.verdict != VALUES_DIFFERENT) return PAL_OK;
    return values_find_cause(&(values_cause){.request = r,
                                             .cell = cell,
                                             .index = p->index,
                                             .blas_core = p->cell->blas_core,
                                             .most = (size_t)v->o->trace,
                                             .one = v->one,
                                             .many = v->pool,
                                             .out = v->out},
                             err);
}

static int verify_pick(verifier *v, const task_module *task, const pick *p, pal_error *err)
{
    eval_request r;
    pal_error cause;
    int absent = 0;
    if (!p->path) {
        skip(v, task, p, "its weights are not here; weights=DIRECTORY says where they are");
        return PAL_OK;
    }
    const verify_source from = {task, p->cell, p->index, p->path, v->o->tokenizer};
    const int opened = verify_open(&from, &r, &absent, &cause);
    if (opened != PAL_OK && absent) {
        skip(v, task, p, cause.text);
        return PAL_OK;
    }
    if (opened != PAL_OK) return pal_fail(err, opened, "%s", cause.text);
    const int code = verify_opened(v, &r, &from, p, err);
    eval_request_free(&r);
    return code;
}

static int verify_picks(verifier *v, const results *r, pick *sample, size_t count, pal_error *err)
{
    if (count == 0)
        return pal_fail(err, PAL_USAGE,
                        "%s: no sample to verify: none is finished (%lld records of other versions are left out)",
                        r->path, (long long)r->outdated);
    const size_t k = draw(v->o, sample, count);
    fprintf(v->out, "%s: %zu of %zu samples again, %d threads, BLAS core %s\n", r->path, k, count,
            pool_threads(v->pool), gemm_core());
    for (size_t i = 0; i < k; i++) {
        PAL_TRY(find_weights(v, sample[i].cell, &sample[i].path, err));
        PAL_TRY(verify_pick(v, r->task, &sample[i], err));
    }
    return PAL_OK;
}

static int verify_task(verifier *v, const task_module *task, const char *path, pal_error *err)
{
    results r;
    pick *sample = NULL;
    size_t count = 0;
    results_init(&r, task, path);
    int code = facts_read_journal(&r, v->o->weights, err);
    if (code == PAL_OK) results_note(&r, v->out);
    if (code == PAL_OK) code = list_samples(&r, &sample, &count, err);
    if (code == PAL_OK) code = verify_picks(v, &r, sample, count, err);
    free(sample);
    results_free(&r);
    return code;
}

/* A tie is rare: where more than this part of the samples need one, something else is wrong. */
enum { TIES_PART = 5 };

static int judge(const verifier *v, pal_error *err)
{
    if (v->skipped) fprintf(v->out, "%zu samples were skipped: what they need is not here\n", v->skipped);
    if (v->different)
        return pal_fail(err, PAL_GATE, "samples that differ from the journal: %zu of %zu", v->different,
                        v->verified);
    if (v->verified == 0)
        return pal_fail(err, PAL_UNSURE, "nothing could be verified: all %zu samples were skipped", v->skipped);
    if (v->ties > 1 && v->ties * TIES_PART > v->verified)
        return pal_fail(err, PAL_GATE, "discrete values differ in %zu of %zu samples: too many for near-ties",
                        v->ties, v->verified);
    if (v->near)
        fprintf(v->out,
                "%zu of %zu samples agree within the tolerance of another BLAS core (losses 1e-4, %zu with a "
                "near-tie); the core of the journal, where the processor has it, gives its bits: "
                "OPENBLAS_CORETYPE=NAME\n",
                v->near, v->verified, v->ties);
    return PAL_OK;
}

static int verify_all(verifier *v, pal_error *err)
{
    const verify_options *o = v->o;
    const task_module *only = o->task[0] ? task_find(o->task) : NULL;
    if (o->task[0] && !only)
        return pal_fail(err, PAL_USAGE, "task=%s: no such task; see `palimpsest list`", o->task);
    PAL_TRY(list_weights(v, err));
    size_t journals = 0;
    for (size_t i = 0; task_table[i]; i++) {
        char path[PATH_TEXT];
        if (only && only != task_table[i]) continue;
        snprintf(path, sizeof path, "%s/%s-journal.jsonl", o->results, task_table[i]->name);
        if (!os_file_exists(path)) continue;
        journals++;
        PAL_TRY(verify_task(v, task_table[i], path, err));
    }
    if (journals == 0)
        return pal_fail(err, PAL_USAGE, "results=%s: there is no journal%s%s; name the directory of an eval",
                        o->results, only ? " of task " : "", only ? only->name : "");
    return judge(v, err);
}

int verify_run(const verify_options *o, FILE *out, pal_error *err)
{
    verifier v = {.o = o, .out = out};
    const int all = o->threads ? (int)o->threads : os_processors();
    /* At least two, or there would be nothing to compare one with. */
    int code = gemm_setup(all > 1 ? all : 2, err);
    if (code == PAL_OK) code = pool_create(&v.pool, all > 1 ? all : 2, err);
    if (code == PAL_OK) code = pool_create(&v.one, 1, err);
    if (code == PAL_OK) code = verify_all(&v, err);
    free(v.weights);
    pool_destroy(v.pool);
    pool_destroy(v.one);
    return code;
}

/* ---- The command ---- */

#define AT(field) offsetof(verify_options, field)

static const kv_spec options_table[] = {
    {"results", KV_TEXT, AT(results), "results/run", 0, 0, NULL, "directory of the journal"},
    {"task", KV_TEXT, AT(task), "", 0, 0, NULL, "only this task's journal; else every one that is there"},
    {"k", KV_INT, AT(k), "3", 1, 10000000, NULL, "samples to compute again, of each journal"},
    {"seed", KV_INT, AT(seed), "1", 0, 9007199254740992.0, NULL, "which samples are drawn"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, KV_HOME,
     "where the journal's weights are sought by their SHA-256: a directory of ours, of GGUF files and of folders, "
     "or "
     "one of those"},
    {"tokenizer", KV_TEXT, AT(tokenizer), "", 0, 0, NULL,
     "\"bytes\" or the path of a tokenizer.json; empty: the one that the model was trained with"},
    {"threads", KV_INT, AT(threads), "0", 0, POOL_MAX_THREADS, NULL,
     "0: all processors, at least 2; the results should not depend on it"},
    {"trace", KV_SIZE, AT(trace), "4K", 1, 1 << 26, NULL,
     "tokens of a sample that differs that are read with 1 thread and with all, to compare every layer"},
};

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    return verify_run(options, stdout, err);
}

const pal_command verify_command = {
    .name = "verify",
    .summary = "compute samples of a journal again; exit code 1 if one differs",
    .examples = "verify k=5\n"
                "verify results=results/reference task=passkey\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(verify_options),
    .run = run,
};
