/* The BookSum task: its keys, the texts it opens, its cells and metrics. */
#include "tasks/booksum/run.h"

#include "datasets/corpus/split.h"
#include "tasks/booksum/reference_summaries.h"
#include "tasks/booksum/train.h"
#include "tasks/paper.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    STORIES = 20,         /* by default */
    STORY_LENGTH = 16384, /* by default */
    BOOK_ANSWER = 1024    /* tokens of a continuation, as in the Infini-attention paper */
};

#define FIELD(name) offsetof(booksum_request, name)

static const kv_spec request_table[] = {
    {"data", KV_TEXT, FIELD(data), BOOKSUM_STORIES, 0, 0, NULL,
     BOOKSUM_STORIES ": generated ones; or books with summaries, chapter or book level: a .jsonl or .csv file, or "
                     "what comes before -SPLIT.jsonl or /SPLIT.jsonl (or .csv, or .gz behind it)"},
    {"split", KV_TEXT, FIELD(split), "test", 0, 0, NULL,
     "train, validation (also: valid, val, dev) or test; not looked at when data= is a file"},
    {"n", KV_INT, FIELD(samples), "0", 0, 1000000, NULL, "the first so many books; 0: all, or 20 stories"},
    {"len", KV_SIZES, FIELD(length), "0", 0, 1099511627776, NULL,
     "tokens of the book that are read, its first ones; shorter books are left out and counted in the cell's "
     "name; 0: whole books, or stories of 16K"},
    {"policy", KV_CHOICE, FIELD(policy), "max", 0, 0, ROUGE_POLICIES,
     "ROUGE where a book has several summaries: of the best, the mean over them, or of the first"},
    {"decoding", KV_CHOICE, FIELD(decoding), "greedy", 0, 0, "greedy|sample",
     "sample: from temperature and top_p"},
    {"temperature", KV_REAL, FIELD(temperature), "0.5", 0.01, 100, NULL, "of decoding=sample"},
    {"top_p", KV_REAL, FIELD(top_p), "0.95", 0.0001, 1, NULL,
     "of decoding=sample: drawn from the likeliest tokens that have so much of the probability"},
    {"max_tokens", KV_SIZE, FIELD(max_tokens), "0", 0, 65536, NULL,
     "of a continuation; 0: 1024, for stories twice what their summary takes"},
    {"seed", KV_INT, FIELD(seed), "1", 0, 9007199254740992, NULL, "of the stories and of decoding=sample"},
};

/* ---- Opening texts ---- */

static void scan_book(text_scan *scan, const booksum_book *book)
{
    text_scan_start(scan);
    text_scan_feed(scan, book->text.text, book->text.size);
    for (size_t i = 0; i < book->summaries; i++) {
        text_scan_start(scan);
        text_scan_feed(scan, book->summary[i].text, book->summary[i].size);
    }
}

/* Tokens of every book. */
static int count_tokens(booksum_run *run, pal_error *err)
{
    const size_t count = booksum_file_count(run->file);
    run->book_tokens = calloc(count, sizeof *run->book_tokens);
    tokenizer_mark_special(run->tokenizer, &run->scan);
    if (!run->book_tokens) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for %zu books", count);
    for (size_t i = 0; i < count; i++) {
        booksum_book book;
        booksum_tokens tokens = {0};
        PAL_TRY(booksum_file_read(run->file, i, &book, err));
        const int code = booksum_encode(run->tokenizer, book.text.text, book.text.size, &tokens, err);
        run->book_tokens[i] = tokens.count;
        scan_book(&run->scan, &book);
        booksum_tokens_free(&tokens);
        booksum_book_free(&book);
        PAL_TRY(code);
    }
    return PAL_OK;
}

/* Opens the texts; name[size]: what they are called in the names of cells. */
static int open_texts(booksum_run *run, char *name, size_t size, pal_error *err)
{
    const booksum_request *r = &run->request;
    char path[BOOKSUM_PATH];
    int whole;
    if (booksum_is_stories(r->data)) {
        snprintf(name, size, BOOKSUM_STORIES "/%s", r->split);
        return booksum_story_split(r->split, &run->split, err);
    }
    PAL_TRY(booksum_find(r->data, r->split, path, &whole, err));
    size_t end = strlen(r->data), from;
    if (whole) end -= end > 3 && strcmp(r->data + end - 3, ".gz") == 0 ? 3 : 0;
    if (whole) end -= end > 6 && strncmp(r->data + end - 6, ".jsonl", 6) == 0 ? 6 : 0;
    if (whole) end -= end > 4 && strncmp(r->data + end - 4, ".csv", 4) == 0 ? 4 : 0;
    while (end > 1 && r->data[end - 1] == '/') end--;
    for (from = end; from > 0 && r->data[from - 1] != '/';) from--;
    snprintf(name, size, "%.*s%s%s", (int)(end - from), r->data + from, whole ? "" : "/", whole ? "" : r->split);
    PAL_TRY(booksum_file_open(&run->file, path, err));
    return count_tokens(run, err);
}

/* ---- Cells ---- */

/* The books that have at least `input` tokens. */
static int choose_books(booksum_run *run, booksum_choice *choice, int64_t *chosen, size_t *skipped, pal_error *err)
{
    const size_t count = booksum_file_count(run->file);
    size_t longest = 0;
    choice->book = calloc(count, sizeof *choice->book);
    if (!choice->book) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for %zu books", count);
    *chosen = 0;
    for (size_t i = 0; i < count; i++) {
        if (run->book_tokens[i] > longest) longest = run->book_tokens[i];
        if (run->book_tokens[i] >= choice->input) choice->book[(*chosen)++] = i;
    }
    *skipped = count - (size_t)*chosen;
    if (run->request.samples && *chosen > run->request.samples) *chosen = run->request.samples;
    if (*chosen > 0) return PAL_OK;
    return pal_fail(
        err, PAL_DATA,
        "booksum: data=%s: none of the %zu books has %llu tokens, the longest has %zu; ask for a shorter len=",
        run->request.data, count, (unsigned long long)choice->input, longest);
}

static int choose_stories(const booksum_run *run, const booksum_choice *choice, int64_t *chosen, pal_error *err)
{
    const uint64_t least = (uint64_t)story_least(run->tokenizer);
    *chosen = run->request.samples ? run->request.samples : STORIES;
    if (choice->input >= least) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "booksum: len=%llu is too short for a story, whose facts can take %llu tokens",
                    (unsigned long long)choice->input, (unsigned long long)least);
}

static int add_cell(booksum_run *run, const char *name, int64_t length, pal_error *err)
{
    task_cell *cell = &run->cell[run->cell_count];
    booksum_choice *choice = &run->choice[run->cell_count];
    char number[24], how[64] = "whole", left_out[32] = "";
    size_t skipped = 0;
    if (length == 0 && !run->file) length = STORY_LENGTH;
    *cell = (task_cell){.depth = NAN};
    *choice = (booksum_choice){.input = (uint64_t)length};
    run->cell_count++;
    PAL_TRY(run->file ? choose_books(run, choice, &cell->samples, &skipped, err)
                      : choose_stories(run, choice, &cell->samples, err));
    if (length) snprintf(how, sizeof how, "len=%s", kv_format_size(length, number));
    if (skipped) snprintf(left_out, sizeof left_out, ",skipped=%zu", skipped);
    const int size = snprintf(cell->name, sizeof cell->name, "%s:%s%s", name, how, left_out);
    if ((size_t)size >= sizeof cell->name)
        return pal_fail(err, PAL_USAGE, "booksum: data=%s: the name is too long; give the file a shorter one",
                        name);
    if (run->file) memcpy(cell->data, booksum_file_digest(run->file), HASH_HEX);
    cell->split = run->request.split;
    for (size_t i = 0; i + 1 < run->cell_count; i++)
        if (strcmp(run->cell[i].name, cell->name) == 0)
            return pal_fail(err, PAL_USAGE, "booksum: %s is asked for twice; give every length once", cell->name);
    return PAL_OK;
}

/* ---- Beginning ---- */

/* Stories have summaries of one form, which differ by a few tokens at most. */
static int limit_continuation(booksum_run *run, pal_error *err)
{
    run->max_tokens = run->request.max_tokens ? (size_t)run->request.max_tokens : BOOK_ANSWER;
    if (run->file || run->request.max_tokens) return PAL_OK;
    const int value[STORY_SLOTS] = {0};
    char text[STORY_SUMMARY];
    booksum_tokens summary = {0};
    PAL_TRY(booksum_encode_summary(run->tokenizer, text, story_summary(value, text), &summary, err));
    run->max_tokens = 2 * summary.count;
    booksum_tokens_free(&summary);
    return PAL_OK;
}

static int fill_run(booksum_run *run, pal_error *err)
{
    const kv_list *length = &run->request.length;
    char name[BOOKSUM_PATH];
    if (length->count == 0) return pal_fail(err, PAL_USAGE, "booksum: len is empty; give at least one value");
    run->cell = calloc((size_t)length->count, sizeof *run->cell);
    run->choice = calloc((size_t)length->count, sizeof *run->choice);
    if (!run->cell || !run->choice) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for the cells");
    PAL_TRY(booksum_encode(run->tokenizer, BOOKSUM_SEPARATOR, strlen(BOOKSUM_SEPARATOR), &run->separator, err));
    PAL_TRY(open_texts(run, name, sizeof name, err));
    PAL_TRY(limit_continuation(run, err));
    for (int64_t i = 0; i < length->count; i++) PAL_TRY(add_cell(run, name, (int64_t)length->value[i], err));
    return PAL_OK;
}

static void booksum_end(task_run *handle)
{
    booksum_run *run = (booksum_run *)handle;
    for (size_t i = 0; i < run->cell_count; i++) free(run->choice[i].book);
    free(run->choice);
    free(run->cell);
    free(run->book_tokens);
    booksum_tokens_free(&run->separator);
    booksum_file_close(run->file);
    free(run);
}

static int booksum_begin(const void *request, const tokenizer *t, task_run **out, pal_error *err)
{
    booksum_run *run = calloc(1, sizeof *run);
    if (!run) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory");
    run->request = *(const booksum_request *)request;
    snprintf(run->request.split, sizeof run->request.split, "%s",
             split_canonical(((const booksum_request *)request)->split));
    run->tokenizer = t;
    const int code = fill_run(run, err);
    if (code == PAL_OK)
        *out = (task_run *)run;
    else
        booksum_end((task_run *)run);
    return code;
}

static int booksum_note(const task_run *handle, size_t index, char *out, size_t size)
{
    const booksum_run *run = (const booksum_run *)handle;
    char why[200];
    if (!run->file) return 0;
    if (booksum_file_note(run->file, why, sizeof why) && index-- == 0) {
        snprintf(out, size, "%s: %s", run->request.data, why);
        return 1;
    }
    return text_scan_note(&run->scan, run->request.data, index, out, size);
}

static size_t booksum_cells(const task_run *run, const task_cell **cells)
{
    *cells = ((const booksum_run *)run)->cell;
    return ((const booksum_run *)run)->cell_count;
}

/* ---- The paper ---- */

/* Table 4 of the Infini-attention paper (arXiv 2404.07143), for texts that are called booksum. */
static double booksum_paper(const task_cell *cell, const char *metric, const model_facts *model, const char **row)
{
    static const char *const column[] = {"rouge1", "rouge2", "rougeL", "overall"};
    const paper_rouge *found = paper_rouge_find(model);
    if (!found || strncasecmp(cell->name, "booksum", 7) != 0) return NAN;
    for (int c = 0; c < 4; c++) {
        if (strcmp(metric, column[c]) != 0) continue;
        *row = found->name;
        return found->value[c] / 100;
    }
    return NAN;
}

static const task_metric metrics[] = {
    {"overall", METRIC_SHARE, BOOKSUM_OVERALL, -1, 1, METRIC_GAPS, 0, 0},
    {"rouge1", METRIC_SHARE, BOOKSUM_ROUGE + ROUGE_1, -1, 1, METRIC_GAPS, 0, 0},
    {"rouge2", METRIC_SHARE, BOOKSUM_ROUGE + ROUGE_2, -1, 1, METRIC_GAPS, 0, 0},
    {"rougeL", METRIC_SHARE, BOOKSUM_ROUGE + ROUGE_L, -1, 1, METRIC_GAPS, 0, 0},
    {"rougeLsum", METRIC_SHARE, BOOKSUM_ROUGE + ROUGE_LSUM, -1, 1, METRIC_GAPS, 0, 0},
    {"facts", METRIC_SHARE, BOOKSUM_RIGHT, BOOKSUM_FACTS, 1, METRIC_COUNTS, 0, 0},
    {"summary_ppl", METRIC_PERPLEXITY, BOOKSUM_NLL, BOOKSUM_TOKENS, 0, METRIC_NUMBERS, 0, 0},
    {"no_token", METRIC_MISSING, BOOKSUM_OVERALL, -1, 0, METRIC_NUMBERS, 1, 0}, /* no ROUGE token in any summary */
};

static const task_eval evaluation = {
    .request_table = request_table,
    .request_count = sizeof request_table / sizeof *request_table,
    .request_bytes = sizeof(booksum_request),
    .keys = {.count = "n", .texts = "data", .split = "split"},
    .begin = booksum_begin,
    .cells = booksum_cells,
    .end = booksum_end,
    .note = booksum_note,
    .open = booksum_open,
    .shape = booksum_shape,
    .read = booksum_read,
    .score = booksum_score,
    .close = booksum_close,
};

static const task_tables tables = {.paper = booksum_paper};

const task_module booksum_task = {
    .name = "booksum",
    .summary = "summary of a book after it was read as a stream, by ROUGE (F, stemmed)",
    .cluster = "bid",
    .target = "id",
    .response = "generated",
    .version = 1,
    .scorer_version = 1,
    .value = booksum_value,
    .value_count = BOOKSUM_VALUES,
    .metric = metrics,
    .metric_count = sizeof metrics / sizeof *metrics,
    .eval = &evaluation,
    .train = &booksum_training,
    .tables = &tables,
    .references = &booksum_references,
};
