/* What the files of the perplexity task's evaluation share: a request that was opened, its samples and values. */
#ifndef PAL_PERPLEXITY_RUN_H
#define PAL_PERPLEXITY_RUN_H

#include "datasets/tokenizer/token_reader.h"
#include "tasks/perplexity/perplexity.h"
#include "tasks/perplexity/protocol.h"

/* What is scored of a piece. */
typedef struct perplexity_counts {
    uint64_t tokens, words, bytes;
} perplexity_counts;

/* A sample: a whole document, or a piece of one. */
typedef struct perplexity_piece {
    size_t document;
    protocol_piece at;
    perplexity_counts counts;
    const int32_t *token; /* its tokens; NULL: the document is read again */
} perplexity_piece;

/* The texts of a cell. */
typedef struct perplexity_text {
    corpus *corpus;
    size_t documents;
    perplexity_piece *piece;
    size_t pieces, room;
    int32_t **kept;    /* tokens of each document that is cut; NULL: none are kept */
    uint64_t unscored; /* tokens behind the last piece of their document */
    int64_t unread;    /* documents that are too short for a piece */
    text_scan *scan;   /* of all of it */
} perplexity_text;

typedef struct perplexity_run {
    const tokenizer *tokenizer;
    uint64_t max_tokens;
    protocol protocol;
    int begins; /* what is read begins with the begin token: streams always, pieces where the tokenizer's rules say
                   so */
    perplexity_text *text; /* one a cell */
    task_cell *cell;
    size_t count;
} perplexity_run;

typedef struct perplexity_sample {
    const perplexity_run *run;
    const perplexity_piece *piece;
    const char *name;     /* of the document */
    token_reader *reader; /* NULL: the piece holds its tokens */
    uint64_t at;          /* tokens handed out */
} perplexity_sample;

enum { PERPLEXITY_TOKEN = 4096 /* bytes of the longest token that is supported */ };

/* Values of a sample; the loss by position goes on behind them. */
enum {
    PERPLEXITY_NLL,
    PERPLEXITY_TOKENS,
    PERPLEXITY_WORDS,
    PERPLEXITY_BYTES,
    PERPLEXITY_RANGE_NLL,
    PERPLEXITY_RANGE_TOKENS = PERPLEXITY_RANGE_NLL + PERPLEXITY_RANGES,
    PERPLEXITY_VALUES = PERPLEXITY_RANGE_TOKENS + PERPLEXITY_RANGES
};

/* texts.c: read the first `documents` of a corpus, and make the pieces that are scored. The digest is that of all
 * of it. PAL_DATA as document_read; PAL_INTERNAL: no memory. The text owns what is made, the corpus too when all
 * went well. */
int perplexity_text_read(const perplexity_run *run, corpus *c, size_t documents, perplexity_text *out,
                         char digest[HASH_HEX], pal_error *err);
void perplexity_text_free(perplexity_text *t);
/* A remark about what the protocol leaves out; 0: there is none. */
int perplexity_text_note(const perplexity_text *t, const char *cell, char *out, size_t size);

/* sample.c */
int perplexity_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
void perplexity_shape(const task_sample *s, sample_shape *out);
int perplexity_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
void perplexity_score(const task_sample *s, const task_output *out, double *value, char *record,
                      size_t record_size);
void perplexity_close(task_sample *s);

#endif
