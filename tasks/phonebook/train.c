/* Phone books to train on: the settings of a recipe.
 * Sequences and losses are those of tasks/haystack/training.h. */
#include "tasks/haystack/training.h"

extern const task_module phonebook_task;
extern const task_train phonebook_training;

static const char *const keys[] = {"entries", "same", "shots", NULL};

static const kv_spec table[] = {
    {"phonebook_entries", KV_TEXT, TRAINING_VALUE(0), "5,10", 0, 0, NULL,
     "lines of a book, drawn from this list; a book must fit into train_len"},
    {"phonebook_same", KV_TEXT, TRAINING_VALUE(1), "1", 0, 0, NULL,
     "lines of the asked name, drawn from this list"},
    {"phonebook_shots", KV_TEXT, TRAINING_VALUE(2), "2", 0, 0, NULL, "lines that are asked and answered before"},
    TRAINING_WEIGHT("phonebook_lm_weight"),
};

static int source_open(const void *train, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err)
{
    return training_open(&phonebook_task, keys, train, t, seed, out, err);
}

const task_train phonebook_training = TRAINING(table, source_open);
