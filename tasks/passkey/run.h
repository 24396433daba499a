/* A passkey request as it was opened, and its samples: shared by the files of the task. */
#ifndef PAL_PASSKEY_RUN_H
#define PAL_PASSKEY_RUN_H

#include "datasets/corpus/corpus.h"
#include "tasks/passkey/text.h"
#include "tasks/task.h"

typedef enum passkey_control { CONTROL_NONE, CONTROL_ABSENT, CONTROL_SWAPPED } passkey_control;
typedef enum passkey_haystack { HAYSTACK_FILLER, HAYSTACK_PROSE } passkey_haystack;

typedef struct passkey_request {
    kv_list length, depths;
    int64_t samples, seed, keys;
    double jitter;
    int64_t control, haystack; /* passkey_control, passkey_haystack */
    char prose[KV_TEXT_MAX], prose_split[KV_TEXT_MAX];
} passkey_request;

typedef struct passkey_run {
    passkey_request request;
    passkey_text *text;
    corpus *prose;     /* NULL: the haystack is filler */
    text_scan *scan;   /* of the prose */
    size_t document;   /* where the prose starts */
    uint64_t haystack; /* names the tokens of the header and the endless haystack after it */
    task_cell *cell;
    size_t cell_count;
} passkey_run;

enum { PASSKEY_PLACE = 40 };
/* "len=32768,depth=50": the part of a cell's name that its random numbers depend on. */
void passkey_place_name(const task_cell *cell, char out[PASSKEY_PLACE]);

int passkey_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
void passkey_shape(const task_sample *s, sample_shape *out);
int passkey_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
void passkey_close(task_sample *s);

/* What is to be known of a sample to score it. */
typedef struct passkey_facts {
    const passkey_text *text;
    int key;          /* asked and scored */
    int told;         /* the key that the text tells where it should tell the asked one; -1: none */
    const char *name; /* NULL: the only needle, nameless */
    int64_t offset;   /* tokens before the needle, or before where it is missing */
    double depth, depth_actual;
} passkey_facts;

passkey_facts passkey_sample_facts(const task_sample *s);

enum { TOKEN_ACCURACY, EXACT_MATCH, FIRST_INTEGER, ANSWER_NLL, SWAPPED_ACCURACY, PASSKEY_VALUES };
extern const char *const passkey_value[PASSKEY_VALUES];
extern const task_metric passkey_metric[PASSKEY_VALUES];

/* task_eval.score. A record takes less than 1500 bytes. */
void passkey_score(const task_sample *s, const task_output *out, double *value, char *record, size_t record_size);

#endif
