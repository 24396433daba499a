/* One sample: header filler needle { filler needle } filler question answer. It is laid out once and then read in
 * constant memory. */
#include "tasks/passkey/prose.h"
#include "tasks/passkey/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STRETCHES = 2 * PASSKEY_NAMES + 4,
    ROUNDING = 20 /* whole sentences may move a needle by one part in so many of the room for it */
};

/* A run of the text: tokens in memory or, where `token` is NULL, of the haystack. */
typedef struct stretch {
    const int32_t *token;
    int64_t size;
    int64_t phase; /* where in the cycle filler starts */
} stretch;

typedef struct needle {
    double percent; /* where it should stand */
    int name, key, asked, absent;
    int64_t size;
} needle;

typedef struct passkey_sample {
    const passkey_run *run;
    passkey_facts facts;
    int64_t length, question_size, answer_size, shared, tail;
    uint64_t tail_id;
    stretch stretch[STRETCHES];
    int stretches, current; /* `current` is being read */
    int64_t within;         /* its tokens already read */
    passkey_prose *prose;
    int32_t *store; /* needles and answer */
    int64_t stored;
} passkey_sample;

void passkey_place_name(const task_cell *cell, char out[PASSKEY_PLACE])
{
    snprintf(out, PASSKEY_PLACE, "len=%lld,depth=%.10g", (long long)cell->length, cell->depth);
}

/* ---- What the sample asks and tells ---- */

static double jittered(const passkey_run *run, double percent, rng *draw)
{
    return percent > 0 && percent < 100 ? percent + run->request.jitter * (2 * rng_uniform(draw) - 1) : percent;
}

/* A rank among the evaluation keys that is not in rank[count]. */
static int64_t another_rank(const int64_t *rank, int64_t count, rng *draw)
{
    for (;;) {
        const int64_t drawn = rng_below(draw, PASSKEY_EVAL_KEYS);
        int64_t i = 0;
        while (i < count && rank[i] != drawn) i++;
        if (i == count) return drawn;
    }
}

/* Names, keys and depths of the needles: the asked one first, the others spread evenly. */
static void draw_needles(const passkey_run *run, const task_cell *cell, int64_t index, needle *list,
                         passkey_facts *facts)
{
    const passkey_request *r = &run->request;
    const uint64_t seed = (uint64_t)r->seed;
    char place[PASSKEY_PLACE], keys_domain[96], domain[96];
    passkey_place_name(cell, place);
    snprintf(keys_domain, sizeof keys_domain, "passkey/key/%s", place);
    snprintf(domain, sizeof domain, "passkey/jitter/%s", place);
    rng jitter = rng_make(seed, domain, (uint64_t)index, 0);
    snprintf(domain, sizeof domain, "passkey/others/%s", place);
    rng others = rng_make(seed, domain, (uint64_t)index, 0);

    int64_t rank[PASSKEY_NAMES + 1] = {index, (index + 1) % PASSKEY_EVAL_KEYS};
    int name[PASSKEY_NAMES];
    for (int i = 0; i < PASSKEY_NAMES; i++) name[i] = i;
    for (int64_t i = 0; i < r->keys; i++) {
        needle *n = &list[i];
        const uint64_t pick = (uint64_t)i + rng_below(&others, (uint64_t)(PASSKEY_NAMES - i));
        n->name = r->keys > 1 ? name[pick] : PASSKEY_NAMELESS;
        name[pick] = name[i];
        if (i > 0) rank[i + 1] = another_rank(rank, i + 1, &others);
        n->key = passkey_eval_key(seed, keys_domain, rank[i ? i + 1 : 0]);
        n->asked = i == 0;
        n->absent = n->asked && r->control == CONTROL_ABSENT;
        n->size = n->absent ? 0 : passkey_told_size(run->text, &run->text->needle[n->name], n->key);
        const double spread = i ? 100 * ((double)i - 0.5) / (double)(r->keys - 1) : cell->depth;
        n->percent = jittered(run, spread, i ? &others : &jitter);
    }
    facts->key = r->control == CONTROL_SWAPPED ? passkey_eval_key(seed, keys_domain, rank[1]) : list[0].key;
    facts->told = list[0].absent ? -1 : list[0].key;
    facts->name = r->keys > 1 ? passkey_name(list[0].name) : NULL;
}

/* Depth 0 is before all others, 100 behind them. */
static int comes_before(const needle *a, const needle *b)
{
    if (a->percent != b->percent) return a->percent < b->percent;
    return a->asked ? a->percent < 50 : b->asked && b->percent >= 50;
}

static void sort_needles(needle *list, int64_t count)
{
    for (int64_t i = 1; i < count; i++) {
        const needle n = list[i];
        int64_t j = i;
        for (; j > 0 && comes_before(&n, &list[j - 1]); j--) list[j] = list[j - 1];
        list[j] = n;
    }
}

/* ---- Layout ---- */

/* after[i]: the haystack between needle i and what follows; returns what is left for before the first. */
static int64_t place_needles(const passkey_run *run, const needle *list, int64_t count, int64_t room,
                             int64_t *after)
{
    int64_t end = room;
    for (int64_t i = count - 1; i >= 0; i--) {
        const double place = floor((double)room * list[i].percent / 100);
        int64_t gap = end - (place < 0 ? 0 : (int64_t)place);
        gap = gap < 0 ? 0 : gap > end ? end : gap;
        const int64_t whole = run->prose ? gap : passkey_sentences_near(run->text, gap, end);
        /* In a short prompt whole sentences would carry the needle away from its depth. */
        after[i] = ROUNDING * llabs(whole - gap) > room ? gap : whole;
        end -= after[i];
    }
    return end;
}

static void add_haystack(passkey_sample *s, int64_t size, int64_t phase)
{
    s->stretch[s->stretches++] = (stretch){NULL, size, phase};
}

/* Whole sentences that end with the cycle. */
static void add_sentences(passkey_sample *s, int64_t size)
{
    add_haystack(s, size, passkey_phase(s->run->text, size));
}

static void add_piece(passkey_sample *s, const passkey_piece *piece)
{
    s->stretch[s->stretches++] = (stretch){piece->token, piece->size, 0};
}

/* A piece with a key in it. */
static void add_key(passkey_sample *s, const passkey_piece *piece, int key)
{
    int32_t told[PASSKEY_PIECE], *token = s->store + s->stored;
    const int64_t size = passkey_tell(s->run->text, piece, key, told); /* needs more room than it leaves tokens */
    memcpy(token, told, (size_t)size * sizeof *token);
    s->stored += size;
    s->stretch[s->stretches++] = (stretch){token, size, 0};
}

/* Behind the last needle samples of one length agree that ask for the same name and whose needles, together, are
 * as long: prose goes on where they interrupted it, and sentences end with the question. */
static void name_tail(passkey_sample *s, const task_cell *cell, int name, int64_t room)
{
    char words[96];
    const int size = snprintf(words, sizeof words, "%llx %lld %lld %d", (unsigned long long)s->run->haystack,
                              (long long)cell->length, (long long)room, name);
    s->tail_id = hash_id(words, (size_t)size);
}

static void lay_out(passkey_sample *s, const task_cell *cell, needle *list)
{
    const passkey_text *text = s->run->text;
    const int64_t count = s->run->request.keys;
    const int asked = list[0].name;
    const passkey_piece *question = &text->question[asked];
    int64_t room = cell->length - text->header.size - question->size - s->answer_size;
    for (int64_t i = 0; i < count; i++) room -= list[i].size;
    sort_needles(list, count);
    int64_t after[PASSKEY_NAMES], before = place_needles(s->run, list, count, room, after);

    s->length = cell->length;
    s->question_size = question->size;
    s->shared = text->header.size + before;
    add_piece(s, &text->header);
    add_haystack(s, before, 0);
    int64_t offset = s->shared;
    for (int64_t i = 0; i < count; i++) {
        if (list[i].asked) {
            s->facts.offset = offset;
            s->facts.depth_actual = room ? 100 * (double)before / (double)room : cell->depth;
        }
        if (!list[i].absent) add_key(s, &text->needle[list[i].name], list[i].key);
        add_sentences(s, after[i]);
        s->tail = offset + list[i].size;
        offset = s->tail + after[i];
        before += after[i];
    }
    name_tail(s, cell, asked, room);
    add_piece(s, question);
    add_key(s, &text->answer, s->facts.key);
}

int passkey_open(const task_run *handle, const task_cell *cell, int64_t index, task_sample **out, pal_error *err)
{
    const passkey_run *run = (const passkey_run *)handle;
    if (index < 0 || index >= cell->samples)
        return pal_fail(err, PAL_USAGE, "passkey: %s has samples 0 to %lld, not %lld", cell->name,
                        (long long)cell->samples - 1, (long long)index);
    passkey_sample *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "passkey: out of memory for a sample");
    s->run = run;
    s->facts = (passkey_facts){.text = run->text, .depth = cell->depth};
    needle list[PASSKEY_NAMES];
    draw_needles(run, cell, index, list, &s->facts);
    s->answer_size = passkey_told_size(run->text, &run->text->answer, s->facts.key);
    int64_t size = s->answer_size;
    for (int64_t i = 0; i < run->request.keys; i++) size += list[i].size;
    s->store = malloc((size_t)size * sizeof *s->store);
    int code = s->store ? PAL_OK : pal_fail(err, PAL_INTERNAL, "passkey: out of memory for a sample");
    if (code == PAL_OK && size + run->text->header.size + run->text->question[list[0].name].size > cell->length)
        code = pal_fail(err, PAL_USAGE, "passkey: sample %lld of %s does not fit into len=%lld", (long long)index,
                        cell->name, (long long)cell->length);
    if (code == PAL_OK && run->prose)
        code = passkey_prose_open(&s->prose, run->prose, run->text->tokenizer, run->document, err);
    if (code != PAL_OK) {
        passkey_close((task_sample *)s);
        return code;
    }
    lay_out(s, cell, list);
    *out = (task_sample *)s;
    return PAL_OK;
}

void passkey_close(task_sample *handle)
{
    passkey_sample *s = (passkey_sample *)handle;
    passkey_prose_close(s->prose);
    free(s->store);
    free(s);
}

/* ---- Reading ---- */

static int read_stretch(passkey_sample *s, const stretch *run, int32_t *tokens, size_t max, size_t *got,
                        pal_error *err)
{
    if (!run->token && s->prose) return passkey_prose_read(s->prose, tokens, max, got, err);
    const passkey_piece *cycle = &s->run->text->cycle;
    *got = max;
    if (run->token)
        memcpy(tokens, run->token + s->within, max * sizeof *tokens);
    else
        for (size_t i = 0; i < max; i++)
            tokens[i] = cycle->token[(run->phase + s->within + (int64_t)i) % cycle->size];
    return PAL_OK;
}

int passkey_read(task_sample *handle, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    passkey_sample *s = (passkey_sample *)handle;
    *got = 0;
    while (*got < max && s->current < s->stretches) {
        const stretch *run = &s->stretch[s->current];
        const int64_t left = run->size - s->within, room = (int64_t)(max - *got);
        if (left == 0) {
            s->current++;
            s->within = 0;
            continue;
        }
        size_t more;
        PAL_TRY(read_stretch(s, run, tokens + *got, (size_t)(left < room ? left : room), &more, err));
        s->within += (int64_t)more;
        *got += more;
    }
    return PAL_OK;
}

/* ---- Places ---- */

/* The answer's digits are scored. As many tokens as the answer has are generated: whether a model stops there is
 * not what the task asks. */
void passkey_shape(const task_sample *handle, sample_shape *out)
{
    const passkey_sample *s = (const passkey_sample *)handle;
    const int64_t answer = s->answer_size;
    out->tokens = (uint64_t)s->length;
    out->prompt = (uint64_t)(s->length - answer);
    out->score_from = (uint64_t)(s->length - passkey_digit_tokens(s->run->text, s->facts.key));
    out->shared = (uint64_t)s->shared;
    out->shared_id = s->run->haystack;
    out->tail = (uint64_t)s->tail;
    out->tail_id = s->tail_id;
    out->forget = out->prompt - (uint64_t)s->question_size;
    out->decoding = (task_decoding){.max_tokens = (size_t)answer, .stop = -1};
}

passkey_facts passkey_sample_facts(const task_sample *s)
{
    return ((const passkey_sample *)s)->facts;
}
