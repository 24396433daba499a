/* What a run knows of its texts before it begins: the pieces of every document, and what is scored of each. Counts
 * come from the tokens that are scored, so they also fit a document cut short. Words are maximal runs without
 * ASCII white space, as in the PG19 protocol (Rae et al. 2020); one belongs to the piece that scores its first
 * byte. */
#include "tasks/perplexity/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 4096 };

/* ---- Tokens, words and bytes ---- */

typedef struct counter {
    const perplexity_run *run;
    perplexity_counts counts;
    int in_word;
} counter;

/* Take in one token; `scored`: it counts. */
static int count_token(counter *c, int32_t token, int scored, pal_error *err)
{
    char bytes[PERPLEXITY_TOKEN];
    const size_t size = tokenizer_token_text(c->run->tokenizer, token, bytes, sizeof bytes);
    if (size > sizeof bytes)
        return pal_fail(err, PAL_DATA, "the tokenizer has a token of %zu bytes; at most %d are supported", size,
                        PERPLEXITY_TOKEN);
    for (size_t i = 0; i < size; i++) {
        const int space = bytes[i] == ' ' || (bytes[i] >= '\t' && bytes[i] <= '\r');
        if (scored && !space && !c->in_word) c->counts.words++;
        c->in_word = !space;
    }
    if (scored) c->counts.bytes += size;
    if (scored) c->counts.tokens++;
    return PAL_OK;
}

/* ---- Pieces ---- */

static int add_piece(perplexity_text *t, const perplexity_piece *p, pal_error *err)
{
    if (t->pieces == t->room) {
        const size_t room = 2 * t->room + 16;
        perplexity_piece *grown = realloc(t->piece, room * sizeof *grown);
        if (!grown) return pal_fail(err, PAL_INTERNAL, "perplexity: out of memory for %zu pieces", room);
        t->piece = grown;
        t->room = room;
    }
    t->piece[t->pieces++] = *p;
    return PAL_OK;
}

/* A document that is read as one stream: its tokens are counted, and none is kept. */
static int count_stream(const perplexity_run *run, token_reader *reader, perplexity_text *t, size_t index,
                        pal_error *err)
{
    int32_t tokens[CHUNK];
    counter c = {.run = run};
    size_t got;
    uint64_t at = 0, most = run->max_tokens ? run->max_tokens + 1 : UINT64_MAX;
    do {
        PAL_TRY(token_reader_read(reader, tokens, most - at < CHUNK ? (size_t)(most - at) : CHUNK, &got, err));
        for (size_t i = 0; i < got; i++) PAL_TRY(count_token(&c, tokens[i], at + i > 0, err));
        at += got;
    } while (got > 0 && at < most);
    const perplexity_piece p = {index, protocol_piece_at(&run->protocol, at, 0), c.counts, NULL};
    return add_piece(t, &p, err);
}

/* All tokens of a document, the begin token first. */
static int keep_tokens(const perplexity_run *run, token_reader *reader, int32_t **out, uint64_t *count,
                       pal_error *err)
{
    size_t got = 1, room = 0;
    const uint64_t most = run->max_tokens ? run->max_tokens + 1 : UINT64_MAX;
    for (*count = 0; got > 0 && *count < most; *count += got) {
        if (room - *count < CHUNK) {
            room = 2 * room + CHUNK;
            int32_t *grown = realloc(*out, room * sizeof *grown);
            if (!grown)
                return pal_fail(err, PAL_INTERNAL,
                                "out of memory for %zu tokens; lower docs= or max_tokens=", room);
            *out = grown;
        }
        const uint64_t left = most - *count;
        PAL_TRY(token_reader_read(reader, *out + *count, left < CHUNK ? (size_t)left : CHUNK, &got, err));
    }
    return PAL_OK;
}

/* A document that is cut. Its tokens are kept, because to make them again for each of its windows costs the square
 * of its length. */
static int cut_document(const perplexity_run *run, token_reader *reader, perplexity_text *t, size_t index,
                        pal_error *err)
{
    const protocol *rule = &run->protocol;
    uint64_t count;
    PAL_TRY(keep_tokens(run, reader, &t->kept[index], &count, err));
    /* Other programs put no begin token where the tokenizer's rules do not. A document without tokens keeps it. */
    const uint64_t skipped = !run->begins && count > 1;
    const int32_t *token = t->kept[index] + skipped;
    count -= skipped;
    const uint64_t pieces = protocol_pieces(rule, count);
    counter c = {.run = run};
    uint64_t at = 0, scored = 0;
    for (uint64_t i = 0; i < pieces; i++) {
        perplexity_piece p = {.document = index, .at = protocol_piece_at(rule, count, i)};
        p.token = token + p.at.from;
        c.counts = (perplexity_counts){0};
        for (; at < p.at.end; at++) PAL_TRY(count_token(&c, token[at], at >= p.at.score_from, err));
        p.counts = c.counts;
        scored += c.counts.tokens;
        PAL_TRY(add_piece(t, &p, err));
    }
    t->unread += scored == 0;
    t->unscored += count - protocol_end(rule, count);
    return PAL_OK;
}

int perplexity_text_read(const perplexity_run *run, corpus *c, size_t documents, perplexity_text *out,
                         char digest[HASH_HEX], pal_error *err)
{
    perplexity_text *t = out;
    const int cut = run->protocol.kind != PROTOCOL_STREAM;
    *t = (perplexity_text){.corpus = c, .documents = documents, .scan = calloc(1, sizeof *t->scan)};
    if (cut) t->kept = calloc(documents + 1, sizeof *t->kept);
    if (!t->scan || (cut && !t->kept))
        return pal_fail(err, PAL_INTERNAL, "perplexity: out of memory for the texts");
    tokenizer_mark_special(run->tokenizer, t->scan);
    PAL_TRY(corpus_digest(c, digest, t->scan, err));
    for (size_t i = 0; i < documents; i++) {
        token_reader *reader;
        PAL_TRY(token_reader_open(&reader, c, i, run->tokenizer, err));
        const int code = (cut ? cut_document : count_stream)(run, reader, t, i, err);
        token_reader_close(reader);
        PAL_TRY(code);
    }
    return PAL_OK;
}

void perplexity_text_free(perplexity_text *t)
{
    for (size_t i = 0; t->kept && i < t->documents; i++) free(t->kept[i]);
    free(t->kept);
    free(t->piece);
    free(t->scan);
    corpus_close(t->corpus);
}

int perplexity_text_note(const perplexity_text *t, const char *cell, char *out, size_t size)
{
    if (t->unscored == 0) return 0;
    snprintf(out, size, "%s: %" PRIu64 " tokens behind the last whole chunk of their document are not scored%s",
             cell, t->unscored, t->unread ? "; some documents are shorter than a chunk" : "");
    return 1;
}
