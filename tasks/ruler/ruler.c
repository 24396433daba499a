/* RULER (Hsieh et al. 2024, arXiv 2404.06654) without question answering: its keys, its cells and its metrics.
 * The texts are RULER's; the words and the essays are the project's own. */
#include "tasks/ruler/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_MAX = 64 * 1024 * 1024, OPEN_SAMPLES = 20, OPEN_LEAST = 2 };

#define FIELD(name) offsetof(ruler_request, name)

static const kv_spec request_table[] = {
    {"tasks", KV_TEXT, FIELD(tasks), RULER_ALL, 0, 0, NULL, "comma-separated: which of RULER's tasks"},
    {"len", KV_SIZES, FIELD(length), "4K", 1, LENGTH_MAX, NULL,
     "tokens of prompt and true answer together, the example of vt and cwe included"},
    {"n", KV_INT, FIELD(samples), "0", 0, 1000000, NULL,
     "samples a cell; 0: 20, or as few as 2 where a model takes long; RULER takes 500"},
    {"seed", KV_INT, FIELD(seed), "42", 0, 9007199254740992, NULL, "of keys, values, depths, words and essays"},
    {"control", KV_CHOICE, FIELD(control), "none", 0, 0, "none|absent|swapped",
     "absent: what is asked is left out; swapped: the next sample's answers are scored; both must give chance"},
    {"repeat", KV_INT, FIELD(repeat), "1", 1, 2, NULL, "2: the context stands twice before the question"},
    {"prose", KV_TEXT, FIELD(prose), "datasets/slice", 0, 0, KV_HOME,
     "texts in place of RULER's essays: a folder of texts, a .jsonl or a text file, plain or .gz"},
    {"prose_split", KV_TEXT, FIELD(prose_split), "", 0, 0, NULL,
     "its split: train, validation or test; unset: test where it has splits, else all of it"},
};

/* ---- Cells ---- */

static int name_cell(const ruler_run *run, const ruler_form *f, int64_t length, task_cell *cell, pal_error *err)
{
    static const char *const control[] = {"", ",absent", ",swapped"};
    const ruler_request *r = &run->request;
    const int essay = f->kind == RULER_NIAH && f->hay == HAY_ESSAY;
    *cell = (task_cell){.length = length,
                        .depth = NAN,
                        .samples = r->samples ? r->samples : OPEN_SAMPLES,
                        .least = r->samples ? 0 : OPEN_LEAST};
    if (essay) memcpy(cell->data, run->data, HASH_HEX);
    if (essay)
        cell->split = corpus_split(run->prose);
    else if (!r->prose_split[0])
        cell->split = "test"; /* as if set: cells without prose do not hang on it */
    snprintf(cell->variant, sizeof cell->variant, "%s%s%s", f->name, control[r->control],
             r->repeat > 1 ? ",twice" : "");
    snprintf(cell->name, sizeof cell->name, "len=%lld,%s", (long long)length, cell->variant);
    if (r->control == CONTROL_ABSENT && (f->kind == RULER_CWE || f->kind == RULER_FWE))
        return pal_fail(
            err, PAL_USAGE,
            "ruler: control=absent: %s has no needle to leave out; use control=swapped, or tasks= without "
            "it",
            f->name);
    for (size_t i = 0; i < run->count; i++)
        if (strcmp(run->cell[i].name, cell->name) == 0)
            return pal_fail(err, PAL_USAGE, "ruler: %s is asked for twice; give every task and length once",
                            cell->name);
    return PAL_OK;
}

static int add_task(void *arg, const char *name, pal_error *err)
{
    ruler_run *run = arg;
    const kv_list *length = &run->request.length;
    const ruler_form *f = ruler_form_find(name, strlen(name));
    if (!f) return pal_fail(err, PAL_USAGE, "ruler: tasks=%.60s: there are %s", name, RULER_ALL);
    const size_t count = run->count + (size_t)length->count;
    task_cell *cells = realloc(run->cell, count * sizeof *cells);
    if (cells) run->cell = cells;
    const ruler_form **forms = realloc(run->form, count * sizeof *forms);
    if (forms) run->form = forms;
    if (!cells || !forms) return pal_fail(err, PAL_INTERNAL, "ruler: out of memory for the cells");
    for (int64_t i = 0; i < length->count; i++) {
        PAL_TRY(name_cell(run, f, (int64_t)length->value[i], &run->cell[run->count], err));
        run->form[run->count++] = f;
    }
    return PAL_OK;
}

/* ---- Opening ---- */

static int wants_prose(void *arg, const char *name, pal_error *err)
{
    const ruler_form *f = ruler_form_find(name, strlen(name));
    (void)err;
    *(int *)arg |= f && f->kind == RULER_NIAH && f->hay == HAY_ESSAY;
    return PAL_OK;
}

static int open_prose(ruler_run *run, pal_error *err)
{
    const ruler_request *r = &run->request;
    int wanted = 0;
    PAL_TRY(kv_each_name("tasks", r->tasks, wants_prose, &wanted, err));
    if (!wanted) return PAL_OK;
    PAL_TRY(corpus_open(&run->prose, r->prose, r->prose_split, "test", err));
    run->scan = calloc(1, sizeof *run->scan);
    if (!run->scan) return pal_fail(err, PAL_INTERNAL, "ruler: out of memory for the prose");
    tokenizer_mark_special(run->tokenizer, run->scan);
    PAL_TRY(corpus_digest(run->prose, run->data, run->scan, err));
    rng start = rng_make((uint64_t)r->seed, "ruler/prose", 0, 0);
    run->document = rng_below(&start, corpus_count(run->prose));
    return PAL_OK;
}

static void ruler_end(task_run *handle)
{
    ruler_run *run = (ruler_run *)handle;
    if (!run) return;
    if (run->prose) corpus_close(run->prose);
    free(run->scan);
    free(run->cell);
    free(run->form);
    free(run);
}

/* A sample of every cell is opened, so that what does not fit is refused before anything is computed. */
static int try_cells(const ruler_run *run, pal_error *err)
{
    for (size_t i = 0; i < run->count; i++) {
        task_sample *s;
        PAL_TRY(ruler_open((const task_run *)run, &run->cell[i], 0, &s, err));
        ruler_close(s);
    }
    return PAL_OK;
}

static int fill_run(ruler_run *run, pal_error *err)
{
    if (!run->request.length.count)
        return pal_fail(err, PAL_USAGE, "ruler: len is empty; give at least one value");
    PAL_TRY(open_prose(run, err));
    PAL_TRY(kv_each_name("tasks", run->request.tasks, add_task, run, err));
    return try_cells(run, err);
}

static int ruler_begin(const void *request, const tokenizer *t, task_run **out, pal_error *err)
{
    ruler_run *run = calloc(1, sizeof *run);
    if (!run) return pal_fail(err, PAL_INTERNAL, "ruler: out of memory for the request");
    run->request = *(const ruler_request *)request;
    run->tokenizer = t;
    const int code = fill_run(run, err);
    if (code == PAL_OK)
        *out = (task_run *)run;
    else
        ruler_end((task_run *)run);
    return code;
}

static int ruler_note(const task_run *handle, size_t index, char *out, size_t size)
{
    const ruler_run *run = (const ruler_run *)handle;
    return run->scan && text_scan_note(run->scan, run->request.prose, index, out, size);
}

static size_t ruler_cells(const task_run *run, const task_cell **cells)
{
    *cells = ((const ruler_run *)run)->cell;
    return ((const ruler_run *)run)->count;
}

static const char *const values[RULER_VALUES] = {
    [RULER_RIGHT] = "right", [RULER_ASKED] = "asked",   [RULER_ALL_RIGHT] = "all_right",
    [RULER_NLL] = "nll",     [RULER_TOKENS] = "tokens", [RULER_TOKENS_RIGHT] = "tokens_right"};

static const task_metric metrics[] = {
    {"string_match", METRIC_SHARE, RULER_RIGHT, RULER_ASKED, 1, METRIC_COUNTS, 0, 0},
    {"exact_match", METRIC_SHARE, RULER_ALL_RIGHT, -1, 1, METRIC_HITS, 0, 0},
    {"answer_ppl", METRIC_PERPLEXITY, RULER_NLL, RULER_TOKENS, 0, METRIC_NUMBERS, 0, 0},
    {"token_accuracy", METRIC_SHARE, RULER_TOKENS_RIGHT, RULER_TOKENS, 1, METRIC_COUNTS, 1, 0},
};

static const task_eval evaluation = {
    .request_table = request_table,
    .request_count = sizeof request_table / sizeof *request_table,
    .request_bytes = sizeof(ruler_request),
    .keys = {.count = "n", .split = "prose_split"},
    .shares = 1,
    .begin = ruler_begin,
    .cells = ruler_cells,
    .end = ruler_end,
    .note = ruler_note,
    .open = ruler_open,
    .shape = ruler_shape,
    .read = ruler_read,
    .score = ruler_score,
    .close = ruler_close,
};

const task_module ruler_task = {
    .name = "ruler",
    .summary = "RULER without question answering: needles, chains of variables, frequent words",
    .forms = 1,
    .target = "answer",
    .response = "generated",
    .version = 1,
    .scorer_version = 1,
    .value = values,
    .value_count = RULER_VALUES,
    .metric = metrics,
    .metric_count = sizeof metrics / sizeof *metrics,
    .eval = &evaluation,
    .train = &ruler_training,
};
