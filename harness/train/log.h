/* The log of a training run: a row each log_every steps, as CSV or as JSON lines, and beside it how far the memory
 * gates are open. A resumed run writes the same rows once. */
#ifndef PAL_TRAIN_LOG_H
#define PAL_TRAIN_LOG_H

#include "harness/base/lock.h"
#include "models/decoder/decoder.h"

#include <stdio.h>

typedef enum train_log_format { LOG_CSV, LOG_JSONL } train_log_format;

/* Sums over the steps of a row, and where the run stands at its end. */
typedef struct train_row {
    double loss, grad_norm, answer_nll, other_nll, answers, others;
    int64_t steps;
    int64_t step, length;
    double tokens, lr;
    double validation; /* NaN: not measured here */
} train_row;

typedef struct train_log {
    train_log_format format;
    int validates; /* whether there is a column for it */
    char *path, *gates_path;
    FILE *file, *gates; /* gates: NULL without gates */
    file_lock lock, gates_lock;
    double began; /* seconds */
} train_log;

/* The path of the log: `log` if given, else beside the weights. Locks and opens it; rows behind `step` are cut
 * off. PAL_USAGE: another run writes it. */
int train_log_open(train_log *l, const char *log, const char *out, train_log_format format, int validates,
                   const decoder *model, int64_t step, pal_error *err);
void train_log_close(train_log *l);
/* Write the row's means and the gates, and empty it. */
int train_log_write(train_log *l, train_row *row, decoder *model, pal_error *err);

double train_row_loss(const train_row *row);
/* Mean loss of what counts as an answer (weight >= 0.5); 0 without any. */
double train_row_answer(const train_row *row);

#endif
