#include "tasks/passkey_train.h"

#include "harness/base/rng.h"
#include "tasks/passkey_text.h"
#include <math.h>

#define FIELD(name) offsetof(passkey_train, name)

const kv_spec passkey_train_table[PASSKEY_TRAIN_KEYS] = {
    {"passkey_headerless", KV_REAL, FIELD(headerless), "0", 0, 1, NULL,
     "share of the sequences that start in the filler, without the header"},
    {"passkey_needle_span", KV_REAL, FIELD(needle_span), "0.5", 0, 1, NULL,
     "the needle starts anywhere in this first fraction of the sequence"},
    {"passkey_near", KV_REAL, FIELD(near), "0", 0, 1, NULL,
     "share of the sequences whose needle lies near the end instead: log-uniform distance to the last question"},
    {"passkey_questions", KV_INT, FIELD(questions), "0", 0, 1e6, NULL,
     "most questions in a sequence, whose number is uniform in 1..this; 0: until the sequence is full"},
    {"passkey_gap_min", KV_SIZE, FIELD(gap_min), "0", 0, 67108864, NULL,
     "shortest filler before a question, tokens (rounded to whole sentences)"},
    {"passkey_gap_max", KV_SIZE, FIELD(gap_max), "0", 0, 67108864, NULL,
     "longest filler before a question but the last, tokens; 0: the rest of the sequence; gaps are log-uniform"},
    {"passkey_answer_noise", KV_REAL, FIELD(answer_noise), "0", 0, 1, NULL,
     "probability that an answer is read with wrong digits (its targets stay true), so that it cannot be copied"},
    {"passkey_mention_weight", KV_REAL, FIELD(mention_weight), "1", 0, 1000, NULL,
     "loss weight of the digits of the needle's second mention of the key (an answer's digits weigh 1)"},
    {"passkey_lm_weight", KV_REAL, FIELD(lm_weight), "0.02", 0, 1000, NULL,
     "loss weight of all other tokens but the digits of the first mention, which nothing foretells"},
};

enum {
    LAST_UNIT = PASSKEY_QUESTION_SIZE + PASSKEY_ANSWER_SIZE,
    UNIT = LAST_UNIT + 2 /* ". " */
};

/* Puts the text, byte after byte, where it belongs in the three arrays. */
typedef struct writer {
    int32_t *tokens, *targets;
    float *weight;
    int64_t length, at;
} writer;

/* `read` is the byte as input, `truth` as target. */
static void put(writer *w, char read, char truth, double weight)
{
    if (w->at < w->length) w->tokens[w->at] = (unsigned char)read;
    if (w->at > 0) {
        w->targets[w->at - 1] = (unsigned char)truth;
        w->weight[w->at - 1] = (float)weight;
    }
    w->at++;
}

static void put_text(writer *w, const char *text, int64_t size, double weight)
{
    for (int64_t i = 0; i < size; i++) put(w, text[i], text[i], weight);
}

static void put_filler(writer *w, int64_t size, double weight)
{
    for (int64_t i = 0; i < size; i++) {
        const char c = passkey_filler(size, i);
        put(w, c, c, weight);
    }
}

static void put_needle(writer *w, int key, const passkey_train *train)
{
    char text[PASSKEY_NEEDLE_SIZE + 1];
    passkey_needle(key, text);
    for (int i = 0; i < PASSKEY_NEEDLE_SIZE; i++) {
        double weight = train->lm_weight;
        if (i >= PASSKEY_FIRST_MENTION && i < PASSKEY_FIRST_MENTION + PASSKEY_DIGITS) weight = 0;
        if (i >= PASSKEY_SECOND_MENTION && i < PASSKEY_SECOND_MENTION + PASSKEY_DIGITS)
            weight = train->mention_weight;
        put(w, text[i], text[i], weight);
    }
}

static void put_question(writer *w, int key, const passkey_train *train, rng *noise)
{
    char answer[PASSKEY_ANSWER_SIZE + 1];
    passkey_answer(key, answer);
    put_text(w, PASSKEY_QUESTION, PASSKEY_QUESTION_SIZE, train->lm_weight);
    put(w, answer[0], answer[0], train->lm_weight);
    const int noisy = rng_uniform(noise) < train->answer_noise;
    for (int i = 1; i < PASSKEY_ANSWER_SIZE; i++) {
        const int wrong = (answer[i] - '0' + 1 + (int)rng_below(noise, 9)) % 10;
        put(w, noisy ? (char)('0' + wrong) : answer[i], answer[i], 1);
    }
}

/* Log-uniform integer in [low, high]. */
static int64_t log_uniform(rng *r, int64_t low, int64_t high)
{
    const double base = log((double)low + 1), span = log((double)high + 2) - base;
    const int64_t draw = (int64_t)exp(base + span * rng_uniform(r)) - 1;
    return draw < low ? low : draw > high ? high : draw;
}

/* What is still to be placed after the needle. */
typedef struct layout {
    rng draws;
    int64_t rest;      /* bytes before the last question */
    int64_t questions; /* how many more there may be, the last one included */
} layout;

/* The filler before the next question but the last, or -1 where only the last one is to come. */
static int64_t next_gap(layout *l, const passkey_train *train)
{
    const int64_t low = train->gap_min, high = train->gap_max ? train->gap_max : l->rest;
    if (l->questions <= 1 || low > high) return -1;
    const int64_t gap = passkey_sentences_near(log_uniform(&l->draws, low, high), high);
    if (gap + UNIT + low > l->rest) return -1;
    l->questions--;
    l->rest -= gap + UNIT;
    return gap;
}

int passkey_train_check(const void *train_options, int64_t length, pal_error *err)
{
    const passkey_train *train = train_options;
    const int64_t least = PASSKEY_FIXED_SIZE - 1 - (train->headerless >= 1 ? PASSKEY_HEADER_SIZE : 0);
    if (length < least)
        return pal_fail(err, PAL_USAGE,
                        "passkey training: length %lld is too short, the text alone takes %lld tokens",
                        (long long)length, (long long)least);
    if (train->gap_max && train->gap_min > train->gap_max)
        return pal_fail(err, PAL_USAGE, "passkey training: passkey_gap_min=%lld exceeds passkey_gap_max=%lld",
                        (long long)train->gap_min, (long long)train->gap_max);
    return PAL_OK;
}

void passkey_train_fill(const void *train_options, uint64_t seed, int64_t step, int64_t lane, int64_t length,
                        int32_t *tokens, int32_t *targets, float *weight)
{
    const passkey_train *train = train_options;
    rng draws = rng_make(seed, "passkey/train", (uint64_t)step, (uint32_t)lane);
    rng noise = rng_make(seed, "passkey/train/noise", (uint64_t)step, (uint32_t)lane);
    int key;
    do {
        key = (int)rng_below(&draws, PASSKEY_KEYS);
    } while (passkey_is_eval_key(key));

    /* The needle starts in [first, last]. */
    const int64_t first = rng_uniform(&draws) < train->headerless ? 0 : PASSKEY_HEADER_SIZE;
    const int64_t last = length + 1 - PASSKEY_NEEDLE_SIZE - LAST_UNIT;
    int64_t start;
    if (rng_uniform(&draws) < train->near) {
        start = last - log_uniform(&draws, 0, last - first);
    } else {
        int64_t high = (int64_t)(train->needle_span * (double)length);
        high = high < first ? first : high > last ? last : high;
        start = first + rng_below(&draws, (uint64_t)(high - first + 1));
    }

    layout plan = {.rest = last - start, .questions = INT64_MAX};
    if (train->questions) plan.questions = 1 + rng_below(&draws, (uint64_t)train->questions);
    plan.draws = draws;

    /* The last gap takes what the others leave, in whole sentences; the bytes over go before the needle, so the
     * gaps are drawn twice: once to count, once to write. */
    layout count = plan;
    while (next_gap(&count, train) >= 0) continue;
    const int64_t last_gap = passkey_sentences(count.rest), over = count.rest - last_gap;

    writer w = {tokens, targets, weight, length, 0};
    put_text(&w, PASSKEY_HEADER, first, train->lm_weight);
    put_filler(&w, start + over - first, train->lm_weight);
    put_needle(&w, key, train);
    for (int64_t gap; (gap = next_gap(&plan, train)) >= 0;) {
        put_filler(&w, gap, train->lm_weight);
        put_question(&w, key, train, &noise);
        put_text(&w, ". ", 2, train->lm_weight);
    }
    put_filler(&w, last_gap, train->lm_weight);
    put_question(&w, key, train, &noise);
}
