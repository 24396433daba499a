/* An evaluation as it was asked for: the harness's own keys, and the task's. `eval` and `plan` share it. */
#ifndef PAL_REQUEST_H
#define PAL_REQUEST_H

#include "harness/cli/command.h"
#include "harness/eval/batch.h"
#include "harness/eval/facts.h"
#include "harness/eval/model_files.h"
#include "models/import/forms.h"
#include "tasks/task.h"

enum { MEMORY_KEPT, MEMORY_ZEROED, MEMORY_BOTH };

typedef struct eval_options {
    char task[KV_TEXT_MAX], model[KV_TEXT_MAX], weights[KV_TEXT_MAX], results[KV_TEXT_MAX], tokenizer[KV_TEXT_MAX];
    char attention[KV_TEXT_MAX];
    char shard[KV_TEXT_MAX]; /* harness/shard/choose.h */
    int64_t split;           /* SPLIT_* */
    double lease;            /* seconds */
    int64_t memory;          /* MEMORY_* */
    int64_t batch, threads, share, references, plots;
    int64_t new_tensors; /* yes or no: an attention's tensors that the weights lack start as its module says */
    int64_t format;      /* listing_format */
    double checkpoint;
    int64_t hold; /* weights_form */
} eval_options;

enum { SPLIT_SAMPLES, SPLIT_LAYERS };
enum { EVAL_OPTIONS = 19 };
extern const kv_spec eval_options_rows[EVAL_OPTIONS];

typedef struct eval_model {
    weights_file file; /* its name ends in "+" and file.instead where the attention is not its own */
    instead_made made;
    decoder *decoder;
    checkpoint_info info;
    model_facts facts;
    char config[HASH_HEX]; /* SHA-256 of the model's config text, with the longest context it can have */
    weights_form form;     /* in which an evaluation holds its weights */
    int pending;           /* its weights are still to be read, once it is known how long a context is needed */
} eval_model;

/* What a request needs of its models. To plan, those of other programs are neither digested nor checked number by
 * number, and their weights stay in the file where expanding them would take long. */
typedef enum request_load { LOAD_NOTHING, LOAD_ALL, LOAD_TO_PLAN } request_load;

typedef struct eval_request {
    eval_options options;
    request_load load;
    const task_module *task;
    void *task_request;  /* the task's own struct */
    kv_pairs model_keys; /* of the words: keys of attentions, which go over the models' own */
    tokenizer *tokenizer;
    task_run *run;
    const task_cell *cell;
    size_t cell_count;
    batch_item **sample; /* of each cell, once eval_request_samples has measured them */
    eval_model *model;
    size_t model_count;
    size_t left_out;                 /* models that model=all left out: they read tokens of another tokenizer */
    char left_out_name[KV_TEXT_MAX]; /* of the first of them */
    int threads;
    size_t rank, ranks; /* that share the layers of every model */
} eval_request;

/* Read the task's own keys out of `words`, and keys of attentions that are no keys of the task. PAL_USAGE: a key
 * nobody knows, a bad value, an unknown task. Unless `load` is LOAD_NOTHING, also load every model and the
 * tokenizer and let the task begin, so that what is wrong with any of them shows before work begins. */
int eval_request_make(eval_request *r, const eval_options *o, const kv_pairs *words, request_load load,
                      pal_error *err);
/* The same for rank `rank` of `ranks` that share the layers of every model: it has the weights of its own. */
int eval_request_make_layers(eval_request *r, const eval_options *o, const kv_pairs *words, request_load load,
                             size_t rank, size_t ranks, pal_error *err);
/* The same for words key=value, with the harness's own keys among them. */
int eval_request_read(eval_request *r, int argc, char *const *argv, request_load load, pal_error *err);
void eval_request_free(eval_request *r);

/* The task's keys as words, which ask for the same again. zeroed adds the control. */
int eval_request_words(const eval_request *r, int zeroed, char *out, size_t size, pal_error *err);
/* Of these words those that shape the samples of a cell. Keys that hold lists (which cells), the texts, and how
 * many samples do not: sample i of a cell is the same in every request that holds the cell. */
int eval_cell_settings(const eval_request *r, const task_cell *cell, int zeroed, char *out, size_t size,
                       pal_error *err);

/* The samples of a cell, measured once; owned by the request. */
int eval_request_samples(eval_request *r, size_t cell, const batch_item **out, pal_error *err);
/* Bytes that its weights take of the memory that is free now. */
uint64_t eval_model_bytes(const eval_model *model);
/* The longest stream a model can hold is shorter than `tokens`: fill why[size] and return 1. */
int eval_model_too_short(const eval_model *model, uint64_t tokens, char *why, size_t size);

/* request_tokenizer.c: find and load the tokenizer that the models were trained with. PAL_USAGE: they differ, or
 * theirs is not the one asked for; PAL_DATA: the file is no longer the one a model was trained with. */
int eval_request_tokenizer(eval_request *r, pal_error *err);
/* A tokenizer by its path: tokenizer_load's, or the one that a GGUF file brings. */
int eval_tokenizer_load(tokenizer **out, const char *path, pal_error *err);
/* Of all models keep those of the tokenizer that most of them read; one run has one tokenizer. */
void eval_request_one_tokenizer(eval_request *r);
void eval_model_free(eval_model *m);

/* ---- What the commands that take a request have in common ---- */

/* The words without a key: the task. */
extern const char *const words_of_eval[];
/* The keys of every task, as pal_command.groups. */
size_t groups_of_tasks(command_group *out);
/* Lines on standard error: models that model=all left out, and what came of attentions that were put in place of
 * models' own; nothing where there is nothing to say. */
void say_models(const eval_request *r);

#endif
