/* RULER's samples to train on: the settings of a recipe.
 * Sequences and losses are those of tasks/haystack/training.h. */
#include "tasks/haystack/training.h"
#include "tasks/ruler/forms.h"

extern const task_module ruler_task;
extern const task_train ruler_training;

static const char *const keys[] = {"tasks", "prose", "prose_split", NULL};

static const kv_spec table[] = {
    {"ruler_tasks", KV_TEXT, TRAINING_VALUE(0), "niah_single_1,niah_single_2,niah_multikey_1,niah_multivalue", 0,
     0, NULL,
     "comma-separated: which tasks sequences are drawn from; vt, cwe and fwe need train_len of some thousands"},
    {"ruler_prose", KV_TEXT, TRAINING_VALUE(1), "datasets/slice", 0, 0, KV_HOME,
     "texts in place of RULER's essays"},
    {"ruler_prose_split", KV_TEXT, TRAINING_VALUE(2), "", 0, 0, NULL,
     "their split, as prose_split of the evaluation"},
    TRAINING_WEIGHT("ruler_lm_weight"),
};

static int source_open(const void *train, const tokenizer *t, uint64_t seed, task_source **out, pal_error *err)
{
    return training_open(&ruler_task, keys, train, t, seed, out, err);
}

const task_train ruler_training = TRAINING(table, source_open);
