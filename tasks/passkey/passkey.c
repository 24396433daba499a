/* Passkey retrieval (Mohtashami and Jaggi 2023) in the text of the Infini-attention paper (arXiv 2404.07143, table
 * 3): one key in a haystack of repeated sentences, asked for at the end. Variants: a haystack of real prose
 * (RULER's second kind), several keys with names of which one is asked, and controls.
 *
 * LEN counts everything the model must hold, prompt and answer, as RULER counts its max_seq_length. The prompt
 *
 *   header filler_before needle filler_after question
 *
 * is built to the token and never cut. filler_after is whole sentences, unless the prompt is so short that they
 * would carry the needle more than 5 % away from its depth; filler_before takes the remainder and is a prefix of
 * the endless haystack, so that it may end inside a sentence and all prompts agree up to their first needle. A
 * sample is a pure function of (seed, cell, index). */
#include "tasks/paper.h"
#include "tasks/passkey/run.h"
#include "tasks/passkey/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_MAX = 64 * 1024 * 1024 };
/* Samples of a cell where their number is left open, and where a model takes long. */
enum { OPEN_SAMPLES = 10, OPEN_LEAST = 2 };

#define FIELD(name) offsetof(passkey_request, name)

static const kv_spec request_table[] = {
    {"len", KV_SIZES, FIELD(length), "32K", 1, LENGTH_MAX, NULL,
     "tokens of prompt and answer together; the answer is the last ones (a space and 5 digits)"},
    {"depths", KV_REALS, FIELD(depths), "0,50,100", 0, 100, NULL,
     "where the needle stands, percent of the room for it: 0 right after the header, 100 right before the "
     "question"},
    {"n", KV_INT, FIELD(samples), "0", 0, PASSKEY_EVAL_KEYS, NULL,
     "samples per length and depth, all with different keys; 0: 10, or as few as 2 where a model takes long"},
    {"seed", KV_INT, FIELD(seed), "1", 0, 9007199254740992, NULL,
     "of the keys, the jitter and where prose starts"},
    {"jitter", KV_REAL, FIELD(jitter), "2", 0, 5, NULL,
     "depths other than 0 and 100 vary by up to this much either way from sample to sample, percent of the room"},
    {"keys", KV_INT, FIELD(keys), "1", 1, PASSKEY_NAMES, NULL,
     "needles; more than one have names, and one is asked for by its name while the others lie spread evenly"},
    {"control", KV_CHOICE, FIELD(control), "none", 0, 0, "none|absent|swapped",
     "absent: the needle is left out; swapped: the key scored is another sample's (swapped_accuracy in the CSV: "
     "digits generated of the key in the text); both must give chance"},
    {"haystack", KV_CHOICE, FIELD(haystack), "filler", 0, 0, "filler|prose",
     "filler: the paper's five sentences over and over; prose: the documents of prose="},
    {"prose", KV_TEXT, FIELD(prose), "datasets/text/books", 0, 0, NULL,
     "corpus for haystack=prose: a folder of texts, a .jsonl or a text file, plain or .gz"},
    {"prose_split", KV_TEXT, FIELD(prose_split), "", 0, 0, NULL,
     "its split: train, validation or test; unset: test where it has splits, else all of it"},
};

/* ---- Checking a request ---- */

static int check_numbers(const passkey_request *r, int64_t least, pal_error *err)
{
    if (!r->length.count || !r->depths.count)
        return pal_fail(err, PAL_USAGE, "passkey: %s is empty; give at least one value",
                        r->length.count ? "depths" : "len");
    if (r->samples < 0 || r->samples > PASSKEY_EVAL_KEYS)
        return pal_fail(err, PAL_USAGE, "passkey: n=%lld; there are 1 to %d different keys to ask for",
                        (long long)r->samples, PASSKEY_EVAL_KEYS);
    for (int64_t i = 0; i < r->length.count; i++)
        if (!(r->length.value[i] >= (double)least && r->length.value[i] <= LENGTH_MAX))
            return pal_fail(err, PAL_USAGE,
                            "passkey: len=%.0f; the text and its answer take at least %lld tokens, at most 64M",
                            r->length.value[i], (long long)least);
    for (int64_t i = 0; i < r->depths.count; i++)
        if (!(r->depths.value[i] >= 0 && r->depths.value[i] <= 100))
            return pal_fail(err, PAL_USAGE, "passkey: depths has %g; a depth is a percentage, 0 to 100",
                            r->depths.value[i]);
    return PAL_OK;
}

static void name_cell(const passkey_request *r, task_cell *cell)
{
    static const char *const control[] = {"", ",absent", ",swapped"};
    char place[PASSKEY_PLACE], keys[12] = "";
    passkey_place_name(cell, place);
    if (r->keys > 1) snprintf(keys, sizeof keys, ",keys=%d", (int)r->keys);
    snprintf(cell->name, sizeof cell->name, "%s%s%s%s", place, control[r->control], keys,
             r->haystack == HAYSTACK_PROSE ? ",prose" : "");
    const char *variant = cell->name + strlen(place);
    snprintf(cell->variant, sizeof cell->variant, "%.31s", variant + (*variant == ','));
}

static int list_cells(passkey_run *run, const char *data, pal_error *err)
{
    const passkey_request *r = &run->request;
    run->cell = calloc((size_t)(r->length.count * r->depths.count), sizeof *run->cell);
    if (!run->cell) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for the cells");
    for (int64_t i = 0; i < r->length.count; i++) {
        for (int64_t j = 0; j < r->depths.count; j++) {
            task_cell *cell = &run->cell[run->cell_count];
            cell->length = (int64_t)r->length.value[i];
            cell->depth = r->depths.value[j];
            cell->samples = r->samples ? r->samples : OPEN_SAMPLES;
            cell->least = r->samples ? 0 : OPEN_LEAST;
            memcpy(cell->data, data, HASH_HEX);
            if (run->prose)
                cell->split = corpus_split(run->prose);
            else if (!r->prose_split[0])
                cell->split = "test"; /* as if set: the settings of samples without prose stay what they were */
            name_cell(r, cell);
            for (size_t k = 0; k < run->cell_count; k++)
                if (strcmp(run->cell[k].name, cell->name) == 0)
                    return pal_fail(err, PAL_USAGE,
                                    "passkey: %s is asked for twice; give every length and depth once",
                                    cell->name);
            run->cell_count++;
        }
    }
    return PAL_OK;
}

/* ---- Opening what it needs ---- */

static int open_prose(passkey_run *run, char data[HASH_HEX], pal_error *err)
{
    const passkey_request *r = &run->request;
    if (r->haystack != HAYSTACK_PROSE) return PAL_OK;
    PAL_TRY(corpus_open(&run->prose, r->prose, r->prose_split, "test", err));
    run->scan = calloc(1, sizeof *run->scan);
    if (!run->scan) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for the prose");
    tokenizer_mark_special(run->text->tokenizer, run->scan);
    PAL_TRY(corpus_digest(run->prose, data, run->scan, err));
    rng start = rng_make((uint64_t)r->seed, "passkey/prose", 0, 0);
    run->document = rng_below(&start, corpus_count(run->prose));
    return PAL_OK;
}

static void name_haystack(passkey_run *run, const char *data)
{
    char words[512];
    const int size = snprintf(words, sizeof words, "passkey %d %s %s %zu", (int)run->request.haystack,
                              tokenizer_digest(run->text->tokenizer), data, run->document);
    run->haystack = hash_id(words, (size_t)size);
}

static void passkey_end(task_run *handle)
{
    passkey_run *run = (passkey_run *)handle;
    if (!run) return;
    passkey_text_destroy(run->text);
    if (run->prose) corpus_close(run->prose);
    free(run->scan);
    free(run->cell);
    free(run);
}

static int fill_run(passkey_run *run, const tokenizer *t, pal_error *err)
{
    char data[HASH_HEX] = "";
    PAL_TRY(passkey_text_create(&run->text, t, 1, err));
    PAL_TRY(check_numbers(&run->request, passkey_fixed_size(run->text, run->request.keys, 1), err));
    PAL_TRY(open_prose(run, data, err));
    name_haystack(run, data);
    return list_cells(run, data, err);
}

static int passkey_begin(const void *request, const tokenizer *t, task_run **out, pal_error *err)
{
    passkey_run *run = calloc(1, sizeof *run);
    if (!run) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for the request");
    run->request = *(const passkey_request *)request;
    const int code = fill_run(run, t, err);
    if (code == PAL_OK)
        *out = (task_run *)run;
    else
        passkey_end((task_run *)run);
    return code;
}

static int passkey_note(const task_run *handle, size_t index, char *out, size_t size)
{
    const passkey_run *run = (const passkey_run *)handle;
    const passkey_text *text = run->text;
    if (text->grouped && index-- == 0)
        return snprintf(out, size,
                        "the tokenizer groups digits: the %d digits of a key are %lld to %lld tokens; accuracies "
                        "are of "
                        "the digits, not of the tokens",
                        PASSKEY_DIGITS, (long long)text->least_digits, (long long)text->most_digits) > 0;
    return run->scan && text_scan_note(run->scan, run->request.prose, index, out, size);
}

static size_t passkey_cells(const task_run *run, const task_cell **cells)
{
    *cells = ((const passkey_run *)run)->cell;
    return ((const passkey_run *)run)->cell_count;
}

/* The paper has no variants of the task. */
static double passkey_paper(const task_cell *cell, const char *metric, const model_facts *model, const char **row)
{
    if (cell->variant[0] || strcmp(metric, passkey_metric[TOKEN_ACCURACY].name) != 0) return NAN;
    const double percent = paper_passkey(model, cell->length, cell->depth);
    if (isfinite(percent)) *row = paper_passkey_name(model);
    return percent / 100;
}

static const task_eval evaluation = {
    .request_table = request_table,
    .request_count = sizeof request_table / sizeof *request_table,
    .request_bytes = sizeof(passkey_request),
    .keys = {.count = "n", .split = "prose_split"},
    .shares = 1,
    .needle = {"control", {"none", "absent"}},
    .begin = passkey_begin,
    .cells = passkey_cells,
    .end = passkey_end,
    .note = passkey_note,
    .open = passkey_open,
    .shape = passkey_shape,
    .read = passkey_read,
    .score = passkey_score,
    .close = passkey_close,
};

static const task_tables tables = {.paper = passkey_paper};

const task_module passkey_task = {
    .name = "passkey",
    .summary = "find a 5-digit key in a haystack of repeated sentences (the Infini-attention paper's prompt)",
    .target = "key",
    .response = "generated",
    .version = 2,
    .scorer_version = 2,
    .value = passkey_value,
    .value_count = PASSKEY_VALUES,
    .metric = passkey_metric,
    .metric_count = PASSKEY_VALUES,
    .eval = &evaluation,
    .train = &passkey_training,
    .tables = &tables,
};
