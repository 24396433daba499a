/* A request of the ruler task as it was opened, and its samples: shared by the files of the task. */
#ifndef PAL_RULER_RUN_H
#define PAL_RULER_RUN_H

#include "tasks/haystack/haystack.h"
#include "tasks/haystack/permutation.h"
#include "tasks/haystack/prose.h"
#include "tasks/ruler/forms.h"
#include "tasks/ruler/words.h"

typedef enum ruler_control { CONTROL_NONE, CONTROL_ABSENT, CONTROL_SWAPPED } ruler_control;

typedef struct ruler_request {
    char tasks[KV_TEXT_MAX], prose[KV_TEXT_MAX], prose_split[KV_TEXT_MAX];
    kv_list length;
    int64_t samples, seed, control, repeat; /* ruler_control */
} ruler_request;

typedef struct ruler_run {
    ruler_request request;
    const tokenizer *tokenizer;
    corpus *prose; /* NULL: no task needs it */
    text_scan *scan;
    size_t document; /* where the prose starts */
    char data[HASH_HEX];
    const ruler_form **form; /* of each cell */
    task_cell *cell;
    size_t count;
} ruler_run;

enum { RULER_ITEM = 64 /* bytes of a key, a value or a word */ };

/* What a sample hides and asks. */
typedef struct ruler_facts {
    char key[RULER_NEEDLES][RULER_ITEM], value[RULER_NEEDLES][RULER_ITEM]; /* of each needle */
    int asked[RULER_NEEDLES];
    double place[RULER_NEEDLES];
    int needles;
    char query[4 * RULER_ITEM + 16];
    char answer[RULER_ANSWERS][RULER_ITEM];
    int answers;
} ruler_facts;

/* The words of a list: `items` in a random order, what is behind them only fills up. */
typedef struct ruler_list {
    int64_t items;
    int common, often, seldom; /* words that appear `often`; the others appear `seldom` */
    permutation order, words, codes;
    double total;  /* of FWE: words that the counts of all ranks are a share of */
    int64_t vocab; /* of FWE: ranks */
} ruler_list;

typedef struct ruler_sample {
    const ruler_run *run;
    const ruler_form *form;
    const task_cell *cell;
    int64_t index;
    ruler_facts facts;
    haystack hay;
    prose *prose;
    permutation keys, numbers; /* of the needles that are filler */
    uint64_t uuid_seed;
    char domain[64];
    ruler_list list;
} ruler_sample;

/* facts.c: what sample `index` of the cell hides and asks, a function of seed, form and length. Keys and values
 * beyond those of the needles: filler. */
void ruler_draw(ruler_sample *s, int64_t index, ruler_facts *out);
/* Key and value of the number-th needle of all. PAL_USAGE: there are no more keys of the type. */
int ruler_pair(const ruler_sample *s, int64_t number, char *key, char *value, pal_error *err);

/* filler.c: the units of the form. ruler_plan_list finds how many words fit into `room` tokens
 * in the list of sample `index`; brief: with RULER's numbers for short prompts. */
haystack_filler ruler_filler(ruler_sample *s);
int ruler_plan_list(ruler_sample *s, int64_t index, int64_t room, int brief, pal_error *err);
/* The word of a rank: of CWE 0 .. common - 1 are those asked; of FWE 0 is the dots, 1 .. 3 those asked. */
void ruler_list_word(const ruler_sample *s, int64_t rank, char out[WORD_TEXT]);
/* CWE's example, a list of its own with its answer, or VT's. Returns the size. */
size_t ruler_example(const ruler_sample *s, char out[RULER_TEXT]);

int ruler_open(const task_run *run, const task_cell *cell, int64_t index, task_sample **out, pal_error *err);
void ruler_shape(const task_sample *s, sample_shape *out);
int ruler_read(task_sample *s, int32_t *tokens, size_t max, size_t *got, pal_error *err);
void ruler_score(const task_sample *s, const task_output *out, double *value, char *record, size_t record_size);
void ruler_close(task_sample *s);

enum { RULER_RIGHT, RULER_ASKED, RULER_ALL_RIGHT, RULER_NLL, RULER_TOKENS, RULER_TOKENS_RIGHT, RULER_VALUES };
extern const task_train ruler_training;

#endif
