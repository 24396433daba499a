/* Passkey retrieval (Mohtashami and Jaggi 2023) in the text of the Infini-attention paper (arXiv 2404.07143, table
 * 3): one key in a haystack of repeated sentences, asked for at the end.
 *
 * LEN counts everything the model must hold, prompt and answer, as RULER counts its max_seq_length: the prompt has
 * LEN - 6 tokens and the answer is " 12345", a space and five digits of one token each. The prompt
 *
 *   header filler_before needle filler_after question
 *
 * is built to the token and never cut. filler_after is whole sentences; filler_before takes the remainder, so it
 * may start inside a sentence or a word. A sample is a pure function of (seed, cell, index) and is read in O(1)
 * memory. */
#include "harness/base/rng.h"
#include "tasks/passkey_text.h"
#include "tasks/passkey_train.h"
#include "tasks/task.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_MAX = 64 * 1024 * 1024, GENERATED_MAX = 8, PIECES = 6 };

typedef struct passkey_request {
    kv_list length, depths;
    int64_t samples, seed;
    double jitter;
} passkey_request;

#define FIELD(name) offsetof(passkey_request, name)

static const kv_spec request_table[] = {
    {"len", KV_SIZES, FIELD(length), "32K", PASSKEY_FIXED_SIZE, LENGTH_MAX, NULL,
     "tokens of prompt and answer together; the answer is the last 6 (a space and 5 digits)"},
    {"depths", KV_REALS, FIELD(depths), "0,50,100", 0, 100, NULL,
     "where the needle stands, percent of the room for it: 0 right after the header, 100 right before the "
     "question"},
    {"n", KV_INT, FIELD(samples), "10", 1, PASSKEY_EVAL_KEYS, NULL,
     "samples per length and depth, all with different keys"},
    {"seed", KV_INT, FIELD(seed), "1", 0, 9007199254740992, NULL, "of the keys and the jitter"},
    {"jitter", KV_REAL, FIELD(jitter), "2", 0, 5, NULL,
     "depths other than 0 and 100 vary by up to this much either way from sample to sample, percent of the room"},
};

enum { TOKEN_ACCURACY, EXACT_MATCH, FIRST_INTEGER, ANSWER_NLL, METRICS };

static const task_metric metrics[METRICS] = {
    [TOKEN_ACCURACY] = {"token_accuracy", 1, 0}, /* share of the 5 digits, given the true ones before */
    [EXACT_MATCH] = {"exact_match", 1, 1},       /* all 5 of them */
    [FIRST_INTEGER] = {"first_integer", 1, 1},   /* the first integer generated is the key, as a number */
    [ANSWER_NLL] = {"answer_nll", 0, 0},         /* mean nats per digit */
};

/* A run of the text: bytes of memory, or a stretch of filler where `text` is NULL. */
typedef struct piece {
    const char *text;
    int64_t size;
} piece;

struct task_sample {
    int64_t length, needle_offset;
    double depth, depth_actual;
    char needle[PASSKEY_NEEDLE_SIZE + 1];
    char answer[PASSKEY_ANSWER_SIZE + 1];
    piece piece[PIECES];
    int current;    /* the piece being read */
    int64_t within; /* its bytes already read */
};

static int passkey_plan(const void *request, task_cell **cells, size_t *count, pal_error *err)
{
    const passkey_request *r = request;
    if (!r->length.count || !r->depths.count)
        return pal_fail(err, PAL_USAGE, "passkey: %s is empty; give at least one value",
                        r->length.count ? "depths" : "len");
    if (r->samples < 1 || r->samples > PASSKEY_EVAL_KEYS)
        return pal_fail(err, PAL_USAGE, "passkey: n=%lld; there are 1 to %d different keys to ask for",
                        (long long)r->samples, PASSKEY_EVAL_KEYS);
    for (int64_t i = 0; i < r->length.count; i++)
        if (!(r->length.value[i] >= PASSKEY_FIXED_SIZE && r->length.value[i] <= LENGTH_MAX))
            return pal_fail(err, PAL_USAGE,
                            "passkey: len=%.0f; the text and its answer take at least %d tokens, at most 64M",
                            r->length.value[i], PASSKEY_FIXED_SIZE);
    for (int64_t i = 0; i < r->depths.count; i++)
        if (!(r->depths.value[i] >= 0 && r->depths.value[i] <= 100))
            return pal_fail(err, PAL_USAGE, "passkey: depths has %g; a depth is a percentage, 0 to 100",
                            r->depths.value[i]);

    task_cell *list = calloc((size_t)(r->length.count * r->depths.count), sizeof *list);
    if (!list) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for the cells");
    size_t used = 0;
    for (int64_t i = 0; i < r->length.count; i++) {
        for (int64_t j = 0; j < r->depths.count; j++) {
            task_cell *cell = &list[used];
            cell->length = (int64_t)r->length.value[i];
            cell->depth = r->depths.value[j];
            cell->samples = r->samples;
            snprintf(cell->name, sizeof cell->name, "len=%lld,depth=%.10g", (long long)cell->length, cell->depth);
            for (size_t k = 0; k < used; k++) {
                if (strcmp(list[k].name, cell->name) != 0) continue;
                pal_fail(err, PAL_USAGE, "passkey: %s is asked for twice; give every length and depth once",
                         cell->name);
                free(list);
                return PAL_USAGE;
            }
            used++;
        }
    }
    *cells = list;
    *count = used;
    return PAL_OK;
}

/* How many tokens of filler come before the needle, of `room` in all. */
static int64_t needle_place(const passkey_request *r, const task_cell *cell, int64_t index, int64_t room)
{
    double percent = cell->depth;
    if (percent > 0 && percent < 100) {
        char domain[96];
        snprintf(domain, sizeof domain, "passkey/jitter/%s", cell->name);
        rng draw = rng_make((uint64_t)r->seed, domain, (uint64_t)index, 0);
        percent += r->jitter * (2 * rng_uniform(&draw) - 1);
    }
    double place = floor((double)room * percent / 100);
    place = place < 0 ? 0 : place > (double)room ? (double)room : place;
    return room - passkey_sentences_near(room - (int64_t)place, room);
}

static int passkey_open(const void *request, const task_cell *cell, int64_t index, task_sample **out,
                        pal_error *err)
{
    const passkey_request *r = request;
    if (index < 0 || index >= cell->samples)
        return pal_fail(err, PAL_USAGE, "passkey: %s has samples 0 to %lld, not %lld", cell->name,
                        (long long)cell->samples - 1, (long long)index);
    task_sample *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for a sample");

    char domain[96];
    snprintf(domain, sizeof domain, "passkey/key/%s", cell->name);
    const int key = passkey_eval_key((uint64_t)r->seed, domain, index);
    passkey_needle(key, s->needle);
    passkey_answer(key, s->answer);

    const int64_t room = cell->length - PASSKEY_FIXED_SIZE;
    const int64_t before = needle_place(r, cell, index, room);
    s->length = cell->length;
    s->needle_offset = PASSKEY_HEADER_SIZE + before;
    s->depth = cell->depth;
    s->depth_actual = room ? 100 * (double)before / (double)room : cell->depth;
    s->piece[0] = (piece){PASSKEY_HEADER, PASSKEY_HEADER_SIZE};
    s->piece[1] = (piece){NULL, before};
    s->piece[2] = (piece){s->needle, PASSKEY_NEEDLE_SIZE};
    s->piece[3] = (piece){NULL, room - before};
    s->piece[4] = (piece){PASSKEY_QUESTION, PASSKEY_QUESTION_SIZE};
    s->piece[5] = (piece){s->answer, PASSKEY_ANSWER_SIZE};
    *out = s;
    return PAL_OK;
}

static size_t passkey_read(task_sample *s, int32_t *tokens, size_t max)
{
    size_t count = 0;
    while (count < max && s->current < PIECES) {
        const piece *p = &s->piece[s->current];
        for (; count < max && s->within < p->size; s->within++) {
            const char c = p->text ? p->text[s->within] : passkey_filler(p->size, s->within);
            bytes_encode(&c, 1, &tokens[count++]);
        }
        if (s->within == p->size) {
            s->current++;
            s->within = 0;
        }
    }
    return count;
}

static uint64_t passkey_prompt_tokens(const task_sample *s)
{
    return (uint64_t)(s->length - PASSKEY_ANSWER_SIZE);
}

static uint64_t passkey_score_from(const task_sample *s)
{
    return (uint64_t)(s->length - PASSKEY_DIGITS);
}

static size_t passkey_generate(const task_sample *s)
{
    (void)s;
    return PASSKEY_ANSWER_SIZE; /* LEN counts prompt and answer: there is no room for more */
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether the first run of digits in `text` is the number `key` (a string of digits). */
static int first_integer_is(const char *text, size_t size, const char *key)
{
    size_t from = 0;
    while (from < size && !is_digit(text[from])) from++;
    size_t to = from;
    while (to < size && is_digit(text[to])) to++;
    if (from == to) return 0;
    while (from + 1 < to && text[from] == '0') from++;
    while (key[0] == '0' && key[1]) key++;
    return to - from == strlen(key) && memcmp(text + from, key, to - from) == 0;
}

/* Any bytes as the inside of a JSON string. Bytes that are not printable ASCII become \u0000 to \u00ff, so the
 * record is valid whatever the model made and still tells every byte. `out` holds 6 * size + 1 bytes. */
static void json_escape(const char *text, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            out += sprintf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            out += sprintf(out, "\\u%04x", c);
        else
            *out++ = (char)c;
    }
    *out = '\0';
}

static void write_record(const task_sample *s, const char *argmax, const char *generated, size_t generated_size,
                         char *record, size_t record_size)
{
    char argmax_json[6 * PASSKEY_DIGITS + 1], generated_json[6 * GENERATED_MAX + 1];
    json_escape(argmax, PASSKEY_DIGITS, argmax_json);
    json_escape(generated, generated_size, generated_json);
    const int size = snprintf(record, record_size,
                              "{\"key\":\"%s\",\"needle_offset\":%lld,\"depth\":%.10g,\"depth_actual\":%.10g,"
                              "\"argmax\":\"%s\",\"generated\":\"%s\"}",
                              s->answer + 1, (long long)s->needle_offset, s->depth, s->depth_actual, argmax_json,
                              generated_json);
    /* Half an object would break the journal that holds it. */
    if ((size_t)size >= record_size) snprintf(record, record_size, "%s", record_size > 2 ? "{}" : "");
}

/* A record takes less than 300 bytes. */
static void passkey_score(const task_sample *s, const task_output *out, double *metric, char *record,
                          size_t record_size)
{
    const size_t from = (size_t)(passkey_score_from(s) - out->first);
    const char *key = s->answer + 1;
    int hits = 0;
    double nll = 0;
    for (size_t i = 0; i < PASSKEY_DIGITS; i++) {
        hits += out->argmax[from + i] == key[i];
        nll += out->nll[from + i];
    }
    char argmax[PASSKEY_DIGITS + 1], generated[GENERATED_MAX + 1];
    const size_t size = out->generated_count < GENERATED_MAX ? out->generated_count : GENERATED_MAX;
    bytes_decode(out->argmax + from, PASSKEY_DIGITS, argmax);
    bytes_decode(out->generated, size, generated);
    metric[TOKEN_ACCURACY] = (double)hits / PASSKEY_DIGITS;
    metric[EXACT_MATCH] = hits == PASSKEY_DIGITS;
    metric[FIRST_INTEGER] = first_integer_is(generated, size, key);
    metric[ANSWER_NLL] = nll / PASSKEY_DIGITS;
    write_record(s, argmax, generated, size, record, record_size);
}

static void passkey_close(task_sample *s)
{
    free(s);
}

/* Table 3, fine-tuned: percent at the start, in the middle and at the end. */
static const struct {
    const char *model, *row;
    double percent[5][3];
} paper_rows[] = {
    {"infini-linear",
     "Infini FT Linear",
     {{100, 100, 100}, {100, 100, 100}, {100, 100, 100}, {97, 99, 100}, {96, 94, 100}}},
    {"infini-delta",
     "Infini FT Linear + Delta",
     {{100, 100, 100}, {100, 100, 99}, {100, 100, 99}, {100, 100, 100}, {100, 100, 100}}},
};

static double passkey_paper(const task_cell *cell, const char *metric, const char *model, const char **row)
{
    static const int64_t lengths[5] = {32 << 10, 128 << 10, 256 << 10, 512 << 10, 1024 << 10};
    static const double depths[3] = {0, 50, 100};
    if (strcmp(metric, metrics[TOKEN_ACCURACY].name) != 0) return NAN;
    for (size_t m = 0; m < sizeof paper_rows / sizeof *paper_rows; m++) {
        if (strncmp(model, paper_rows[m].model, strlen(paper_rows[m].model)) != 0) continue;
        for (int i = 0; i < 5; i++) {
            for (int j = 0; j < 3; j++) {
                if (cell->length != lengths[i] || cell->depth != depths[j]) continue;
                *row = paper_rows[m].row;
                return paper_rows[m].percent[i][j] / 100;
            }
        }
    }
    return NAN;
}

const task_module passkey_task = {
    .name = "passkey",
    .version = 1,
    .scorer_version = 1,
    .summary = "find a 5-digit key in a haystack of repeated sentences (the Infini-attention paper's prompt)",
    .metric = metrics,
    .metric_count = METRICS,
    .request_table = request_table,
    .request_count = sizeof request_table / sizeof *request_table,
    .request_bytes = sizeof(passkey_request),
    .plan = passkey_plan,
    .open = passkey_open,
    .read = passkey_read,
    .prompt_tokens = passkey_prompt_tokens,
    .score_from = passkey_score_from,
    .generate = passkey_generate,
    .score = passkey_score,
    .close = passkey_close,
    .paper = passkey_paper,
    .train_table = passkey_train_table,
    .train_count = PASSKEY_TRAIN_KEYS,
    .train_bytes = sizeof(passkey_train),
    .train_check = passkey_train_check,
    .train_fill = passkey_train_fill,
};
