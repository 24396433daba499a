/* Facts about models: from metadata, from the committed list of weights, from the weights files that are there.
 * One line of the list: sha256,attention,trained_on,train_seed,xl_len,fine_tuned,parameters,name */
#include "harness/eval/facts.h"

#include "harness/base/home.h"
#include "harness/base/os.h"
#include "harness/base/utf8.h"
#include "harness/eval/model_files.h"
#include "models/attention/attention.h"
#include "models/decoder/config_keys.h"
#include "models/files/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 8 };

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

/* Cut a line at its commas; 0: it has too few. The last field, a name, may hold commas itself. */
static int cut_fields(char *line, char *field[FIELDS])
{
    for (int i = 0; i < FIELDS; i++) {
        field[i] = line;
        char *comma = i < FIELDS - 1 ? strchr(line, ',') : NULL;
        if (i < FIELDS - 1 && !comma) return 0;
        if (!comma) continue;
        *comma = '\0';
        line = comma + 1;
    }
    return strlen(field[0]) == HASH_HEX - 1;
}

static int take_list(results *r, const char *path, char *text, pal_error *err)
{
    int number = 0;
    for (char *line = text, *next; *line; line = next) {
        char *field[FIELDS];
        next = line + strcspn(line, "\n");
        if (*next) *next++ = '\0';
        if (number++ == 0) continue; /* the header */
        if (!cut_fields(line, field))
            return pal_fail(err, PAL_DATA, "%s:%d: not a line of this list; restore the file", path, number);
        model_facts facts = {.train_seed = field[3][0] ? strtoll(field[3], NULL, 10) : MODEL_SEED_UNKNOWN,
                             .xl_len = strtoll(field[4], NULL, 10),
                             .fine_tuned = field[5][0] == '1'};
        snprintf(facts.attention, sizeof facts.attention, "%.31s", field[1]);
        snprintf(facts.trained_on, sizeof facts.trained_on, "%.31s", field[2]);
        give(r, field[0], &facts);
    }
    return PAL_OK;
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
    char path[2 * KV_TEXT_MAX], *text;
    size_t size, count = 0;
    if (lacking(r) == 0) return PAL_OK;
    snprintf(path, sizeof path, "%s/facts.csv", home_path(dir, place));
    if (os_file_exists(path)) {
        PAL_TRY(utf8_read_file(path, &text, &size, err));
        const int code = take_list(r, path, text, err);
        free(text);
        PAL_TRY(code);
    }
    weights_file *files = NULL;
    pal_error none;
    if (lacking(r) == 0 || weights_resolve("all", dir, &files, &count, &none) != PAL_OK) return PAL_OK;
    for (size_t i = 0; i < count && lacking(r) > 0; i++) take_file(r, files[i].path);
    free(files);
    return PAL_OK;
}

int facts_read_journal(results *r, const char *dir, pal_error *err)
{
    PAL_TRY(journal_read_tail(r->path, results_visit, r, &r->tail, err));
    return facts_complete(r, dir, err);
}
