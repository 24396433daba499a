/* One piece of a document as a sample: often all of it, the begin token and its own tokens. */
#include "tasks/perplexity/run.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const perplexity_sample *sample_of(const task_sample *s)
{
    return (const perplexity_sample *)s;
}

int perplexity_open(const task_run *handle, const task_cell *cell, int64_t index, task_sample **out,
                    pal_error *err)
{
    const perplexity_run *run = (const perplexity_run *)handle;
    if (index < 0 || index >= cell->samples)
        return pal_fail(err, PAL_USAGE, "perplexity: %s has documents 0 to %lld, not %lld", cell->name,
                        (long long)cell->samples - 1, (long long)index);
    perplexity_sample *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "perplexity: out of memory for a document");
    const perplexity_text *t = &run->text[cell - run->cell];
    const perplexity_piece *p = &t->piece[index];
    *s = (perplexity_sample){.run = run, .piece = p, .name = corpus_name(t->corpus, p->document)};
    const int code =
        p->token ? PAL_OK : token_reader_open(&s->reader, t->corpus, p->document, run->tokenizer, err);
    if (code != PAL_OK) {
        free(s);
        return code;
    }
    *out = (task_sample *)s;
    return PAL_OK;
}

/* Nothing is generated; what stands before the first scored token is given. */
void perplexity_shape(const task_sample *s, sample_shape *out)
{
    const protocol_piece at = sample_of(s)->piece->at;
    out->tokens = out->prompt = at.end - at.from;
    out->score_from = at.score_from - at.from;
}

int perplexity_read(task_sample *handle, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    perplexity_sample *s = (perplexity_sample *)handle;
    const perplexity_piece *p = s->piece;
    const uint64_t left = p->at.end - p->at.from - s->at;
    const size_t take = left < max ? (size_t)left : max;
    *got = take;
    if (take && p->token) memcpy(tokens, p->token + s->at, take * sizeof *tokens);
    /* llama.cpp writes it over the first token of every chunk. */
    if (take && s->at == 0 && s->run->begins && s->run->protocol.kind == PROTOCOL_LLAMA_CPP)
        tokens[0] = tokenizer_begin(s->run->tokenizer);
    if (take && !p->token) PAL_TRY(token_reader_read(s->reader, tokens, take, got, err));
    s->at += *got;
    return PAL_OK;
}

void perplexity_score(const task_sample *handle, const task_output *out, double *value, char *record,
                      size_t record_size)
{
    const perplexity_sample *s = sample_of(handle);
    memset(value, 0, PERPLEXITY_VALUES * sizeof *value);
    for (size_t i = 0; i < out->count; i++) {
        const int range = perplexity_range(out->first + i - (uint64_t)s->run->begins);
        value[PERPLEXITY_NLL] += out->nll[i];
        value[PERPLEXITY_RANGE_NLL + range] += out->nll[i];
        value[PERPLEXITY_RANGE_TOKENS + range]++;
    }
    const perplexity_counts *counts = &s->piece->counts;
    value[PERPLEXITY_TOKENS] = (double)counts->tokens;
    value[PERPLEXITY_WORDS] = (double)counts->words;
    value[PERPLEXITY_BYTES] = (double)counts->bytes;
    json_t *object = json_pack("{ss sI sI sI}", "document", s->name, "tokens", (json_int_t)counts->tokens, "words",
                               (json_int_t)counts->words, "bytes", (json_int_t)counts->bytes);
    if (object && s->run->protocol.kind != PROTOCOL_STREAM)
        json_object_set_new(object, "from", json_integer((json_int_t)s->piece->at.score_from - s->run->begins));
    char *line = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    snprintf(record, record_size, "%s", line && strlen(line) < record_size ? line : "{}");
    free(line);
    json_decref(object);
}

void perplexity_close(task_sample *s)
{
    token_reader_close(((perplexity_sample *)s)->reader);
    free(s);
}
