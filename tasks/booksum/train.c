/* Draws books or stories and lays them out as training sequences. */
#include "tasks/booksum/train.h"

#include "harness/base/rng.h"
#include "tasks/booksum/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(booksum_train, name)

enum { START_FIRST, START_RANDOM };

static const kv_spec table[] = {
    {"data", KV_TEXT, FIELD(data), BOOKSUM_STORIES, 0, 0, NULL,
     BOOKSUM_STORIES ", or a comma-separated list of books with summaries, each as in evaluation"},
    {"split", KV_TEXT, FIELD(split), "train", 0, 0, NULL, "train, validation or test"},
    {"booksum_lm_weight", KV_REAL, FIELD(lm_weight), "0.02", 0, 1000, NULL,
     "loss weight of the tokens of books and of the separator (a summary's weigh 1)"},
    {"booksum_lead", KV_REAL, FIELD(lead), "0", 0, 1, NULL,
     "share of the sequences without the begin token, as if the book had gone on for long"},
    {"booksum_quiz", KV_REAL, FIELD(quiz), "0", 0, 0.9, NULL,
     "share of a sequence that asks for a story's facts in random order, behind the summary; what is asked for "
     "weighs 1"},
    {"booksum_span", KV_REAL, FIELD(span), "0.95", 0, 1, NULL,
     "a story's facts lie in this first part of it; 0.95 in evaluation"},
    {"booksum_start", KV_CHOICE, FIELD(start), "first", 0, 0, "first|random",
     "random: a book is read from a drawn place on; stories are always read from their beginning"},
};

/* A book and its summaries. */
typedef struct example {
    booksum_tokens text, *summary;
    size_t summaries;
} example;

typedef struct booksum_source {
    const booksum_train *train;
    const tokenizer *tokenizer;
    uint64_t seed;
    story_split split; /* of stories */
    example *example;  /* NULL: stories */
    size_t examples;
    booksum_tokens separator;
    int64_t length;
    int32_t *text; /* [length + 1], of the sequence that is being filled */
    float *weight; /* [length + 1] */
    story story;
} booksum_source;

/* What the sequence of a lane reads. */
typedef struct plan {
    int lead;
    size_t example, summary;
    double start; /* in [0, 1) */
    story_key key;
} plan;

/* ---- Opening ---- */

static int load_example(const booksum_file *f, size_t index, const tokenizer *t, example *out, pal_error *err)
{
    booksum_book book;
    PAL_TRY(booksum_file_read(f, index, &book, err));
    int code = booksum_encode(t, book.text.text, book.text.size, &out->text, err);
    out->summary = calloc(book.summaries, sizeof *out->summary);
    if (code == PAL_OK && !out->summary) code = pal_fail(err, PAL_INTERNAL, "booksum training: out of memory");
    for (size_t i = 0; code == PAL_OK && i < book.summaries; i++, out->summaries++)
        code = booksum_encode_summary(t, book.summary[i].text, book.summary[i].size, &out->summary[i], err);
    booksum_book_free(&book);
    return code;
}

/* A kv_take_name: the books of one file, behind those that are there. */
static int load_examples(void *source, const char *name, pal_error *err)
{
    booksum_source *s = source;
    char path[BOOKSUM_PATH];
    int whole;
    booksum_file *file;
    PAL_TRY(booksum_find(name, s->train->split, path, &whole, err));
    PAL_TRY(booksum_file_open(&file, path, err));
    const size_t count = booksum_file_count(file);
    example *all = realloc(s->example, (s->examples + count) * sizeof *all);
    int code = all ? PAL_OK : pal_fail(err, PAL_INTERNAL, "booksum training: out of memory");
    if (all) {
        s->example = all;
        memset(all + s->examples, 0, count * sizeof *all);
    }
    for (size_t i = 0; code == PAL_OK && i < count; i++)
        code = load_example(file, i, s->tokenizer, &s->example[s->examples++], err);
    booksum_file_close(file);
    return code;
}

static int open_texts(booksum_source *s, pal_error *err)
{
    PAL_TRY(booksum_encode(s->tokenizer, BOOKSUM_SEPARATOR, strlen(BOOKSUM_SEPARATOR), &s->separator, err));
    if (booksum_is_stories(s->train->data)) return booksum_story_split(s->train->split, &s->split, err);
    return kv_each_name("data", s->train->data, load_examples, s, err);
}

static void source_close(task_source *handle)
{
    booksum_source *s = (booksum_source *)handle;
    if (!s) return;
    for (size_t i = 0; s->example && i < s->examples; i++) {
        booksum_tokens_free(&s->example[i].text);
        for (size_t k = 0; k < s->example[i].summaries; k++) booksum_tokens_free(&s->example[i].summary[k]);
        free(s->example[i].summary);
    }
    free(s->example);
    booksum_tokens_free(&s->separator);
    free(s->text);
    free(s->weight);
    free(s);
}

static int source_open(const void *train, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err)
{
    booksum_source *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "booksum training: out of memory");
    s->train = train;
    s->tokenizer = t;
    s->seed = seed;
    const int code = open_texts(s, err);
    if (code == PAL_OK)
        *out = (task_source *)s;
    else
        source_close((task_source *)s);
    return code;
}

/* ---- Sequences ---- */

static plan plan_sequence(const booksum_source *s, int64_t step, int64_t lane)
{
    rng draws = rng_make(s->seed, "booksum/train", (uint64_t)step, (uint32_t)lane);
    plan p = {.lead = rng_uniform(&draws) < s->train->lead,
              .key = {s->seed, s->split, (uint64_t)step, (uint32_t)lane}};
    if (!s->example) return p;
    p.example = rng_below(&draws, s->examples);
    p.summary = rng_below(&draws, s->example[p.example].summaries);
    p.start = s->train->start == START_RANDOM ? rng_uniform(&draws) : 0;
    return p;
}

/* Tokens of the book before those that are read, when there is room for `room`. */
static size_t skipped_tokens(const booksum_tokens *text, const plan *p, size_t room)
{
    return text->count > room ? (size_t)(p->start * (double)(text->count - room + 1)) : 0;
}

static void append(booksum_source *s, size_t *used, const int32_t *token, size_t count, double weight)
{
    memcpy(s->text + *used, token, count * sizeof *token);
    for (size_t i = 0; i < count; i++) s->weight[*used + i] = (float)weight;
    *used += count;
}

/* As much of `text` as the sequence has room for. */
static void append_text(booksum_source *s, size_t *used, const char *text, double weight)
{
    int32_t token[STORY_SENTENCE];
    const size_t count = tokenizer_encode(s->tokenizer, text, strlen(text), token);
    const size_t left = (size_t)s->length + 1 - *used;
    append(s, used, token, count < left ? count : left, weight);
}

/* Tokens of the sequence's summary that are read. */
static size_t summary_tokens(const booksum_source *s, const booksum_tokens *summary)
{
    const size_t half = (size_t)s->length / 2;
    return s->example && summary->count > half ? half : summary->count;
}

/* Room for a book beside its summary; 0: none. */
static size_t room_of(const booksum_source *s, const plan *p, size_t summary)
{
    const size_t quiz = s->example ? 0 : (size_t)(s->train->quiz * (double)s->length);
    const size_t taken = !p->lead + s->separator.count + summary + quiz, all = (size_t)s->length + 1;
    return taken < all ? all - taken : 0;
}

/* " The ring went to" " Rose." until the sequence is full. */
static void put_quiz(booksum_source *s, const plan *p, size_t *used)
{
    rng draws = rng_make(p->key.seed, "booksum/quiz", p->key.index, p->key.sub);
    while (*used < (size_t)s->length + 1) {
        char cue[STORY_SENTENCE], value[STORY_SENTENCE];
        const int slot = (int)rng_below(&draws, STORY_SLOTS);
        const int size = (int)strlen(story_cue(slot)) - 1; /* the space goes with the value */
        snprintf(cue, sizeof cue, " The%.*s", size - 3, story_cue(slot) + 3);
        snprintf(value, sizeof value, " %s.", story_value(slot, s->story.value[slot]));
        append_text(s, used, cue, s->train->lm_weight);
        append_text(s, used, value, 1);
    }
}

/* Put the sequence into s->text and s->weight, *used tokens. */
static int put_sequence(booksum_source *s, const plan *p, const booksum_tokens *summary, size_t *used,
                        pal_error *err)
{
    const size_t tokens = summary_tokens(s, summary), room = room_of(s, p, tokens);
    const double weight = s->train->lm_weight;
    const int32_t begin = tokenizer_begin(s->tokenizer);
    *used = 0;
    if (!p->lead) append(s, used, &begin, 1, weight);
    if (s->example) {
        const booksum_tokens *text = &s->example[p->example].text;
        append(s, used, text->token + skipped_tokens(text, p, room), text->count < room ? text->count : room,
               weight);
    } else {
        PAL_TRY(story_begin(&s->story, s->tokenizer, &p->key, (int64_t)room, s->train->span, err));
        const size_t made = story_read(&s->story, s->text + *used, room);
        for (size_t i = 0; i < made; i++) s->weight[(*used)++] = (float)weight;
    }
    append(s, used, s->separator.token, s->separator.count, weight);
    append(s, used, summary->token, tokens, 1);
    if (!s->example) put_quiz(s, p, used);
    return PAL_OK;
}

static int story_tokens(const booksum_source *s, const plan *p, booksum_tokens *out, pal_error *err)
{
    int value[STORY_SLOTS];
    char text[STORY_SUMMARY];
    story_facts(&p->key, value);
    const size_t size = story_summary(value, text);
    return booksum_encode_summary(s->tokenizer, text, size, out, err);
}

static int source_fill(task_source *handle, int64_t step, int64_t lane, int32_t *tokens, int32_t *targets,
                       float *weight, int *fresh, pal_error *err)
{
    booksum_source *s = (booksum_source *)handle;
    const plan p = plan_sequence(s, step, lane);
    size_t used = 0;
    booksum_tokens told = {0};
    if (!s->example) PAL_TRY(story_tokens(s, &p, &told, err));
    const int code =
        put_sequence(s, &p, s->example ? &s->example[p.example].summary[p.summary] : &told, &used, err);
    booksum_tokens_free(&told);
    PAL_TRY(code);
    for (size_t i = 0; i < (size_t)s->length; i++) {
        const int scored = i + 1 < used;
        tokens[i] = i < used ? s->text[i] : 0;
        targets[i] = scored ? s->text[i + 1] : 0;
        weight[i] = scored ? s->weight[i + 1] : 0;
    }
    *fresh = 1;
    return PAL_OK;
}

static void source_lead(task_source *handle, int64_t step, int64_t lane, int32_t *tokens, int64_t count)
{
    booksum_source *s = (booksum_source *)handle;
    plan p = plan_sequence(s, step, lane);
    if (!s->example) {
        p.key.sub |= 1u << 31; /* other events than in the sequence */
        story_begin_idle(&s->story, s->tokenizer, &p.key, count);
        story_read(&s->story, tokens, (size_t)count);
        return;
    }
    const example *e = &s->example[p.example];
    const size_t size = e->text.count;
    const size_t room = room_of(s, &p, summary_tokens(s, &e->summary[p.summary]));
    const size_t first = skipped_tokens(&e->text, &p, room) + size - (size_t)count % size;
    for (int64_t i = 0; i < count; i++) tokens[i] = e->text.token[(first + (size_t)i) % size];
}

/* Whether a sequence has room for a story's facts beside all else, or for something of a book. */
static int check_length(const booksum_source *s, pal_error *err)
{
    const plan p = {.lead = 0};
    if (s->example) {
        if ((size_t)s->length >= 4 * s->separator.count) return PAL_OK;
        return pal_fail(err, PAL_USAGE, "booksum training: train_len=%lld is too short; give at least %zu",
                        (long long)s->length, 4 * s->separator.count);
    }
    /* A summary is told in the same words, and begins its sentences shorter. */
    const size_t least = (size_t)story_least(s->tokenizer);
    if (room_of(s, &p, least) >= least) return PAL_OK;
    return pal_fail(err, PAL_USAGE,
                    "booksum training: train_len=%lld is too short; a story's facts and its summary can take %zu "
                    "tokens each%s",
                    (long long)s->length, least, s->train->quiz > 0 ? " and a quiz its share" : "");
}

static int source_phase(task_source *handle, int64_t lanes, int64_t length, pal_error *err)
{
    booksum_source *s = (booksum_source *)handle;
    (void)lanes;
    free(s->text);
    free(s->weight);
    s->length = length;
    s->text = malloc(((size_t)length + 1) * sizeof *s->text);
    s->weight = malloc(((size_t)length + 1) * sizeof *s->weight);
    if (!s->text || !s->weight)
        return pal_fail(err, PAL_INTERNAL, "booksum training: out of memory for a sequence");
    return check_length(s, err);
}

static int source_save(const task_source *s, char *out, size_t size, pal_error *err)
{
    (void)s, (void)size, (void)err;
    *out = '\0';
    return PAL_OK;
}

static int source_restore(task_source *s, const char *saved, pal_error *err)
{
    (void)s, (void)saved, (void)err;
    return PAL_OK;
}

const task_train booksum_training = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .bytes = sizeof(booksum_train),
    .open = source_open,
    .phase = source_phase,
    .fill = source_fill,
    .lead = source_lead,
    .save = source_save,
    .restore = source_restore,
    .close = source_close,
};
