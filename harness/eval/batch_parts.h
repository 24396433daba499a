/* Samples at work: what the files of a batch share. batch_start.c opens streams where samples begin or resume, and
 * saves them on the way; batch.c runs them to their end. */
#ifndef PAL_BATCH_PARTS_H
#define PAL_BATCH_PARTS_H

#include "harness/eval/batch.h"

/* Tokens read at once from each sample, at least. */
enum { BATCH_CHUNK = 1024 };

struct batch_runner {
    batch_setup setup;
    /* What samples of one id share from `base_from` on, read by a stream of its own. */
    stream *base;
    uint64_t base_id, base_from;
    void *snapshot; /* of one lane */
};

/* One sample at work. */
typedef struct slot {
    const batch_item *item;
    task_sample *sample;
    double *nll; /* [item->tokens - item->first] */
    int32_t *argmax;
    uint64_t next; /* position of the next target to be scored */
    int finite;    /* the state was, when the sample had been read */
    int finished;  /* all scores are there, and the sample is closed unless it is still to be continued */
    void *prompt;  /* snapshot after the prompt, of samples that are continued */
    double seconds, read;
    double passed, reused; /* stream_passed and stream_reused of its lane when they were last looked at */
} slot;

typedef struct batch {
    batch_runner *r;
    const batch_setup *setup;
    slot *slot;
    size_t count;
    slot **lane; /* which slot each lane of the stream runs */
    size_t lanes;
    stream *stream;
    size_t snapshot;    /* bytes */
    int32_t *tokens;    /* [lanes, chunk] */
    size_t chunk, room; /* tokens of a lane, and of all lanes, that are read at once */
    double clock, saved, save_cost;
} batch;

/* Exactly `want` more tokens of a sample. */
int batch_read_tokens(const batch_setup *setup, task_sample *s, const batch_item *item, int32_t *tokens,
                      size_t want, pal_error *err);
/* A stream of so many lanes, all empty, in place of the one before. */
int batch_start_stream(batch *b, size_t lanes, pal_error *err);
/* The stream of all samples, where the group begins (batch_group.start): anew, behind what they share, or at their
 * checkpoints. */
int batch_start(batch *b, uint64_t position, pal_error *err);
/* Whether the sample is continued after its prompt. */
int batch_continued(const slot *s);
/* Save every lane at work, when it is time again. */
int batch_save_partials(batch *b, pal_error *err);
void batch_close_base(batch_runner *r);

#endif
