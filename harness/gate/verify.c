/* Verification: computes drawn samples of a journal again and compares every value. */
#include "harness/gate/verify.h"

#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "harness/eval/model_files.h"
#include "harness/eval/request.h"
#include "harness/gate/trace.h"
#include "harness/report/report.h"
#include "models/engine/gemm.h"
#include "models/engine/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_TEXT = 2 * KV_TEXT_MAX, WORDS_MAX = 48, WORD_TEXT = KV_OUT_MAX + 64 };

/* Weights that are here, by their digest. */
typedef struct found_weights {
    char path[PATH_TEXT], digest[HASH_HEX];
} found_weights;

/* A sample that was drawn. */
typedef struct pick {
    const result_cell *cell;
    int64_t index;
    const char *path; /* of its weights */
} pick;

typedef struct verifier {
    const verify_options *o;
    FILE *out;
    pool *pool, *one; /* all threads, and one */
    found_weights *weights;
    size_t weights_count;
    size_t verified, different;
} verifier;

/* ---- Weights ---- */

/* A file that cannot be read is none that a journal could name. */
static int list_weights(verifier *v, pal_error *err)
{
    weights_file *files;
    size_t count;
    pal_error none;
    if (weights_resolve("all", v->o->weights, &files, &count, &none) != PAL_OK) return PAL_OK;
    v->weights = calloc(count, sizeof *v->weights);
    for (size_t i = 0; v->weights && i < count; i++) {
        st_file f;
        if (st_read(files[i].path, &f, &none) != PAL_OK) continue;
        found_weights *w = &v->weights[v->weights_count++];
        memcpy(w->path, files[i].path, sizeof w->path);
        memcpy(w->digest, f.digest, sizeof w->digest);
        st_free(&f);
    }
    free(files);
    return v->weights ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the list of weights");
}

static int find_weights(const verifier *v, const result_cell *cell, const char **path, pal_error *err)
{
    for (size_t i = 0; i < v->weights_count; i++) {
        if (strcmp(v->weights[i].digest, cell->weights) != 0) continue;
        *path = v->weights[i].path;
        return PAL_OK;
    }
    return pal_fail(
        err, PAL_DATA,
        "the journal names weights of %s with SHA-256 %s, and %s has no such file; say where they are: "
        "weights=DIRECTORY",
        cell->model, cell->weights, v->o->weights);
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

/* ---- The request of a sample ---- */

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
    return task->keys.count ? add_word(w, task->keys.count, number, err) : PAL_OK;
}

static int open_request(const verifier *v, const task_module *task, const pick *p, eval_request *r, pal_error *err)
{
    words *w = calloc(1, sizeof *w);
    if (!w) return pal_fail(err, PAL_INTERNAL, "out of memory for a request");
    int code = add_word(w, "task", task->name, err);
    if (code == PAL_OK) code = add_word(w, "model", p->path, err);
    if (code == PAL_OK && v->o->tokenizer[0]) code = add_word(w, "tokenizer", v->o->tokenizer, err);
    if (code == PAL_OK) code = add_request(w, task, p->cell, err);
    if (code == PAL_OK) code = eval_request_read(r, w->count, w->word, 1, err);
    free(w);
    return code;
}

/* Whether the request that was opened asks for what the journal's cell holds. */
static int check_request(const eval_request *r, const pick *p, const task_cell **found, pal_error *err)
{
    const result_cell *cell = p->cell;
    char settings[RESULT_TEXT];
    *found = NULL;
    for (size_t i = 0; i < r->cell_count; i++)
        if (strcmp(r->cell[i].name, cell->name) == 0) *found = &r->cell[i];
    if (!*found || (*found)->samples <= p->index)
        return pal_fail(err, PAL_DATA, "%s sample %lld: this build has no such sample for the journal's words: %s",
                        cell->name, (long long)p->index, cell->request);
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

/* The journal has one null for all that is no number. */
static int same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (!isfinite(a) && !isfinite(b));
}

static size_t count_different(const task_module *task, const double *then, const double *now)
{
    size_t count = 0;
    for (size_t i = 0; i < task->value_count; i++) count += !same_bits(then[i], now[i]);
    return count;
}

/* ---- The cause of a difference ---- */

/* The first tokens of the sample, as many as are there. */
static int first_tokens(const eval_request *r, const task_cell *cell, int64_t index, int32_t *tokens, size_t max,
                        size_t *count, pal_error *err)
{
    task_sample *s = NULL;
    PAL_TRY(r->task->open(r->run, cell, index, &s, err));
    int code = PAL_OK;
    *count = 0;
    for (size_t got = 1; code == PAL_OK && got > 0 && *count < max; *count += got) {
        code = r->task->read(s, tokens + *count, max - *count, &got, err);
        if (code != PAL_OK) got = 0;
    }
    r->task->close(s);
    return code;
}

static void print_cause(const verifier *v, const pick *p, const decoder *d, size_t count,
                        const trace_difference *where)
{
    const size_t layers = (size_t)decoder_config(d)->n_layers;
    char stage[32];
    snprintf(stage, sizeof stage, "layer %zu", where->stage);
    const char *name = where->stage == 0 ? "the embedding" : where->stage > layers ? "the logits" : stage;
    if (where->found)
        fprintf(v->out,
                "  1 and %d threads part at segment %zu (from 0), %s (layers from 1): SHA-256 %.16s and %.16s; "
                "this build is at fault\n",
                pool_threads(v->pool), where->segment, name, where->hash[0], where->hash[1]);
    else
        fprintf(v->out,
                "  1 and %d threads agree in every layer over the first %zu tokens: the journal was made by "
                "another %s\n",
                pool_threads(v->pool), count,
                strcmp(p->cell->blas_core, gemm_core()) == 0 ? "build, or changed since" : "BLAS core");
}

static int find_cause(const verifier *v, const eval_request *r, const pick *p, const task_cell *cell,
                      pal_error *err)
{
    const decoder *d = r->model[0].decoder;
    const trace_side side[2] = {{d, v->one}, {d, v->pool}};
    trace_difference where;
    size_t count = 0;
    int32_t *tokens = calloc((size_t)v->o->trace, sizeof *tokens);
    int code = tokens ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for tokens; lower trace=");
    if (code == PAL_OK) code = first_tokens(r, cell, p->index, tokens, (size_t)v->o->trace, &count, err);
    if (code == PAL_OK) code = trace_compare(side, tokens, count, &where, err);
    if (code == PAL_OK) print_cause(v, p, d, count, &where);
    free(tokens);
    return code;
}

/* ---- One sample, one journal, all of them ---- */

static int verify_opened(verifier *v, const eval_request *r, const pick *p, pal_error *err)
{
    const task_module *task = r->task;
    const double *then = result_sample_at(p->cell, p->index)->value;
    const task_cell *cell;
    batch_result now;
    PAL_TRY(check_request(r, p, &cell, err));
    PAL_TRY(run_sample(v, r, cell, p->index, &now, err));
    const size_t different = count_different(task, then, now.value);
    char label[REPORT_LABEL];
    fprintf(v->out, "%-9s %s  %s  %s sample %lld  %.12s: ", different ? "DIFFERENT" : "same", task->name,
            label_name(p->cell, label), p->cell->name, (long long)p->index, p->cell->weights);
    v->verified++;
    if (different == 0) {
        fprintf(v->out, "%zu values\n", task->value_count);
        fflush(v->out);
        return PAL_OK;
    }
    v->different++;
    fprintf(v->out, "%zu of %zu values; BLAS core then %s, now %s\n", different, task->value_count,
            p->cell->blas_core, gemm_core());
    for (size_t i = 0; i < task->value_count; i++)
        if (!same_bits(then[i], now.value[i]))
            fprintf(v->out, "  %s: journal %.17g, now %.17g, difference %.3g\n", task->value[i], then[i],
                    now.value[i], now.value[i] - then[i]);
    return find_cause(v, r, p, cell, err);
}

static int verify_pick(verifier *v, const task_module *task, const pick *p, pal_error *err)
{
    eval_request r;
    PAL_TRY(open_request(v, task, p, &r, err));
    const int code = verify_opened(v, &r, p, err);
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
    /* What is missing shows before any work. */
    for (size_t i = 0; i < k; i++) PAL_TRY(find_weights(v, sample[i].cell, &sample[i].path, err));
    for (size_t i = 0; i < k; i++) PAL_TRY(verify_pick(v, r->task, &sample[i], err));
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
    if (v->different)
        return pal_fail(err, PAL_GATE, "samples that differ from the journal: %zu of %zu", v->different,
                        v->verified);
    return PAL_OK;
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
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, NULL,
     "directory where the journal's weights are sought by their SHA-256"},
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
