#include "tasks/booksum/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct task_sample {
    const task_run *run;
    char id[32]; /* of a story */
    size_t place;
    uint64_t input, at; /* tokens of the book that are read; tokens handed out */
    booksum_book book;  /* of a story the summary alone */
    booksum_tokens text, summary;
    story story;
};

static int open_story(task_sample *s, const task_run *run, int64_t index, pal_error *err)
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

static int open_book(task_sample *s, const task_run *run, pal_error *err)
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

static int fill_sample(task_sample *s, const task_run *run, int64_t index, pal_error *err)
{
    PAL_TRY(run->file ? open_book(s, run, err) : open_story(s, run, index, err));
    return booksum_encode_summary(run->tokenizer, s->book.summary[0].text, s->book.summary[0].size, &s->summary,
                                  err);
}

int booksum_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err)
{
    if (index < 0 || index >= cell->samples)
        return pal_fail(err, PAL_USAGE, "booksum: %s has books 0 to %lld, not %lld", cell->name,
                        (long long)cell->samples - 1, (long long)index);
    const booksum_choice *choice = &run->choice[cell - run->cell];
    task_sample *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "booksum: out of memory for a book");
    s->run = run;
    s->input = choice->input;
    s->place = choice->book ? choice->book[index] : 0;
    const int code = fill_sample(s, run, index, err);
    if (code == PAL_OK)
        *out = s;
    else
        booksum_close(s);
    return code;
}

void booksum_close(task_sample *s)
{
    booksum_book_free(&s->book);
    booksum_tokens_free(&s->text);
    booksum_tokens_free(&s->summary);
    free(s);
}

/* ---- Places ---- */

uint64_t booksum_forget_at(const task_sample *s)
{
    return 1 + s->input;
}

uint64_t booksum_prompt_tokens(const task_sample *s)
{
    return booksum_forget_at(s) + s->run->separator.count;
}

uint64_t booksum_tokens_of(const task_sample *s)
{
    return booksum_prompt_tokens(s) + s->summary.count;
}

/* ---- Reading ---- */

/* Tokens of `from` that stand at `start` of the sample; returns how many were taken. */
static size_t take(const task_sample *s, const booksum_tokens *from, uint64_t start, int32_t *tokens, size_t max)
{
    const uint64_t at = s->at - start, left = from->count - at;
    const size_t count = left < max ? (size_t)left : max;
    memcpy(tokens, from->token + at, count * sizeof *tokens);
    return count;
}

/* At least one token, unless the sample is at its end. */
static size_t read_some(task_sample *s, int32_t *tokens, size_t max)
{
    const uint64_t separator = booksum_forget_at(s), summary = booksum_prompt_tokens(s);
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

int booksum_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    (void)err;
    *got = 0;
    while (*got < max && s->at < booksum_tokens_of(s)) {
        const size_t count = read_some(s, tokens + *got, max - *got);
        s->at += count;
        *got += count;
    }
    return PAL_OK;
}

/* ---- What is asked of it ---- */

void booksum_decoding(const task_sample *s, task_decoding *out)
{
    const booksum_request *r = &s->run->request;
    *out = (task_decoding){.max_tokens = s->run->max_tokens,
                           .temperature = r->decoding == DECODING_SAMPLE ? r->temperature : 0,
                           .top_p = r->top_p,
                           .seed = (uint64_t)r->seed,
                           .stop = tokenizer_begin(s->run->tokenizer)};
}

booksum_truth booksum_sample_truth(const task_sample *s)
{
    const task_run *run = s->run;
    return (booksum_truth){.run = run,
                           .bid = run->file ? booksum_file_bid(run->file, s->place) : s->id,
                           .id = run->file ? booksum_file_id(run->file, s->place) : s->id,
                           .book = &s->book,
                           .fact = run->file ? NULL : s->story.value,
                           .input = s->input,
                           .summary = s->summary.count};
}

size_t booksum_references(const task_sample *s, const booksum_string **list)
{
    *list = s->book.summary;
    return s->book.summaries;
}
