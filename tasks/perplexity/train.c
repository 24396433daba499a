/* Documents in lanes: which document each lane reads, how far it is, and where a resumed run goes on. */
#include "tasks/perplexity/train.h"

#include "datasets/tokenizer/token_reader.h"
#include "harness/base/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(perplexity_train, name)

static const kv_spec table[] = {
    {"data", KV_TEXT, FIELD(data), "books", 0, 0, NULL,
     "corpora to read, comma-separated: paths, or names of folders under " CORPUS_TEXTS},
    {"split", KV_TEXT, FIELD(split), "train", 0, 0, NULL,
     "of each corpus that has splits; of one that has none all is read with split=train or all"},
};

enum { CORPORA_MAX = 16 };

/* The document that a lane reads. */
typedef struct lane {
    token_reader *reader;
    uint64_t number; /* in the queue */
    uint64_t taken;  /* tokens read so far */
    int32_t last;    /* the last of them: the next window's first input */
} lane;

typedef struct perplexity_source {
    const tokenizer *tokenizer;
    uint64_t seed;
    corpus *corpus[CORPORA_MAX];
    size_t corpora, documents;
    uint64_t epoch; /* whose order is in `order` */
    uint32_t *order;
    uint64_t next; /* in the queue */
    lane *lane;
    int64_t lanes, length;
} perplexity_source;

static int take_corpus(void *arg, corpus *c, const char *path, pal_error *err)
{
    perplexity_source *s = arg;
    (void)path;
    if (s->corpora == CORPORA_MAX) {
        corpus_close(c);
        return pal_fail(err, PAL_USAGE, "data= names more than %d corpora; join some", CORPORA_MAX);
    }
    s->documents += corpus_count(c);
    s->corpus[s->corpora++] = c;
    return PAL_OK;
}

/* Document order of an epoch, by Fisher and Yates. */
static void shuffle(perplexity_source *s, uint64_t epoch)
{
    rng draws = rng_make(s->seed, "perplexity/order", epoch, 0);
    for (size_t i = 0; i < s->documents; i++) s->order[i] = (uint32_t)i;
    for (size_t i = s->documents; i-- > 1;) {
        const size_t j = rng_below(&draws, i + 1);
        const uint32_t swapped = s->order[i];
        s->order[i] = s->order[j];
        s->order[j] = swapped;
    }
    s->epoch = epoch;
}

static void close_lanes(perplexity_source *s)
{
    for (int64_t i = 0; i < s->lanes; i++) token_reader_close(s->lane[i].reader);
    free(s->lane);
    s->lane = NULL;
    s->lanes = 0;
}

static void source_close(task_source *handle)
{
    perplexity_source *s = (perplexity_source *)handle;
    if (!s) return;
    close_lanes(s);
    for (size_t i = 0; i < s->corpora; i++) corpus_close(s->corpus[i]);
    free(s->order);
    free(s);
}

static int source_open(const void *options, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err)
{
    perplexity_source *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "out of memory for the documents");
    s->tokenizer = t;
    s->seed = seed;
    const perplexity_train *train = options;
    /* The default is what recipes and weights say; it must also do for a layout without splits. */
    const char *split = strcmp(train->split, "train") == 0 ? "" : train->split;
    int code = corpus_open_list(train->data, split, "train", take_corpus, s, err);
    if (code == PAL_OK && !(s->order = malloc(s->documents * sizeof *s->order)))
        code = pal_fail(err, PAL_INTERNAL, "out of memory for the order of %zu documents", s->documents);
    if (code != PAL_OK) {
        source_close((task_source *)s);
        return code;
    }
    shuffle(s, 0);
    *out = (task_source *)s;
    return PAL_OK;
}

static int source_phase(task_source *handle, int64_t lanes, int64_t length, pal_error *err)
{
    perplexity_source *s = (perplexity_source *)handle;
    close_lanes(s);
    s->lane = calloc((size_t)lanes, sizeof *s->lane);
    if (!s->lane) return pal_fail(err, PAL_INTERNAL, "out of memory for the lanes");
    s->lanes = lanes;
    s->length = length;
    return PAL_OK;
}

/* Up to `want` more tokens of the lane's document. */
static int take(lane *l, int32_t *tokens, size_t want, size_t *taken, pal_error *err)
{
    *taken = 0;
    while (*taken < want) {
        size_t got;
        PAL_TRY(token_reader_read(l->reader, tokens + *taken, want - *taken, &got, err));
        if (got == 0) break;
        *taken += got;
    }
    l->taken += *taken;
    if (*taken) l->last = tokens[*taken - 1];
    return PAL_OK;
}

/* Open document `number` of the queue at its first token. */
static int open_document(perplexity_source *s, lane *l, uint64_t number, pal_error *err)
{
    if (number / s->documents != s->epoch) shuffle(s, number / s->documents);
    size_t index = s->order[number % s->documents], c = 0;
    while (index >= corpus_count(s->corpus[c])) index -= corpus_count(s->corpus[c++]);
    token_reader_close(l->reader);
    *l = (lane){.number = number};
    PAL_TRY(token_reader_open(&l->reader, s->corpus[c], index, s->tokenizer, err));
    size_t got;
    int32_t first;
    return take(l, &first, 1, &got, err);
}

static int source_fill(task_source *handle, int64_t step, int64_t at, int32_t *tokens, int32_t *targets,
                       float *weight, int *fresh, pal_error *err)
{
    perplexity_source *s = (perplexity_source *)handle;
    (void)step;
    lane *l = &s->lane[at];
    const size_t length = (size_t)s->length;
    *fresh = 0;
    for (size_t got = 0;;) {
        if (l->reader) {
            tokens[0] = l->last;
            PAL_TRY(take(l, targets, length, &got, err));
        }
        if (got > 0) {
            for (size_t i = 0; i < length; i++) {
                weight[i] = i < got;
                if (i >= got) targets[i] = 0;
                if (i > 0) tokens[i] = targets[i - 1];
            }
            return PAL_OK;
        }
        PAL_TRY(open_document(s, l, s->next++, err));
        *fresh = 1;
    }
}

/* "next number:taken number:taken ...", "-" for a lane without a document. */
static int source_save(const task_source *handle, char *out, size_t size, pal_error *err)
{
    const perplexity_source *s = (const perplexity_source *)handle;
    size_t used = (size_t)snprintf(out, size, "%" PRIu64, s->next);
    for (int64_t i = 0; i < s->lanes && used < size; i++) {
        const lane *l = &s->lane[i];
        used +=
            (size_t)(l->reader ? snprintf(out + used, size - used, " %" PRIu64 ":%" PRIu64, l->number, l->taken)
                               : snprintf(out + used, size - used, " -"));
    }
    if (used >= size)
        return pal_fail(err, PAL_USAGE, "the places of %lld lanes do not fit; lower batch_tokens",
                        (long long)s->lanes);
    return PAL_OK;
}

static int source_restore(task_source *handle, const char *saved, pal_error *err)
{
    perplexity_source *s = (perplexity_source *)handle;
    char *at;
    s->next = strtoull(saved, &at, 10);
    for (int64_t i = 0; i < s->lanes; i++) {
        if (strncmp(at, " -", 2) == 0) {
            at += 2;
            continue;
        }
        uint64_t number, taken;
        int size = 0;
        if (sscanf(at, " %" SCNu64 ":%" SCNu64 "%n", &number, &taken, &size) != 2 || size == 0)
            return pal_fail(err, PAL_DATA, "the places of the lanes, `%s`, cannot be read for %lld lanes", saved,
                            (long long)s->lanes);
        at += size;
        lane *l = &s->lane[i];
        PAL_TRY(open_document(s, l, number, err));
        while (l->taken < taken) {
            int32_t skipped[1024];
            const size_t left = (size_t)(taken - l->taken);
            size_t got;
            PAL_TRY(take(l, skipped, left < 1024 ? left : 1024, &got, err));
            if (got == 0)
                return pal_fail(err, PAL_DATA,
                                "document %" PRIu64 " of the queue has only %" PRIu64 " of %" PRIu64
                                " tokens; the corpus has changed",
                                number, l->taken, taken);
        }
    }
    return PAL_OK;
}

const task_train perplexity_training = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .bytes = sizeof(perplexity_train),
    .open = source_open,
    .phase = source_phase,
    .fill = source_fill,
    .save = source_save,
    .restore = source_restore,
    .close = source_close,
};
