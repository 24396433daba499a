/* Reads head, filler with needles, tail and answer, each run of tokens in turn. The layout is found by the same
 * steps as reading, so both agree. */
#include "tasks/haystack/haystack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PART_HEAD, PART_BODY, PART_TAIL, PART_ANSWER, PART_END };

/* A stretch of the prompt. */
typedef struct stretch {
    const int32_t *token;
    int64_t size;
    int filler, needle; /* needle: its number + 1 */
} stretch;

/* Filler of the pass that is read: what does not divide goes to the first. */
static int64_t pass_room(const haystack *h)
{
    return h->passes == 1 ? h->room : h->pass == 0 ? h->room - h->room / 2 : h->room / 2;
}

static int encode_unit(haystack *h, int64_t index, int32_t *out, int64_t *count, pal_error *err)
{
    char text[HAYSTACK_UNIT];
    size_t size = 0;
    PAL_TRY(h->filler.unit(h->filler.self, index, text, &size, err));
    *count = (int64_t)tokenizer_encode(h->tokenizer, text, size, out);
    return PAL_OK;
}

static int next_unit(haystack *h, pal_error *err)
{
    h->unit_at = 0;
    if (h->filler.constant && h->index > 0) {
        if (!h->again_size) PAL_TRY(encode_unit(h, h->index, h->again, &h->again_size, err));
        h->unit_size = h->again_size;
        memcpy(h->unit, h->again, (size_t)h->again_size * sizeof *h->unit);
        h->index++;
        return PAL_OK;
    }
    return encode_unit(h, h->index++, h->unit, &h->unit_size, err);
}

/* The next stretch of the body; size 0: it is at its end. */
static int body_stretch(haystack *h, stretch *out, pal_error *err)
{
    const int64_t room = pass_room(h);
    const int border = h->unit_at == h->unit_size || h->filled == room;
    *out = (stretch){0};
    if (h->next < h->needles) {
        const haystack_needle *n = &h->needle[h->next];
        if (h->within > 0 || h->filled == room ||
            (border && (double)h->filled >= floor(n->place * (double)room))) {
            *out = (stretch){n->text.token + h->within, (int64_t)n->text.count - h->within, 0, (int)h->next + 1};
            return PAL_OK;
        }
    }
    if (h->filled == room) return PAL_OK;
    /* A unit without tokens is passed over; an endless run of them is refused by its maker. */
    while (h->unit_at == h->unit_size) PAL_TRY(next_unit(h, err));
    const int64_t left = h->unit_size - h->unit_at, most = room - h->filled;
    *out = (stretch){h->unit + h->unit_at, left < most ? left : most, 1, 0};
    return PAL_OK;
}

static void begin_pass(haystack *h)
{
    h->next = 0;
    h->filled = h->within = h->index = 0;
    h->unit_size = h->unit_at = 0;
}

static void take(haystack *h, const stretch *s, int64_t count)
{
    if (s->filler) {
        h->filled += count;
        h->unit_at += count;
        return;
    }
    h->within += count;
    if (count < s->size) return;
    h->within = 0;
    if (s->needle)
        h->next++;
    else
        h->part++;
}

/* What comes next; size 0 at the end of all. */
static int next_stretch(haystack *h, stretch *out, pal_error *err)
{
    for (;;) {
        const answer_tokens *piece = h->part == PART_HEAD   ? &h->head
                                     : h->part == PART_TAIL ? &h->tail
                                                            : &h->answer;
        *out = (stretch){0};
        if (h->part == PART_END) return PAL_OK;
        if (h->part == PART_BODY) {
            PAL_TRY(body_stretch(h, out, err));
            if (out->size) return PAL_OK;
            if (out->needle) { /* an empty one */
                h->next++;
            } else if (++h->pass < h->passes) {
                begin_pass(h);
            } else {
                h->part++;
            }
            continue;
        }
        if (piece->count == 0) {
            h->part++;
            continue;
        }
        *out = (stretch){piece->token + h->within, (int64_t)piece->count - h->within, 0, 0};
        return PAL_OK;
    }
}

static void rewind_all(haystack *h)
{
    h->part = PART_HEAD;
    h->pass = 0;
    begin_pass(h);
}

/* Walks through the first pass up to the last needle. */
static int find_places(haystack *h, pal_error *err)
{
    int64_t offset = 0;
    stretch s;
    rewind_all(h);
    h->shared = h->needles ? -1 : (int64_t)h->head.count + pass_room(h);
    while (h->pass == 0 && h->part <= PART_BODY && (h->part == PART_HEAD || h->next < h->needles)) {
        PAL_TRY(next_stretch(h, &s, err));
        if (h->part > PART_BODY || h->pass > 0) break;
        if (s.needle) {
            h->needle[s.needle - 1].offset = offset;
            if (h->shared < 0) h->shared = offset;
        }
        offset += s.size;
        take(h, &s, s.size);
    }
    rewind_all(h);
    return PAL_OK;
}

int haystack_begin(haystack *h, pal_error *err)
{
    const size_t most = tokenizer_room(h->tokenizer, HAYSTACK_UNIT) + 1;
    int64_t fixed = (int64_t)(h->head.count + h->tail.count + h->answer.count);
    h->unit = malloc(most * sizeof *h->unit);
    h->again = malloc(most * sizeof *h->again);
    if (!h->unit || !h->again) return pal_fail(err, PAL_INTERNAL, "out of memory for a haystack");
    for (size_t i = 0; i < h->needles; i++) fixed += h->passes * (int64_t)h->needle[i].text.count;
    h->room = h->length - fixed;
    if (h->room < 0)
        return pal_fail(err, PAL_USAGE, "len=%lld; prompt and answer take at least %lld tokens",
                        (long long)h->length, (long long)fixed);
    return find_places(h, err);
}

void haystack_free(haystack *h)
{
    answer_tokens_free(&h->head);
    answer_tokens_free(&h->tail);
    answer_tokens_free(&h->answer);
    for (size_t i = 0; i < h->needles; i++) answer_tokens_free(&h->needle[i].text);
    free(h->needle);
    free(h->unit);
    free(h->again);
    *h = (haystack){0};
}

int haystack_read(haystack *h, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    *got = 0;
    while (*got < max) {
        stretch s;
        PAL_TRY(next_stretch(h, &s, err));
        if (s.size == 0) break;
        const int64_t room = (int64_t)(max - *got), count = s.size < room ? s.size : room;
        memcpy(tokens + *got, s.token, (size_t)count * sizeof *tokens);
        *got += (size_t)count;
        take(h, &s, count);
    }
    return PAL_OK;
}

void haystack_shape(const haystack *h, uint64_t id, size_t max_tokens, sample_shape *out)
{
    out->tokens = (uint64_t)h->length;
    out->prompt = out->score_from = out->tokens - h->answer.count;
    out->shared = id ? (uint64_t)h->shared : 0;
    out->shared_id = id;
    out->forget = out->prompt - h->tail.count;
    out->decoding = (task_decoding){.max_tokens = max_tokens, .stop = tokenizer_begin(h->tokenizer)};
}
