/* Facts about models: from metadata, from the committed list of weights, from the weights files that are there.
 * The list is facts.csv, found column by column. */
#include "harness/eval/facts.h"

#include "harness/base/csv.h"
#include "harness/base/home.h"
#include "harness/base/os.h"
#include "harness/eval/model_files.h"
#include "models/attention/attention.h"
#include "models/decoder/config_keys.h"
#include "models/files/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A whole-number option of the config's module; 0 when it has none of that name. */
static int64_t option(const model_config *cfg, const char *key)
{
    const kv_spec *spec = kv_find(cfg->attention->options, cfg->attention->option_count, key);
    return spec ? *(const int64_t *)((const char *)cfg + spec->offset) : 0;
}

model_facts facts_of(const model_config *cfg, const kv_pairs *metadata)
{
    const char *task = kv_pairs_value(metadata, "task"), *seed = kv_pairs_value(metadata, "seed");
    model_facts facts = {.train_seed = seed ? strtoll(seed, NULL, 10) : MODEL_SEED_UNKNOWN,
                         .xl_len = option(cfg, "xl_len"),
                         .fine_tuned = kv_pairs_value(metadata, "init_sha256") != NULL};
    snprintf(facts.attention, sizeof facts.attention, "%s", cfg->attention->name);
    const task_module *known = task ? task_find(task) : NULL;
    if (task) snprintf(facts.trained_on, sizeof facts.trained_on, "%.31s", known ? known->name : task);
    return facts;
}

static size_t rank(const model_facts *f)
{
    size_t i = 0;
    while (attn_table[i] && strcmp(attn_table[i]->name, f->attention) != 0) i++;
    return i;
}

int facts_order(const model_facts *a, const model_facts *b)
{
    const size_t x = rank(a), y = rank(b);
    return (x > y) - (x < y);
}

/* ---- Completing ---- */

static void give(results *r, const char *digest, const model_facts *facts)
{
    for (size_t i = 0; i < r->count; i++)
        if (!result_described(&r->cell[i]) && strcmp(r->cell[i].weights, digest) == 0) r->cell[i].facts = *facts;
}

static size_t lacking(const results *r)
{
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++) count += !result_described(&r->cell[i]);
    return count;
}

static int take_list(results *r, const char *path, pal_error *err)
{
    enum { DIGEST, ATTENTION, TRAINED_ON, SEED, XL_LEN, FINE_TUNED, COLUMNS };
    static const char *const names[COLUMNS] = {"sha256",     "attention", "trained_on",
                                               "train_seed", "xl_len",    "fine_tuned"};
    csv_table list;
    size_t column[COLUMNS];
    int code = PAL_OK;
    PAL_TRY(csv_read(&list, path, err));
    for (int i = 0; i < COLUMNS; i++) {
        column[i] = csv_column(&list, names[i]);
        if (column[i] == list.columns)
            code = pal_fail(err, PAL_DATA, "%s: no column %s; restore the file", path, names[i]);
    }
    for (size_t row = 0; code == PAL_OK && row < list.rows; row++) {
        const char *seed = csv_text(&list, row, column[SEED]);
        model_facts facts = {.train_seed = seed[0] ? strtoll(seed, NULL, 10) : MODEL_SEED_UNKNOWN,
                             .xl_len = strtoll(csv_text(&list, row, column[XL_LEN]), NULL, 10),
                             .fine_tuned = csv_text(&list, row, column[FINE_TUNED])[0] == '1'};
        snprintf(facts.attention, sizeof facts.attention, "%.31s", csv_text(&list, row, column[ATTENTION]));
        snprintf(facts.trained_on, sizeof facts.trained_on, "%.31s", csv_text(&list, row, column[TRAINED_ON]));
        give(r, csv_text(&list, row, column[DIGEST]), &facts);
    }
    csv_free(&list);
    return code;
}

/* A file that cannot be read is none that a journal could name. */
static void take_file(results *r, const char *path)
{
    st_file f;
    pal_error none;
    kv_pairs pairs = {0};
    model_config cfg;
    if (st_read(path, &f, &none) != PAL_OK) return;
    if (f.config && kv_pairs_parse(&pairs, f.config, path, &none) == PAL_OK &&
        model_config_read(&cfg, &pairs, &none) == PAL_OK) {
        const model_facts facts = facts_of(&cfg, &f.metadata);
        give(r, f.digest, &facts);
    }
    kv_pairs_free(&pairs);
    st_free(&f);
}

int facts_complete(results *r, const char *dir, pal_error *err)
{
    char place[KV_TEXT_MAX];
    char path[2 * KV_TEXT_MAX];
    size_t count = 0;
    if (lacking(r) == 0) return PAL_OK;
    snprintf(path, sizeof path, "%s/facts.csv", home_path(dir, place));
    if (os_file_exists(path)) PAL_TRY(take_list(r, path, err));
    weights_file *files = NULL;
    pal_error none;
    if (lacking(r) == 0 || weights_resolve("*", dir, &files, &count, &none) != PAL_OK) return PAL_OK;
    for (size_t i = 0; i < count && lacking(r) > 0; i++) take_file(r, files[i].path);
    free(files);
    return PAL_OK;
}

int facts_read_journal(results *r, const char *dir, pal_error *err)
{
    PAL_TRY(journal_read_tail(r->path, results_visit, r, &r->tail, err));
    return facts_complete(r, dir, err);
}
