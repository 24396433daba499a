/* A request of the phonebook task as it was opened, and its samples: shared by the files of the task. */
#ifndef PAL_PHONEBOOK_RUN_H
#define PAL_PHONEBOOK_RUN_H

#include "tasks/haystack/haystack.h"
#include "tasks/haystack/permutation.h"

typedef enum phonebook_control { CONTROL_NONE, CONTROL_ABSENT, CONTROL_SWAPPED } phonebook_control;

typedef struct phonebook_request {
    kv_list entries, same;
    int64_t samples, seed, control, repeat, shots; /* phonebook_control */
} phonebook_request;

/* What a cell's books are like. */
typedef struct phonebook_form {
    int64_t entries; /* lines, those of the asked name included */
    int64_t same;    /* lines of the asked name */
} phonebook_form;

typedef struct phonebook_run {
    phonebook_request request;
    const tokenizer *tokenizer;
    phonebook_form *form; /* of each cell */
    task_cell *cell;
    size_t count;
} phonebook_run;

enum { PHONEBOOK_NAME = 64, PHONEBOOK_NUMBER = 16, PHONEBOOK_SAME = 64, PHONEBOOK_SHOTS = 8 };

typedef struct phonebook_sample {
    const phonebook_run *run;
    const task_cell *cell;
    phonebook_form form;
    permutation names, numbers;
    int64_t place[PHONEBOOK_SAME]; /* lines of the asked name, ascending */
    int64_t asked;                 /* which of them, from 0 */
    char name[PHONEBOOK_NAME], answer[PHONEBOOK_NUMBER];
    haystack hay;
} phonebook_sample;

/* names.c: how many names there are, and the index-th: "Daniel K. Falcon". */
uint64_t phonebook_names(void);
void phonebook_name(uint64_t index, char out[PHONEBOOK_NAME]);

int phonebook_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
void phonebook_shape(const task_sample *s, sample_shape *out);
int phonebook_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
void phonebook_score(const task_sample *s, const task_output *out, double *value, char *record,
                     size_t record_size);
void phonebook_close(task_sample *s);

enum {
    PHONEBOOK_RIGHT,
    PHONEBOOK_OTHER,
    PHONEBOOK_NLL,
    PHONEBOOK_TOKENS,
    PHONEBOOK_TOKENS_RIGHT,
    PHONEBOOK_VALUES
};
extern const task_train phonebook_training;

#endif
