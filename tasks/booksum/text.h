/* What the BookSum task's evaluation and its training have in common: which texts they read, and how a text and
 * its summary become tokens. */
#ifndef PAL_BOOKSUM_TEXT_H
#define PAL_BOOKSUM_TEXT_H

#include "datasets/corpus/summary_file.h"
#include "datasets/story/story.h"
#include "harness/base/keyval.h"

/* The value of data= that stands for generated stories. */
#define BOOKSUM_STORIES "stories"
/* Between a book and its summary. */
#define BOOKSUM_SEPARATOR "\n\nSummary:\n"

typedef struct booksum_tokens {
    int32_t *token; /* malloc'ed */
    size_t count;
} booksum_tokens;

void booksum_tokens_free(booksum_tokens *t);

int booksum_is_stories(const char *data);
/* The split of generated stories by its name. PAL_USAGE names the splits. */
int booksum_story_split(const char *name, story_split *out, pal_error *err);
enum { BOOKSUM_PATH = 3 * KV_TEXT_MAX };
/* The file of a split: `data` itself, if it is a file; else data-SPLIT.jsonl, data-SPLIT.jsonl.gz,
 * data/SPLIT.jsonl or data/SPLIT.jsonl.gz, the first that is there. *whole: it is `data` itself. PAL_USAGE when
 * there is none. */
int booksum_find(const char *data, const char *split, char path[BOOKSUM_PATH], int *whole, pal_error *err);

int booksum_encode(const tokenizer *t, const char *text, size_t size, booksum_tokens *out, pal_error *err);
/* A summary's tokens, and the begin token as its end. Where that is an ordinary character, spaces stand for it in
 * the summary. */
int booksum_encode_summary(const tokenizer *t, const char *text, size_t size, booksum_tokens *out, pal_error *err);

#endif
