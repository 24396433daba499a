/* BABILong qa1 to qa5 (Kuratov et al. 2024, arXiv 2406.10149): facts of bAbI among sentences of books: its keys,
 * its cells and its metrics. */
#include "tasks/babilong/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LENGTH_MAX = 64 * 1024 * 1024, OPEN_SAMPLES = 20, OPEN_LEAST = 2 };

#define FIELD(name) offsetof(babilong_request, name)

static const kv_spec request_table[] = {
    {"tasks", KV_TEXT, FIELD(tasks), "qa1,qa2,qa3,qa4,qa5", 0, 0, NULL, "comma-separated: which of the tasks"},
    {"len", KV_SIZES, FIELD(length), "0,4K", 0, LENGTH_MAX, NULL,
     "tokens of prompt and true answer together; 0: the facts alone, without books"},
    {"n", KV_INT, FIELD(samples), "0", 0, 1000000, NULL,
     "samples a cell; 0: 20, or as few as 2 where a model takes long; BABILong takes 100"},
    {"seed", KV_INT, FIELD(seed), "1", 0, 9007199254740992, NULL, "of the stories, their places and the books"},
    {"from", KV_REAL, FIELD(from), "0", 0, 100, NULL, "facts stand behind so much of the books, percent"},
    {"to", KV_REAL, FIELD(to), "100", 0, 100, NULL, "and before so much"},
    {"repeat", KV_INT, FIELD(repeat), "1", 1, 2, NULL, "2: the context stands twice before the question"},
    {"control", KV_CHOICE, FIELD(control), "none", 0, 0, "none|absent|swapped",
     "absent: the facts are left out; swapped: the next sample's answer is scored; both must give chance"},
    {"prose", KV_TEXT, FIELD(prose), "datasets/slice", 0, 0, KV_HOME,
     "the books: a folder of texts, a .jsonl or a text file, plain or .gz"},
    {"prose_split", KV_TEXT, FIELD(prose_split), "", 0, 0, NULL,
     "their split: train, validation or test; unset: test where they have splits, else all of them"},
};

/* ---- Cells ---- */

static int add_cell(babilong_run *run, int task, int64_t length, pal_error *err)
{
    static const char *const control[] = {"", ",absent", ",swapped"};
    const babilong_request *r = &run->request;
    char range[32] = "";
    task_cell *cell = &run->cell[run->count];
    *cell = (task_cell){.length = length,
                        .depth = NAN,
                        .samples = r->samples ? r->samples : OPEN_SAMPLES,
                        .least = r->samples ? 0 : OPEN_LEAST};
    if (length > 0) memcpy(cell->data, run->data, HASH_HEX);
    if (length > 0)
        cell->split = corpus_split(run->prose);
    else if (!r->prose_split[0])
        cell->split = "test"; /* as if set: cells without books do not hang on it */
    if (r->from > 0 || r->to < 100) snprintf(range, sizeof range, ",%.4g-%.4g%%", r->from, r->to);
    snprintf(cell->variant, sizeof cell->variant, "qa%d%s%.12s%s", task + 1, control[r->control], range,
             r->repeat > 1 ? ",2x" : "");
    snprintf(cell->name, sizeof cell->name, "len=%lld,%s", (long long)length, cell->variant);
    for (size_t i = 0; i < run->count; i++)
        if (strcmp(run->cell[i].name, cell->name) == 0)
            return pal_fail(err, PAL_USAGE, "babilong: %s is asked for twice; give every task and length once",
                            cell->name);
    run->task[run->count++] = task;
    return PAL_OK;
}

static int add_task(void *arg, const char *name, pal_error *err)
{
    babilong_run *run = arg;
    const kv_list *length = &run->request.length;
    if (strlen(name) != 3 || strncasecmp(name, "qa", 2) != 0 || name[2] < '1' || name[2] > '0' + BABI_TASKS)
        return pal_fail(err, PAL_USAGE, "babilong: tasks=%.60s: there are qa1 to qa%d", name, BABI_TASKS);
    const size_t count = run->count + (size_t)length->count;
    task_cell *cells = realloc(run->cell, count * sizeof *cells);
    if (cells) run->cell = cells;
    int *tasks = realloc(run->task, count * sizeof *tasks);
    if (tasks) run->task = tasks;
    if (!cells || !tasks) return pal_fail(err, PAL_INTERNAL, "babilong: out of memory for the cells");
    for (int64_t i = 0; i < length->count; i++)
        PAL_TRY(add_cell(run, name[2] - '1', (int64_t)length->value[i], err));
    return PAL_OK;
}

/* ---- Opening ---- */

static int open_prose(babilong_run *run, pal_error *err)
{
    const babilong_request *r = &run->request;
    int wanted = 0;
    for (int64_t i = 0; i < r->length.count; i++) wanted |= r->length.value[i] > 0;
    if (!wanted) return PAL_OK;
    PAL_TRY(corpus_open(&run->prose, r->prose, r->prose_split, "test", err));
    run->scan = calloc(1, sizeof *run->scan);
    if (!run->scan) return pal_fail(err, PAL_INTERNAL, "babilong: out of memory for the books");
    tokenizer_mark_special(run->tokenizer, run->scan);
    PAL_TRY(corpus_digest(run->prose, run->data, run->scan, err));
    rng start = rng_make((uint64_t)r->seed, "babilong/prose", 0, 0);
    run->document = rng_below(&start, corpus_count(run->prose));
    return PAL_OK;
}

static void babilong_end(task_run *handle)
{
    babilong_run *run = (babilong_run *)handle;
    if (!run) return;
    if (run->prose) corpus_close(run->prose);
    free(run->scan);
    free(run->cell);
    free(run->task);
    free(run);
}

static int fill_run(babilong_run *run, pal_error *err)
{
    const babilong_request *r = &run->request;
    if (!r->length.count) return pal_fail(err, PAL_USAGE, "babilong: len is empty; give at least one value");
    if (r->from > r->to) return pal_fail(err, PAL_USAGE, "babilong: from=%g is behind to=%g", r->from, r->to);
    PAL_TRY(open_prose(run, err));
    PAL_TRY(kv_each_name("tasks", r->tasks, add_task, run, err));
    for (size_t i = 0; i < run->count; i++) {
        task_sample *s;
        PAL_TRY(babilong_open((const task_run *)run, &run->cell[i], 0, &s, err));
        babilong_close(s);
    }
    return PAL_OK;
}

static int babilong_begin(const void *request, const tokenizer *t, task_run **out, pal_error *err)
{
    babilong_run *run = calloc(1, sizeof *run);
    if (!run) return pal_fail(err, PAL_INTERNAL, "babilong: out of memory for the request");
    run->request = *(const babilong_request *)request;
    run->tokenizer = t;
    const int code = fill_run(run, err);
    if (code == PAL_OK)
        *out = (task_run *)run;
    else
        babilong_end((task_run *)run);
    return code;
}

static int babilong_note(const task_run *handle, size_t index, char *out, size_t size)
{
    const babilong_run *run = (const babilong_run *)handle;
    return run->scan && text_scan_note(run->scan, run->request.prose, index, out, size);
}

static size_t babilong_cells(const task_run *run, const task_cell **cells)
{
    *cells = ((const babilong_run *)run)->cell;
    return ((const babilong_run *)run)->count;
}

static const char *const values[BABILONG_VALUES] = {[BABILONG_ONLY] = "only_label",
                                                    [BABILONG_FIRST] = "first_label",
                                                    [BABILONG_NLL] = "nll",
                                                    [BABILONG_TOKENS] = "tokens",
                                                    [BABILONG_TOKENS_RIGHT] = "tokens_right"};

static const task_metric metrics[] = {
    {"accuracy", METRIC_SHARE, BABILONG_ONLY, -1, 1, METRIC_HITS, 0, 0},
    {"first_label", METRIC_SHARE, BABILONG_FIRST, -1, 1, METRIC_HITS, 0, 0},
    {"answer_ppl", METRIC_PERPLEXITY, BABILONG_NLL, BABILONG_TOKENS, 0, METRIC_NUMBERS, 0, 0},
    {"token_accuracy", METRIC_SHARE, BABILONG_TOKENS_RIGHT, BABILONG_TOKENS, 1, METRIC_COUNTS, 1, 0},
};

static const task_eval evaluation = {
    .request_table = request_table,
    .request_count = sizeof request_table / sizeof *request_table,
    .request_bytes = sizeof(babilong_request),
    .keys = {.count = "n", .split = "prose_split"},
    .shares = 1,
    .begin = babilong_begin,
    .cells = babilong_cells,
    .end = babilong_end,
    .note = babilong_note,
    .open = babilong_open,
    .shape = babilong_shape,
    .read = babilong_read,
    .score = babilong_score,
    .close = babilong_close,
};

const task_module babilong_task = {
    .name = "babilong",
    .summary = "facts of a small world among sentences of books, and a question (BABILong qa1 to qa5)",
    .forms = 1,
    .target = "answer",
    .response = "generated",
    .version = 1,
    .scorer_version = 1,
    .value = values,
    .value_count = BABILONG_VALUES,
    .metric = metrics,
    .metric_count = sizeof metrics / sizeof *metrics,
    .eval = &evaluation,
    .train = &babilong_training,
};
