/* Phone books (after Jelassi et al. 2024, "Repeat After Me", arXiv 2402.01032): one number is asked for by its
 * name, or, where a name has several lines, by the name and the line's rank: its keys, its cells and its metrics.
 */
#include "tasks/phonebook/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 500000, OPEN_SAMPLES = 50, OPEN_LEAST = 5 };

#define FIELD(name) offsetof(phonebook_request, name)

static const kv_spec request_table[] = {
    {"entries", KV_SIZES, FIELD(entries), "10,20,50,100", 1, ENTRIES_MAX, NULL, "lines of a book"},
    {"same", KV_SIZES, FIELD(same), "1", 1, PHONEBOOK_SAME, NULL,
     "lines of the asked name; with more than one the question names the rank of the line"},
    {"n", KV_INT, FIELD(samples), "0", 0, 1000000, NULL,
     "samples a cell; 0: 50, or as few as 5 where a model takes long"},
    {"seed", KV_INT, FIELD(seed), "1", 0, 9007199254740992, NULL, "of names, numbers and lines"},
    {"shots", KV_INT, FIELD(shots), "2", 0, PHONEBOOK_SHOTS, NULL,
     "other lines that are asked and answered before"},
    {"repeat", KV_INT, FIELD(repeat), "1", 1, 2, NULL, "2: the book stands twice before the question"},
    {"control", KV_CHOICE, FIELD(control), "none", 0, 0, "none|absent|swapped",
     "absent: the asked name's lines are left out; swapped: the next sample's number is scored; both must give "
     "chance"},
};

static int add_cell(phonebook_run *run, int64_t entries, int64_t same, pal_error *err)
{
    static const char *const control[] = {"", ",absent", ",swapped"};
    const phonebook_request *r = &run->request;
    char name[32] = "";
    if (entries < same + r->shots)
        return pal_fail(err, PAL_USAGE, "phonebook: entries=%lld has no room for same=%lld and shots=%lld",
                        (long long)entries, (long long)same, (long long)r->shots);
    task_cell *cell = &run->cell[run->count];
    *cell = (task_cell){
        .depth = NAN, .samples = r->samples ? r->samples : OPEN_SAMPLES, .least = r->samples ? 0 : OPEN_LEAST};
    if (same > 1) snprintf(name, sizeof name, "same=%lld", (long long)same);
    snprintf(cell->variant, sizeof cell->variant, "%.12s%s%s", name, control[r->control],
             r->repeat > 1 ? ",twice" : "");
    if (cell->variant[0] == ',') memmove(cell->variant, cell->variant + 1, strlen(cell->variant));
    snprintf(cell->name, sizeof cell->name, "entries=%lld%s%s", (long long)entries, cell->variant[0] ? "," : "",
             cell->variant);
    for (size_t i = 0; i < run->count; i++)
        if (strcmp(run->cell[i].name, cell->name) == 0)
            return pal_fail(err, PAL_USAGE, "phonebook: %s is asked for twice; give every number once",
                            cell->name);
    run->form[run->count++] = (phonebook_form){entries, same};
    return PAL_OK;
}

static int fill_run(phonebook_run *run, pal_error *err)
{
    const phonebook_request *r = &run->request;
    if (!r->entries.count || !r->same.count)
        return pal_fail(err, PAL_USAGE, "phonebook: %s is empty; give at least one value",
                        r->entries.count ? "same" : "entries");
    const size_t cells = (size_t)(r->entries.count * r->same.count);
    run->cell = calloc(cells, sizeof *run->cell);
    run->form = calloc(cells, sizeof *run->form);
    if (!run->cell || !run->form) return pal_fail(err, PAL_INTERNAL, "phonebook: out of memory for the cells");
    for (int64_t k = 0; k < r->same.count; k++)
        for (int64_t e = 0; e < r->entries.count; e++)
            PAL_TRY(add_cell(run, (int64_t)r->entries.value[e], (int64_t)r->same.value[k], err));
    return PAL_OK;
}

static void phonebook_end(task_run *handle)
{
    phonebook_run *run = (phonebook_run *)handle;
    if (!run) return;
    free(run->cell);
    free(run->form);
    free(run);
}

static int phonebook_begin(const void *request, const tokenizer *t, task_run **out, pal_error *err)
{
    phonebook_run *run = calloc(1, sizeof *run);
    if (!run) return pal_fail(err, PAL_INTERNAL, "phonebook: out of memory for the request");
    run->request = *(const phonebook_request *)request;
    run->tokenizer = t;
    const int code = fill_run(run, err);
    if (code == PAL_OK)
        *out = (task_run *)run;
    else
        phonebook_end((task_run *)run);
    return code;
}

static size_t phonebook_cells(const task_run *run, const task_cell **cells)
{
    *cells = ((const phonebook_run *)run)->cell;
    return ((const phonebook_run *)run)->count;
}

static const char *const values[PHONEBOOK_VALUES] = {[PHONEBOOK_RIGHT] = "right",
                                                     [PHONEBOOK_OTHER] = "other",
                                                     [PHONEBOOK_NLL] = "nll",
                                                     [PHONEBOOK_TOKENS] = "tokens",
                                                     [PHONEBOOK_TOKENS_RIGHT] = "tokens_right"};

static const task_metric metrics[] = {
    {"exact_match", METRIC_SHARE, PHONEBOOK_RIGHT, -1, 1, METRIC_HITS, 0, 0},
    {"other_line", METRIC_SHARE, PHONEBOOK_OTHER, -1, 0, METRIC_HITS, 0, 0},
    {"answer_ppl", METRIC_PERPLEXITY, PHONEBOOK_NLL, PHONEBOOK_TOKENS, 0, METRIC_NUMBERS, 0, 0},
    {"token_accuracy", METRIC_SHARE, PHONEBOOK_TOKENS_RIGHT, PHONEBOOK_TOKENS, 1, METRIC_COUNTS, 1, 0},
};

static const task_eval evaluation = {
    .request_table = request_table,
    .request_count = sizeof request_table / sizeof *request_table,
    .request_bytes = sizeof(phonebook_request),
    .keys = {.count = "n"},
    .begin = phonebook_begin,
    .cells = phonebook_cells,
    .end = phonebook_end,
    .open = phonebook_open,
    .shape = phonebook_shape,
    .read = phonebook_read,
    .score = phonebook_score,
    .close = phonebook_close,
};

const task_module phonebook_task = {
    .name = "phonebook",
    .summary = "the number of a name in a phone book, or one of several by its rank",
    .target = "answer",
    .response = "generated",
    .version = 1,
    .scorer_version = 1,
    .value = values,
    .value_count = PHONEBOOK_VALUES,
    .metric = metrics,
    .metric_count = sizeof metrics / sizeof *metrics,
    .eval = &evaluation,
    .train = &phonebook_training,
};
