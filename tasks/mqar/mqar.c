/* Multi-query associative recall by Zoology's rules (Arora et al. 2024): its keys, its cells and its metrics. A
 * sample ends with the tokens; nothing is generated. */
#include "tasks/mqar/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_MAX = 64 * 1024 * 1024, OPEN_SAMPLES = 100, OPEN_LEAST = 10, VOCAB = 8192, SHORTEST = 64 };

#define FIELD(name) offsetof(mqar_request, name)

static const kv_spec request_table[] = {
    {"pairs", KV_SIZES, FIELD(pairs), "4,8,16,32,64", 1, 99999, NULL,
     "pairs of a key and a value at the start, each asked for once"},
    {"len", KV_SIZES, FIELD(length), "0", 0, LENGTH_MAX, NULL,
     "tokens of a sample; 0: four for each pair, at least 64, as Zoology tests"},
    {"n", KV_INT, FIELD(samples), "0", 0, 1000000, NULL,
     "samples a cell; 0: 100, or as few as 10 where a model takes long"},
    {"seed", KV_INT, FIELD(seed), "1", 0, 9007199254740992, NULL, "of the pairs, the places and the noise"},
    {"vocab", KV_SIZE, FIELD(vocab), "0", 0, 4194304, NULL,
     "tokens that are used: keys are the lower half, values the upper; 0: 8192, or all where there are fewer"},
    {"updates", KV_SIZE, FIELD(updates), "0", 0, 99999, NULL,
     "keys that get another value behind the pairs; the last one is asked"},
    {"control", KV_CHOICE, FIELD(control), "none", 0, 0, "none|absent|swapped",
     "absent: noise stands where the values are; swapped: each key's answer is another's; both must give chance"},
};

static void name_cell(const mqar_request *r, task_cell *cell, const mqar_form *f)
{
    static const char *const control[] = {"", ",absent", ",swapped"};
    char updates[32] = "";
    if (f->updates) snprintf(updates, sizeof updates, ",upd=%lld", (long long)f->updates);
    snprintf(cell->variant, sizeof cell->variant, "pairs=%lld%.10s%s", (long long)f->pairs, updates,
             control[r->control]);
    snprintf(cell->name, sizeof cell->name, "len=%lld,%s", (long long)f->length, cell->variant);
}

static int add_cell(mqar_run *run, int64_t pairs, int64_t length, pal_error *err)
{
    const mqar_request *r = &run->request;
    mqar_form f = {.vocab = run->vocab, .pairs = pairs, .updates = r->updates, .length = length};
    if (length == 0) f.length = mqar_least(&f) < SHORTEST ? SHORTEST : mqar_least(&f);
    PAL_TRY(mqar_check(&f, err));
    if (r->control == CONTROL_SWAPPED && pairs < 2)
        return pal_fail(err, PAL_USAGE, "mqar: control=swapped needs at least two pairs");
    task_cell *cell = &run->cell[run->count];
    *cell = (task_cell){.length = f.length,
                        .depth = NAN,
                        .samples = r->samples ? r->samples : OPEN_SAMPLES,
                        .least = r->samples ? 0 : OPEN_LEAST};
    name_cell(r, cell, &f);
    for (size_t i = 0; i < run->count; i++)
        if (strcmp(run->cell[i].name, cell->name) == 0)
            return pal_fail(err, PAL_USAGE, "mqar: %s is asked for twice; give every length and number once",
                            cell->name);
    run->form[run->count++] = f;
    return PAL_OK;
}

static int fill_run(mqar_run *run, const tokenizer *t, pal_error *err)
{
    const mqar_request *r = &run->request;
    const int64_t held = (int64_t)tokenizer_vocab(t);
    run->vocab = r->vocab ? r->vocab : held < VOCAB ? held : VOCAB;
    if (run->vocab > held || run->vocab < 4)
        return pal_fail(err, PAL_USAGE, "mqar: vocab=%lld; this tokenizer has 4 to %lld tokens to use",
                        (long long)run->vocab, (long long)held);
    if (!r->pairs.count || !r->length.count)
        return pal_fail(err, PAL_USAGE, "mqar: %s is empty; give at least one value",
                        r->pairs.count ? "len" : "pairs");
    const size_t cells = (size_t)(r->pairs.count * r->length.count);
    run->cell = calloc(cells, sizeof *run->cell);
    run->form = calloc(cells, sizeof *run->form);
    if (!run->cell || !run->form) return pal_fail(err, PAL_INTERNAL, "mqar: out of memory for the cells");
    for (int64_t l = 0; l < r->length.count; l++)
        for (int64_t p = 0; p < r->pairs.count; p++)
            PAL_TRY(add_cell(run, (int64_t)r->pairs.value[p], (int64_t)r->length.value[l], err));
    return PAL_OK;
}

static void mqar_end(task_run *handle)
{
    mqar_run *run = (mqar_run *)handle;
    if (!run) return;
    free(run->cell);
    free(run->form);
    free(run);
}

static int mqar_begin(const void *request, const tokenizer *t, task_run **out, pal_error *err)
{
    mqar_run *run = calloc(1, sizeof *run);
    if (!run) return pal_fail(err, PAL_INTERNAL, "mqar: out of memory for the request");
    run->request = *(const mqar_request *)request;
    const int code = fill_run(run, t, err);
    if (code == PAL_OK)
        *out = (task_run *)run;
    else
        mqar_end((task_run *)run);
    return code;
}

static size_t mqar_cells(const task_run *run, const task_cell **cells)
{
    *cells = ((const mqar_run *)run)->cell;
    return ((const mqar_run *)run)->count;
}

static const char *const values[MQAR_VALUES] = {
    [MQAR_RIGHT] = "right", [MQAR_ASKED] = "asked", [MQAR_ALL] = "all_right"};

static const task_metric metrics[] = {
    {"accuracy", METRIC_SHARE, MQAR_RIGHT, MQAR_ASKED, 1, METRIC_COUNTS, 0, 0},
    {"exact_match", METRIC_SHARE, MQAR_ALL, -1, 1, METRIC_HITS, 0, 0},
};

static const task_eval evaluation = {
    .request_table = request_table,
    .request_count = sizeof request_table / sizeof *request_table,
    .request_bytes = sizeof(mqar_request),
    .keys = {.count = "n"},
    .begin = mqar_begin,
    .cells = mqar_cells,
    .end = mqar_end,
    .open = mqar_open,
    .shape = mqar_shape,
    .read = mqar_read,
    .score = mqar_score,
    .close = mqar_close,
};

const task_module mqar_task = {
    .name = "mqar",
    .summary = "recall the values of many keys (multi-query associative recall, by Zoology's rules)",
    .forms = 1,
    .target = "answer",
    .response = "chosen",
    .version = 1,
    .scorer_version = 1,
    .value = values,
    .value_count = MQAR_VALUES,
    .metric = metrics,
    .metric_count = sizeof metrics / sizeof *metrics,
    .eval = &evaluation,
    .train = &mqar_training,
};
