/* Prompts and answers of the user's own, from a file of JSON lines: its keys, its cell and its metrics.
 * A new data set needs a file and no code. */
#include "tasks/jsonl/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_SLACK = 16 /* tokens of a continuation beyond the longest accepted answer */ };

#define FIELD(name) offsetof(jsonl_request, name)

static const kv_spec request_table[] = {
    {"data", KV_TEXT, FIELD(data), "", 0, 0, NULL,
     "a .jsonl or .jsonl.gz file: each line an object with prompt, answer (a text, or a list of those accepted), "
     "and if you like id and cluster"},
    {"scorer", KV_CHOICE, FIELD(scorer), "contains", 0, 0, JSONL_SCORERS,
     "contains: an accepted answer stands in the text, upper and lower case alike; exact: the text's first line "
     "is "
     "one; first-number: its first number is that of one; rouge: F of the best"},
    {"n", KV_INT, FIELD(samples), "0", 0, 100000000, NULL, "the first so many lines; 0: all"},
    {"max_tokens", KV_SIZE, FIELD(max_tokens), "0", 0, 65536, NULL,
     "of a continuation; 0: 16 more than the longest accepted answer takes"},
    {"control", KV_CHOICE, FIELD(control), "none", 0, 0, "none|swapped",
     "swapped: each prompt is scored by the answers of the next line, which must give chance"},
};

/* ---- Opening the file ---- */

/* What is gathered while the lines are checked: the bytes that all prompts begin with, and the longest answer. */
typedef struct gathering {
    jsonl_run *run;
    char *common;
    size_t common_size, longest;
    int any;
} gathering;

static int measure_answers(gathering *g, const prompt_line *line, pal_error *err)
{
    for (size_t i = 0; i < line->answers; i++) {
        answer_tokens tokens;
        PAL_TRY(answer_encode_behind(g->run->tokenizer, line->prompt.text, line->prompt.size, line->answer[i].text,
                                     line->answer[i].size, &tokens, err));
        if (tokens.count > g->longest) g->longest = tokens.count;
        const int none = tokens.count == 0;
        answer_tokens_free(&tokens);
        if (none)
            return pal_fail(err, PAL_DATA, "the tokenizer has no token for anything in \"answer\": %.60s",
                            line->answer[i].text);
    }
    return PAL_OK;
}

static int gather(void *arg, const prompt_line *line, pal_error *err)
{
    gathering *g = arg;
    text_scan *scan = &g->run->scan;
    if (!g->any) {
        g->common = strdup(line->prompt.text);
        if (!g->common) return pal_fail(err, PAL_INTERNAL, "out of memory for a prompt");
        g->common_size = strlen(g->common);
        g->any = 1;
    }
    size_t same = 0;
    while (same < g->common_size && same < line->prompt.size && g->common[same] == line->prompt.text[same]) same++;
    g->common_size = same;
    text_scan_start(scan);
    text_scan_feed(scan, line->prompt.text, line->prompt.size);
    for (size_t i = 0; i < line->answers; i++) {
        text_scan_start(scan);
        text_scan_feed(scan, line->answer[i].text, line->answer[i].size);
        if (g->run->request.scorer == SCORER_NUMBER &&
            !answer_has_number(line->answer[i].text, line->answer[i].size))
            return pal_fail(err, PAL_DATA, "\"answer\" holds no number, as scorer=first-number asks: %.60s",
                            line->answer[i].text);
    }
    return measure_answers(g, line, err);
}

/* Tokens of the prompts' common start, as far as they hang on nothing behind it. */
static int share_start(jsonl_run *run, const gathering *g, pal_error *err)
{
    answer_tokens tokens;
    const size_t safe = tokenizer_safe_prefix(run->tokenizer, g->common, g->common_size);
    if (safe == 0) return PAL_OK;
    PAL_TRY(answer_encode(run->tokenizer, g->common, safe, 1, &tokens, err));
    run->shared = tokens.count;
    answer_tokens_free(&tokens);
    return PAL_OK;
}

/* "capitals:contains": the file's name without folder and extensions. */
static int name_cell(jsonl_run *run, pal_error *err)
{
    const jsonl_request *r = &run->request;
    static const char *const scorer[] = {"contains", "exact", "first-number", "rouge"};
    task_cell *cell = &run->cell;
    const char *slash = strrchr(r->data, '/'), *base = slash ? slash + 1 : r->data;
    size_t size = strlen(base);
    if (size > 3 && strcmp(base + size - 3, ".gz") == 0) size -= 3;
    if (size > 6 && strncmp(base + size - 6, ".jsonl", 6) == 0) size -= 6;
    const int64_t held = (int64_t)prompt_file_count(run->file);
    *cell = (task_cell){.depth = NAN, .samples = r->samples && r->samples < held ? r->samples : held};
    memcpy(cell->data, prompt_file_digest(run->file), HASH_HEX);
    snprintf(cell->variant, sizeof cell->variant, "%s%s", scorer[r->scorer],
             r->control == CONTROL_SWAPPED ? ",swapped" : "");
    const int length = snprintf(cell->name, sizeof cell->name, "%.*s:%s", (int)size, base, cell->variant);
    if ((size_t)length < sizeof cell->name) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "jsonl: data=%s: the name is too long; give the file a shorter one", r->data);
}

static int check_request(const jsonl_request *r, pal_error *err)
{
    if (!r->data[0])
        return pal_fail(
            err, PAL_USAGE,
            "jsonl: data= is missing; give a .jsonl file whose lines are {\"prompt\": TEXT, \"answer\": "
            "TEXT or a list}");
    return PAL_OK;
}

static int fill_run(jsonl_run *run, pal_error *err)
{
    gathering g = {.run = run};
    PAL_TRY(check_request(&run->request, err));
    tokenizer_mark_special(run->tokenizer, &run->scan);
    int code = prompt_file_open(&run->file, run->request.data, gather, &g, err);
    if (code == PAL_OK && run->request.control == CONTROL_SWAPPED && prompt_file_count(run->file) < 2)
        code = pal_fail(err, PAL_USAGE, "jsonl: data=%s: control=swapped needs at least two lines",
                        run->request.data);
    if (code == PAL_OK) code = share_start(run, &g, err);
    free(g.common);
    PAL_TRY(code);
    run->max_tokens = run->request.max_tokens ? (size_t)run->request.max_tokens : g.longest + ANSWER_SLACK;
    return name_cell(run, err);
}

static void jsonl_end(task_run *handle)
{
    jsonl_run *run = (jsonl_run *)handle;
    if (!run) return;
    prompt_file_close(run->file);
    free(run);
}

static int jsonl_begin(const void *request, const tokenizer *t, task_run **out, pal_error *err)
{
    jsonl_run *run = calloc(1, sizeof *run);
    if (!run) return pal_fail(err, PAL_INTERNAL, "jsonl: out of memory for the request");
    run->request = *(const jsonl_request *)request;
    run->tokenizer = t;
    const int code = fill_run(run, err);
    if (code == PAL_OK)
        *out = (task_run *)run;
    else
        jsonl_end((task_run *)run);
    return code;
}

static int jsonl_note(const task_run *handle, size_t index, char *out, size_t size)
{
    const jsonl_run *run = (const jsonl_run *)handle;
    return text_scan_note(&run->scan, run->request.data, index, out, size);
}

static size_t jsonl_cells(const task_run *run, const task_cell **cells)
{
    *cells = &((const jsonl_run *)run)->cell;
    return 1;
}

static const task_metric metrics[] = {
    {"accuracy", METRIC_SHARE, JSONL_RIGHT, JSONL_ASKED, 1, METRIC_COUNTS, 0, 0},
    {"rouge1", METRIC_SHARE, JSONL_ROUGE + ROUGE_1, -1, 1, METRIC_GAPS, 0, 0},
    {"rouge2", METRIC_SHARE, JSONL_ROUGE + ROUGE_2, -1, 1, METRIC_GAPS, 0, 0},
    {"rougeL", METRIC_SHARE, JSONL_ROUGE + ROUGE_L, -1, 1, METRIC_GAPS, 0, 0},
    {"rougeLsum", METRIC_SHARE, JSONL_ROUGE + ROUGE_LSUM, -1, 1, METRIC_GAPS, 1, 0},
    {"answer_ppl", METRIC_PERPLEXITY, JSONL_NLL, JSONL_TOKENS, 0, METRIC_NUMBERS, 0, 0},
    {"token_accuracy", METRIC_SHARE, JSONL_TOKENS_RIGHT, JSONL_TOKENS, 1, METRIC_COUNTS, 1, 0},
};

static const task_eval evaluation = {
    .request_table = request_table,
    .request_count = sizeof request_table / sizeof *request_table,
    .request_bytes = sizeof(jsonl_request),
    .keys = {.count = "n", .texts = "data"},
    .shares = 1,
    .begin = jsonl_begin,
    .cells = jsonl_cells,
    .end = jsonl_end,
    .note = jsonl_note,
    .open = jsonl_open,
    .shape = jsonl_shape,
    .read = jsonl_read,
    .score = jsonl_score,
    .close = jsonl_close,
};

const task_module jsonl_task = {
    .name = "jsonl",
    .summary = "prompts and answers of your own, from a file of JSON lines",
    .cluster = "cluster",
    .target = "answer",
    .response = "generated",
    .version = 1,
    .scorer_version = 1,
    .value = jsonl_value,
    .value_count = JSONL_VALUES,
    .metric = metrics,
    .metric_count = sizeof metrics / sizeof *metrics,
    .eval = &evaluation,
};
