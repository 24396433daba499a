/* One book or story as a sample: its text and the true summary as tokens, and where each part lies. */
#include "tasks/booksum/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_story(booksum_sample *s, const booksum_run *run, int64_t index, pal_error *err)
{
    const story_key key = {(uint64_t)run->request.seed, run->split, (uint64_t)index, 0};
    char text[STORY_SUMMARY];
    snprintf(s->id, sizeof s->id, "story-%lld", (long long)index);
    PAL_TRY(story_begin(&s->story, run->tokenizer, &key, (int64_t)s->input, STORY_SPAN, err));
    booksum_string *summary = s->book.summary = calloc(1, sizeof *summary);
    if (!summary) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for a story");
    summary->size = story_summary(s->story.value, text);
    summary->text = strdup(text);
    s->book.summaries = 1;
    return summary->text ? PAL_OK : pal_fail(err, PAL_INTERNAL, "booksum: out of memory for a story");
}

static int open_book(booksum_sample *s, const booksum_run *run, pal_error *err)
{
    PAL_TRY(booksum_file_read(run->file, s->place, &s->book, err));
    PAL_TRY(booksum_encode(run->tokenizer, s->book.text.text, s->book.text.size, &s->text, err));
    free(s->book.text.text);
    s->book.text.text = NULL;
    if (s->input == 0) s->input = run->book_tokens[s->place];
    if (s->text.count == run->book_tokens[s->place]) return PAL_OK;
    return pal_fail(err, PAL_DATA, "booksum: %s has changed since it was opened",
                    booksum_file_id(run->file, s->place));
}

static int fill_sample(booksum_sample *s, const booksum_run *run, int64_t index, pal_error *err)
{
    PAL_TRY(run->file ? open_book(s, run, err) : open_story(s, run, index, err));
    return booksum_encode_summary(run->tokenizer, s->book.summary[0].text, s->book.summary[0].size, &s->summary,
                                  err);
}

int booksum_open(const task_run *handle, const task_cell *cell, int64_t index, task_sample **out, pal_error *err)
{
    const booksum_run *run = (const booksum_run *)handle;
    if (index < 0 || index >= cell->samples)
        return pal_fail(err, PAL_USAGE, "booksum: %s has books 0 to %lld, not %lld", cell->name,
                        (long long)cell->samples - 1, (long long)index);
    const booksum_choice *choice = &run->choice[cell - run->cell];
    booksum_sample *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for a book");
    s->run = run;
    s->input = choice->input;
    s->place = choice->book ? choice->book[index] : 0;
    const int code = fill_sample(s, run, index, err);
    if (code == PAL_OK)
        *out = (task_sample *)s;
    else
        booksum_close((task_sample *)s);
    return code;
}

void booksum_close(task_sample *handle)
{
    booksum_sample *s = (booksum_sample *)handle;
    booksum_book_free(&s->book);
    booksum_tokens_free(&s->text);
    booksum_tokens_free(&s->summary);
    free(s);
}

/* ---- Places ---- */

/* Where the separator begins, the summary, and where all ends. */
static uint64_t separator_at(const booksum_sample *s)
{
    return 1 + s->input;
}

static uint64_t summary_at(const booksum_sample *s)
{
    return separator_at(s) + s->run->separator.count;
}

static uint64_t end_of(const booksum_sample *s)
{
    return summary_at(s) + s->summary.count;
}

/* The whole summary and its end are scored. */
void booksum_shape(const task_sample *handle, sample_shape *out)
{
    const booksum_sample *s = (const booksum_sample *)handle;
    const booksum_request *r = &s->run->request;
    out->tokens = end_of(s);
    out->prompt = out->score_from = summary_at(s);
    out->forget = separator_at(s);
    out->decoding = (task_decoding){.max_tokens = s->run->max_tokens,
                                    .temperature = r->decoding == DECODING_SAMPLE ? r->temperature : 0,
                                    .top_p = r->top_p,
                                    .seed = (uint64_t)r->seed,
                                    .stop = tokenizer_begin(s->run->tokenizer)};
}

/* ---- Reading ---- */

/* Tokens of `from` that stand at `start` of the sample; returns how many were taken. */
static size_t take(const booksum_sample *s, const booksum_tokens *from, uint64_t start, int32_t *tokens,
                   size_t max)
{
    const uint64_t at = s->at - start, left = from->count - at;
    const size_t count = left < max ? (size_t)left : max;
    memcpy(tokens, from->token + at, count * sizeof *tokens);
    return count;
}

/* At least one token, unless the sample is at its end. */
static size_t read_some(booksum_sample *s, int32_t *tokens, size_t max)
{
    const uint64_t separator = separator_at(s), summary = summary_at(s);
    if (s->at == 0) {
        *tokens = tokenizer_begin(s->run->tokenizer);
        return 1;
    }
    if (s->at < separator) {
        const uint64_t left = separator - s->at;
        const size_t count = left < max ? (size_t)left : max;
        return s->run->file ? take(s, &s->text, 1, tokens, count) : story_read(&s->story, tokens, count);
    }
    if (s->at < summary) return take(s, &s->run->separator, separator, tokens, max);
    return take(s, &s->summary, summary, tokens, max);
}

int booksum_read(task_sample *handle, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    booksum_sample *s = (booksum_sample *)handle;
    (void)err;
    *got = 0;
    while (*got < max && s->at < end_of(s)) {
        const size_t count = read_some(s, tokens + *got, max - *got);
        s->at += count;
        *got += count;
    }
    return PAL_OK;
}
