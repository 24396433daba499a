/* BABILong's samples to train on: the settings of a recipe.
 * Sequences and losses are those of tasks/haystack/training.h. */
#include "tasks/haystack/training.h"

extern const task_module babilong_task;
extern const task_train babilong_training;

static const char *const keys[] = {"tasks", "prose", "prose_split", NULL};

static const kv_spec table[] = {
    {"babilong_tasks", KV_TEXT, TRAINING_VALUE(0), "qa1", 0, 0, NULL,
     "comma-separated: which tasks sequences are drawn from; a story must fit into train_len"},
    {"babilong_prose", KV_TEXT, TRAINING_VALUE(1), "datasets/slice", 0, 0, KV_HOME, "the books"},
    {"babilong_prose_split", KV_TEXT, TRAINING_VALUE(2), "", 0, 0, NULL,
     "their split, as prose_split of the evaluation"},
    TRAINING_WEIGHT("babilong_lm_weight"),
};

static int source_open(const void *train, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err)
{
    return training_open(&babilong_task, keys, train, t, seed, out, err);
}

const task_train babilong_training = TRAINING(table, source_open);
