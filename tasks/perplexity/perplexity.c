/* Perplexity of documents, each streamed from an empty state, or cut into pieces by another program's protocol. A
 * document's stream is the tokenizer's begin token and then the document's own tokens. */
#include "tasks/perplexity/run.h"

#include "harness/base/os.h"
#include "tasks/paper.h"
#include "tasks/perplexity/compressors.h"
#include "tasks/perplexity/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct perplexity_request {
    char data[KV_TEXT_MAX], split[KV_TEXT_MAX];
    int64_t docs, max_tokens;
    int64_t protocol; /* protocol_kind */
    int64_t context, stride;
} perplexity_request;

#define FIELD(name) offsetof(perplexity_request, name)

static const kv_spec request_table[] = {
    {"data", KV_TEXT, FIELD(data), "books", 0, 0, NULL,
     "comma-separated list of corpora: names under " CORPUS_TEXTS ", or paths"},
    {"split", KV_TEXT, FIELD(split), "", 0, 0, NULL,
     "train, validation (also: valid, val, dev) or test; unset: test where a corpus has splits, else all of it"},
    {"docs", KV_INT, FIELD(docs), "0", 0, 10000000, NULL, "only the first so many documents of each; 0: all"},
    {"max_tokens", KV_SIZE, FIELD(max_tokens), "0", 0, 1099511627776, NULL,
     "only the first so many tokens of each document; 0: all"},
    {"protocol", KV_CHOICE, FIELD(protocol), "stream", 0, 0, PROTOCOL_NAMES,
     "stream: the whole document, every token scored; window: as HuggingFace's guide; llama.cpp: as its tool"},
    {"context", KV_SIZE, FIELD(context), "0", 0, 1073741824, NULL,
     "tokens of a window (0: 2048) or of a chunk of llama.cpp (0: 512)"},
    {"stride", KV_SIZE, FIELD(stride), "0", 0, 1073741824, NULL,
     "tokens from one window to the next, and scored in each (0: 512)"},
};

/* Keys that journals are older than. */
static const char *const young[] = {"protocol", "context", "stride", NULL};

static protocol protocol_of(const perplexity_request *r)
{
    return (protocol){(protocol_kind)r->protocol, (uint64_t)r->context, (uint64_t)r->stride};
}

static int perplexity_settle(void *request, pal_error *err)
{
    perplexity_request *r = request;
    protocol p = protocol_of(r);
    PAL_TRY(protocol_settle(&p, err));
    r->context = (int64_t)p.context;
    r->stride = (int64_t)p.stride;
    return PAL_OK;
}

/* The name of a range is where it begins. */
#define RANGES(X)                                                                                                 \
    X(0, "0")                                                                                                     \
    X(1, "256")                                                                                                   \
    X(2, "512")                                                                                                   \
    X(3, "1K")                                                                                                    \
    X(4, "2K")                                                                                                    \
    X(5, "4K")                                                                                                    \
    X(6, "8K")                                                                                                    \
    X(7, "16K")                                                                                                   \
    X(8, "32K")                                                                                                   \
    X(9, "64K")                                                                                                   \
    X(10, "128K")                                                                                                 \
    X(11, "256K")                                                                                                 \
    X(12, "512K")

#define NLL_NAME(i, from) [PERPLEXITY_RANGE_NLL + (i)] = "nll@" from,
#define TOKENS_NAME(i, from) [PERPLEXITY_RANGE_TOKENS + (i)] = "tokens@" from,
static const char *const values[PERPLEXITY_VALUES] = {[PERPLEXITY_NLL] = "nll",
                                                      [PERPLEXITY_TOKENS] = "tokens",
                                                      [PERPLEXITY_WORDS] = "words",
                                                      [PERPLEXITY_BYTES] = "bytes",
                                                      RANGES(NLL_NAME) RANGES(TOKENS_NAME)};

#define RANGE_METRIC(i, from)                                                                                     \
    {"token_ppl@" from, METRIC_PERPLEXITY, PERPLEXITY_RANGE_NLL + (i), PERPLEXITY_RANGE_TOKENS + (i), 0, 0, 1, 0},
static const task_metric metrics[] = {
    {"bits_per_byte", METRIC_BITS, PERPLEXITY_NLL, PERPLEXITY_BYTES, 0, 0, 0, 0},
    {"token_ppl", METRIC_PERPLEXITY, PERPLEXITY_NLL, PERPLEXITY_TOKENS, 0, 0, 0, 0},
    {"word_ppl", METRIC_PERPLEXITY, PERPLEXITY_NLL, PERPLEXITY_WORDS, 0, 0, 0, 0},
    RANGES(RANGE_METRIC)};

int perplexity_range(uint64_t position)
{
    int range = 0;
    for (uint64_t from = PERPLEXITY_FIRST_RANGE; range + 1 < PERPLEXITY_RANGES && position >= from; from *= 2)
        range++;
    return range;
}

/* ---- A run: corpora ---- */

/* "books/test", "books/test:64K" or "books/test:64K,window=2K/512". */
static int name_cell(const perplexity_run *run, const perplexity_request *r, const char *path, task_cell *cell,
                     pal_error *err)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t from = end;
    while (from > 0 && path[from - 1] != '/') from--;
    char limit[24] = "", number[24];
    if (r->max_tokens) snprintf(limit, sizeof limit, ":%s", kv_format_size(r->max_tokens, number));
    protocol_name(&run->protocol, cell->variant, sizeof cell->variant);
    const int size = snprintf(cell->name, sizeof cell->name, "%.*s/%s%s%s%s", (int)(end - from), path + from,
                              cell->split, limit,
                              !cell->variant[0] ? ""
                              : limit[0]        ? ","
                                                : ":",
                              cell->variant);
    if ((size_t)size >= sizeof cell->name)
        return pal_fail(err, PAL_USAGE, "perplexity: data=%s: the name is too long; give the corpus a shorter one",
                        path);
    for (size_t i = 0; i < run->count; i++)
        if (strcmp(run->cell[i].name, cell->name) == 0)
            return pal_fail(err, PAL_USAGE,
                            "perplexity: %s is asked for twice; give every corpus once, by a name of "
                            "its own",
                            cell->name);
    return PAL_OK;
}

/* A corpus that was opened becomes a cell. */
typedef struct opening {
    perplexity_run *run;
    const perplexity_request *request;
} opening;

static int add_corpus(void *arg, corpus *c, const char *path, pal_error *err)
{
    const opening *o = arg;
    perplexity_run *run = o->run;
    const int64_t docs = o->request->docs, held = (int64_t)corpus_count(c);
    task_cell cell = {.depth = NAN, .split = corpus_split(c)};
    perplexity_text t = {.corpus = NULL};
    task_cell *cells = realloc(run->cell, (run->count + 1) * sizeof *cells);
    if (cells) run->cell = cells;
    perplexity_text *texts = realloc(run->text, (run->count + 1) * sizeof *texts);
    if (texts) run->text = texts;
    int code = cells && texts ? name_cell(run, o->request, path, &cell, err)
                              : pal_fail(err, PAL_INTERNAL, "perplexity: out of memory for the corpora");
    const size_t documents = (size_t)(docs && docs < held ? docs : held);
    if (code == PAL_OK) code = perplexity_text_read(run, c, documents, &t, cell.data, err);
    if (code != PAL_OK) {
        corpus_close(c);
        t.corpus = NULL;
        perplexity_text_free(&t);
        return code;
    }
    cell.samples = (int64_t)t.pieces;
    run->cell[run->count] = cell;
    run->text[run->count++] = t;
    return PAL_OK;
}

static const perplexity_run *run_of(const task_run *run)
{
    return (const perplexity_run *)run;
}

static void perplexity_end(task_run *handle)
{
    perplexity_run *run = (perplexity_run *)handle;
    for (size_t i = 0; i < run->count; i++) perplexity_text_free(&run->text[i]);
    free(run->text);
    free(run->cell);
    free(run);
}

static int perplexity_begin(const void *request, const tokenizer *t, task_run **out, pal_error *err)
{
    const perplexity_request *r = request;
    perplexity_run *run = calloc(1, sizeof *run);
    if (!run) return pal_fail(err, PAL_INTERNAL, "perplexity: out of memory");
    *run = (perplexity_run){.tokenizer = t,
                            .max_tokens = (uint64_t)r->max_tokens,
                            .protocol = protocol_of(r),
                            .begins = r->protocol == PROTOCOL_STREAM || tokenizer_adds_begin(t)};
    opening o = {run, r};
    const int code = corpus_open_list(r->data, split_canonical(r->split), "test", add_corpus, &o, err);
    if (code != PAL_OK) {
        perplexity_end((task_run *)run);
        return code;
    }
    *out = (task_run *)run;
    return PAL_OK;
}

static int perplexity_note(const task_run *handle, size_t index, char *out, size_t size)
{
    const perplexity_run *run = run_of(handle);
    for (size_t i = 0; i < run->count; i++) {
        const char *name = run->cell[i].name;
        if (perplexity_text_note(&run->text[i], name, out, size) && index-- == 0) return 1;
        for (size_t k = 0; text_scan_note(run->text[i].scan, name, k, out, size); k++)
            if (index-- == 0) return 1;
    }
    return 0;
}

static size_t perplexity_cells(const task_run *run, const task_cell **cells)
{
    *cells = run_of(run)->cell;
    return run_of(run)->count;
}

/* Table 2 of the Infini-attention paper (arXiv 2404.07143): token-level perplexity of whole documents. */
static double perplexity_paper(const task_cell *cell, const char *metric, const model_facts *model,
                               const char **row)
{
    const int pg19 = strncasecmp(cell->name, "pg19", 4) == 0, math = strncasecmp(cell->name, "arxiv", 5) == 0;
    const paper_perplexity *found = paper_perplexity_find(model);
    if (!found || cell->variant[0] || (!pg19 && !math) || strcmp(metric, "token_ppl") != 0) return NAN;
    *row = found->name;
    return pg19 ? found->pg19 : found->math;
}

static const task_eval evaluation = {
    .request_table = request_table,
    .request_count = sizeof request_table / sizeof *request_table,
    .request_bytes = sizeof(perplexity_request),
    .keys = {.count = "docs", .texts = "data", .split = "split", .young = young},
    .settle = perplexity_settle,
    .begin = perplexity_begin,
    .cells = perplexity_cells,
    .end = perplexity_end,
    .note = perplexity_note,
    .open = perplexity_open,
    .shape = perplexity_shape,
    .read = perplexity_read,
    .score = perplexity_score,
    .close = perplexity_close,
};

static const task_tables tables = {.paper = perplexity_paper};

const task_module perplexity_task = {
    .name = "perplexity",
    .summary = "loss on every token of whole documents, each read from an empty state",
    .cluster = "document",
    .target = "document",
    .version = 1,
    .scorer_version = 1,
    .value = values,
    .value_count = PERPLEXITY_VALUES,
    .metric = metrics,
    .metric_count = sizeof metrics / sizeof *metrics,
    .eval = &evaluation,
    .train = &perplexity_training,
    .tables = &tables,
    .references = &perplexity_references,
};
