/* Draws needles, questions and the haystack between them, and lays them out as training sequences. */
#include "tasks/passkey/train.h"

#include "tasks/passkey/prose.h"
#include "tasks/passkey/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROSE_MAX = 16 * 1024 * 1024, NEEDLE_MAX = 256 };

#define FIELD(name) offsetof(passkey_train, name)

static const kv_spec table[] = {
    {"passkey_headerless", KV_REAL, FIELD(headerless), "0", 0, 1, NULL,
     "share of the sequences that start in the filler, without the header"},
    {"passkey_lead", KV_REAL, FIELD(lead), "0", 0, 1, NULL,
     "share of the sequences that start amid the filler, at any phase of its cycle and without the header, as if "
     "it had gone on for long; up to the needle it is read at no loss"},
    {"passkey_needle_span", KV_REAL, FIELD(needle_span), "0.5", 0, 1, NULL,
     "needles start anywhere in this first fraction of the sequence"},
    {"passkey_near", KV_REAL, FIELD(near), "0", 0, 1, NULL,
     "share of the sequences whose needles lie near the end instead: log-uniform distance to the last question"},
    {"passkey_keys", KV_INT, FIELD(keys), "1", 1, PASSKEY_NAMES, NULL,
     "most needles in a sequence, whose number is uniform in 1..this; more than one have names"},
    {"passkey_questions", KV_INT, FIELD(questions), "0", 0, 1e6, NULL,
     "most questions in a sequence, whose number is uniform in 1..this; 0: until the sequence is full"},
    {"passkey_gap_min", KV_SIZE, FIELD(gap_min), "0", 0, 67108864, NULL,
     "shortest filler before a question, tokens (rounded to whole sentences)"},
    {"passkey_gap_max", KV_SIZE, FIELD(gap_max), "0", 0, 67108864, NULL,
     "longest filler before a question but the last, tokens; 0: the rest of the sequence; gaps are log-uniform"},
    {"passkey_answer_noise", KV_REAL, FIELD(answer_noise), "0", 0, 1, NULL,
     "probability that an answer is read with wrong digits (its targets stay true), so that it cannot be copied"},
    {"passkey_mention_weight", KV_REAL, FIELD(mention_weight), "1", 0, 1000, NULL,
     "loss weight of the digits of a needle's second mention of its key (an answer's digits weigh 1)"},
    {"passkey_lm_weight", KV_REAL, FIELD(lm_weight), "0.02", 0, 1000, NULL,
     "loss weight of all other tokens but prose and the digits of the first mention, which nothing foretells"},
    {"passkey_space_weight", KV_REAL, FIELD(space_weight), "-1", -1, 1000, NULL,
     "loss weight of the space before an answer's digits, without which generation begins with a digit; -1: as "
     "passkey_lm_weight"},
    {"passkey_prose", KV_REAL, FIELD(prose), "0", 0, 1, NULL,
     "share of the sequences whose filler is prose, from a random place of passkey_prose_data on"},
    {"passkey_prose_weight", KV_REAL, FIELD(prose_weight), "0.02", 0, 1000, NULL, "loss weight of prose tokens"},
    {"passkey_prose_data", KV_TEXT, FIELD(prose_data), "datasets/text/books", 0, 0, NULL,
     "corpus for passkey_prose, of which the first 16M tokens are taken"},
    {"passkey_prose_split", KV_TEXT, FIELD(prose_split), "train", 0, 0, NULL,
     "its split, where it has splits; train reads all of a corpus without"},
};

/* A question but the last: the filler before it, and the needle that it asks for. */
typedef struct question {
    int64_t gap;
    int needle;
} question;

typedef struct passkey_source {
    const passkey_train *train;
    passkey_text *text;
    passkey_tokens prose; /* none unless it is asked for */
    uint64_t seed;
    int64_t length;
    question *question; /* those of the sequence that is being filled */
} passkey_source;

/* One sequence: what it tells and asks, and how much filler lies between. */
typedef struct plan {
    int header, lead, prose;
    int needles, name[PASSKEY_NAMES], key[PASSKEY_NAMES];
    int64_t before;                 /* filler before the first needle */
    int64_t between[PASSKEY_NAMES]; /* [i]: after needle i, but not after the last */
    int64_t questions;              /* but the last; in passkey_source.question */
    question last;
    uint64_t start; /* of the filler: its phase in the cycle, or a place in the prose */
} plan;

/* ---- Opening ---- */

static void source_close(task_source *handle)
{
    passkey_source *s = (passkey_source *)handle;
    if (!s) return;
    passkey_text_destroy(s->text);
    passkey_tokens_free(&s->prose);
    free(s->question);
    free(s);
}

static int source_open(const void *train, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err)
{
    const passkey_train *options = train;
    if (options->gap_max && options->gap_min > options->gap_max)
        return pal_fail(err, PAL_USAGE, "passkey training: passkey_gap_min=%lld exceeds passkey_gap_max=%lld",
                        (long long)options->gap_min, (long long)options->gap_max);
    passkey_source *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "passkey training: out of memory");
    s->train = options;
    s->seed = seed;
    int code = passkey_text_create(&s->text, t, 0, err);
    if (code == PAL_OK && options->prose > 0)
        code = passkey_tokens_load(&s->prose, options->prose_data, options->prose_split, t, PROSE_MAX, err);
    if (code == PAL_OK)
        *out = (task_source *)s;
    else
        source_close((task_source *)s);
    return code;
}

/* A question but the last takes so many tokens, the filler before it apart. */
static int64_t question_size(const passkey_text *text, int name)
{
    return text->question[name].size + text->answer.size + text->stop.size;
}

static int source_phase(task_source *handle, int64_t lanes, int64_t length, pal_error *err)
{
    passkey_source *s = (passkey_source *)handle;
    (void)lanes;
    const int header = s->train->headerless < 1 && s->train->lead < 1;
    const int64_t least = passkey_fixed_size(s->text, s->train->keys, header) - 1;
    if (length < least)
        return pal_fail(err, PAL_USAGE,
                        "passkey training: length %lld is too short, the text alone takes %lld tokens%s",
                        (long long)length, (long long)least, s->train->keys > 1 ? "; try fewer passkey_keys" : "");
    question *list = realloc(s->question, (size_t)(length / s->text->answer.size + 1) * sizeof *list);
    if (!list) return pal_fail(err, PAL_INTERNAL, "passkey training: out of memory for a sequence");
    s->question = list;
    s->length = length;
    return PAL_OK;
}

static int source_save(const task_source *s, char *out, size_t size, pal_error *err)
{
    (void)s, (void)size, (void)err;
    out[0] = '\0';
    return PAL_OK;
}

static int source_restore(task_source *s, const char *saved, pal_error *err)
{
    (void)s;
    if (!saved[0]) return PAL_OK;
    return pal_fail(err, PAL_DATA, "passkey training: '%.40s' does not say where a passkey source stood", saved);
}

/* ---- Planning a sequence ---- */

/* Log-uniform integer in [low, high]. */
static int64_t log_uniform(rng *r, int64_t low, int64_t high)
{
    const double base = log((double)low + 1), span = log((double)high + 2) - base;
    const int64_t draw = (int64_t)exp(base + span * rng_uniform(r)) - 1;
    return draw < low ? low : draw > high ? high : draw;
}

static void plan_needles(const passkey_source *s, plan *p, rng *draws)
{
    p->needles = 1 + (int)rng_below(draws, (uint64_t)s->train->keys);
    int name[PASSKEY_NAMES];
    for (int i = 0; i < PASSKEY_NAMES; i++) name[i] = i;
    for (int i = 0; i < p->needles; i++) {
        const int pick = i + (int)rng_below(draws, (uint64_t)(PASSKEY_NAMES - i));
        p->name[i] = p->needles > 1 ? name[pick] : PASSKEY_NAMELESS;
        name[pick] = name[i];
        int earlier;
        do {
            p->key[i] = passkey_train_key(draws);
            earlier = 0;
            while (p->key[earlier] != p->key[i]) earlier++;
        } while (earlier < i);
    }
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Where in `room` tokens of filler the needles stand. */
static void plan_places(const passkey_source *s, const plan *p, int64_t room, int64_t *place, rng *draws)
{
    const int near = rng_uniform(draws) < s->train->near;
    int64_t high = (int64_t)(s->train->needle_span * (double)s->length) - (p->header ? s->text->header.size : 0);
    high = high < 0 ? 0 : high > room ? room : high;
    for (int i = 0; i < p->needles; i++)
        place[i] = near ? room - log_uniform(draws, 0, room) : (int64_t)rng_below(draws, (uint64_t)high + 1);
    qsort(place, (size_t)p->needles, sizeof *place, ascending);
}

/* The longest filler of at most `size` tokens that starts with a sentence; prose may start anywhere. */
static int64_t whole(const passkey_source *s, const plan *p, int64_t size)
{
    return p->prose ? size : passkey_sentences(s->text, size);
}

/* Questions until `rest` is used up or there are `most`, the last included; returns what is left for before it. */
static int64_t plan_questions(const passkey_source *s, plan *p, int64_t rest, int64_t most, rng *draws)
{
    const int64_t low = s->train->gap_min;
    while (p->questions + 1 < most) {
        const int64_t high = s->train->gap_max ? s->train->gap_max : rest;
        if (low > high) break;
        question q = {log_uniform(draws, low, high), (int)rng_below(draws, (uint64_t)p->needles)};
        if (!p->prose) q.gap = passkey_sentences_near(s->text, q.gap, high);
        const int64_t size = q.gap + question_size(s->text, p->name[q.needle]);
        if (size + low > rest) break;
        s->question[p->questions++] = q;
        rest -= size;
    }
    return rest;
}

static plan plan_sequence(const passkey_source *s, rng *draws)
{
    const passkey_train *train = s->train;
    const passkey_text *text = s->text;
    plan p = {.lead = rng_uniform(draws) < train->lead};
    p.header = rng_uniform(draws) >= train->headerless && !p.lead;
    p.prose = rng_uniform(draws) < train->prose;
    plan_needles(s, &p, draws);
    p.last.needle = (int)rng_below(draws, (uint64_t)p.needles);

    int64_t room = s->length + 1 - (p.header ? text->header.size : 0) -
                   text->question[p.name[p.last.needle]].size - text->answer.size;
    for (int i = 0; i < p.needles; i++) room -= text->needle[p.name[i]].size;
    int64_t place[PASSKEY_NAMES];
    plan_places(s, &p, room, place, draws);
    p.before = place[0];
    for (int i = 0; i + 1 < p.needles; i++) p.between[i] = whole(s, &p, place[i + 1] - place[i]);
    const int64_t most = train->questions ? 1 + rng_below(draws, (uint64_t)train->questions) : INT64_MAX;
    p.last.gap = whole(s, &p, plan_questions(s, &p, room - place[p.needles - 1], most, draws));

    /* The first filler takes what the others leave. */
    p.before = room - p.last.gap;
    for (int i = 0; i + 1 < p.needles; i++) p.before -= p.between[i];
    for (int64_t i = 0; i < p.questions; i++)
        p.before -= s->question[i].gap + question_size(text, p.name[s->question[i].needle]);
    if (p.prose)
        p.start = rng_below(draws, s->prose.count);
    else if (p.lead)
        p.start = rng_below(draws, (uint64_t)text->cycle.size);
    return p;
}

/* ---- Writing it ---- */

/* Puts the text, token after token, where it belongs in the three arrays. */
typedef struct writer {
    const passkey_source *source;
    const plan *plan;
    int32_t *tokens, *targets;
    float *weight;
    int64_t at;
    uint64_t prose; /* the next place in the prose */
} writer;

/* `read` is the token as input, `truth` as target. */
static void put(writer *w, int32_t read, int32_t truth, double weight)
{
    if (w->at < w->source->length) w->tokens[w->at] = read;
    if (w->at > 0) {
        w->targets[w->at - 1] = truth;
        w->weight[w->at - 1] = (float)weight;
    }
    w->at++;
}

static void put_piece(writer *w, const passkey_piece *piece)
{
    for (int64_t i = 0; i < piece->size; i++)
        put(w, piece->token[i], piece->token[i], w->source->train->lm_weight);
}

/* `phase` is for the cycle alone: prose goes on where it was left. */
static void put_filler(writer *w, int64_t size, int64_t phase, double cycle_weight)
{
    const passkey_tokens *prose = &w->source->prose;
    const passkey_piece *cycle = &w->source->text->cycle;
    for (int64_t i = 0; i < size; i++) {
        if (w->plan->prose) {
            const int32_t token = prose->token[w->prose++ % prose->count];
            put(w, token, token, w->source->train->prose_weight);
        } else {
            const int32_t token = cycle->token[(phase + i) % cycle->size];
            put(w, token, token, cycle_weight);
        }
    }
}

static void put_sentences(writer *w, int64_t size)
{
    put_filler(w, size, passkey_phase(w->source->text, size), w->source->train->lm_weight);
}

static void put_needle(writer *w, int needle)
{
    const passkey_piece *piece = &w->source->text->needle[w->plan->name[needle]];
    int32_t token[NEEDLE_MAX];
    passkey_tell(w->source->text, piece, w->plan->key[needle], token);
    for (int64_t i = 0; i < piece->size; i++) {
        double weight = w->source->train->lm_weight;
        if (i >= piece->mention[0] && i < piece->mention[0] + PASSKEY_DIGITS) weight = 0;
        if (i >= piece->mention[1] && i < piece->mention[1] + PASSKEY_DIGITS)
            weight = w->source->train->mention_weight;
        put(w, token[i], token[i], weight);
    }
}

static void put_question(writer *w, int needle, rng *noise)
{
    const passkey_train *train = w->source->train;
    const passkey_text *text = w->source->text;
    char digits[PASSKEY_DIGITS + 1];
    passkey_digits(w->plan->key[needle], digits);
    put_piece(w, &text->question[w->plan->name[needle]]);
    for (int64_t i = 0; i < text->answer.mention[0]; i++)
        put(w, text->answer.token[i], text->answer.token[i],
            train->space_weight < 0 ? train->lm_weight : train->space_weight);
    const int noisy = rng_uniform(noise) < train->answer_noise;
    for (int i = 0; i < PASSKEY_DIGITS; i++) {
        const int truth = digits[i] - '0', wrong = (truth + 1 + (int)rng_below(noise, 9)) % 10;
        put(w, text->digit[noisy ? wrong : truth], text->digit[truth], 1);
    }
}

static void source_lead(task_source *handle, int64_t step, int64_t lane, int32_t *tokens, int64_t count)
{
    passkey_source *s = (passkey_source *)handle;
    rng draws = rng_make(s->seed, "passkey/train", (uint64_t)step, (uint32_t)lane);
    const plan p = plan_sequence(s, &draws);
    const passkey_piece *cycle = &s->text->cycle;
    const uint64_t size = p.prose ? s->prose.count : (uint64_t)cycle->size;
    const int32_t *token = p.prose ? s->prose.token : cycle->token;
    const uint64_t first = p.start + size - (uint64_t)count % size;
    for (int64_t i = 0; i < count; i++) tokens[i] = token[(first + (uint64_t)i) % size];
}

static int source_fill(task_source *handle, int64_t step, int64_t lane, int32_t *tokens, int32_t *targets,
                       float *weight, int *fresh, pal_error *err)
{
    passkey_source *s = (passkey_source *)handle;
    (void)err;
    rng draws = rng_make(s->seed, "passkey/train", (uint64_t)step, (uint32_t)lane);
    rng noise = rng_make(s->seed, "passkey/train/noise", (uint64_t)step, (uint32_t)lane);
    const plan p = plan_sequence(s, &draws);
    writer w = {s, &p, tokens, targets, weight, 0, p.start};
    if (p.header) put_piece(&w, &s->text->header);
    put_filler(&w, p.before, (int64_t)p.start, p.lead ? 0 : s->train->lm_weight);
    for (int i = 0; i < p.needles; i++) {
        put_needle(&w, i);
        if (i + 1 < p.needles) put_sentences(&w, p.between[i]);
    }
    for (int64_t i = 0; i < p.questions; i++) {
        put_sentences(&w, s->question[i].gap);
        put_question(&w, s->question[i].needle, &noise);
        put_piece(&w, &s->text->stop);
    }
    put_sentences(&w, p.last.gap);
    put_question(&w, p.last.needle, &noise);
    *fresh = 1;
    return PAL_OK;
}

const task_train passkey_training = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .bytes = sizeof(passkey_train),
    .open = source_open,
    .phase = source_phase,
    .fill = source_fill,
    .lead = source_lead,
    .save = source_save,
    .restore = source_restore,
    .close = source_close,
};
