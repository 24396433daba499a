/* One door to all models: by what lies at a path, this program's own reader or that of another's files.
 * Weights of other programs are expanded to reals when they are read. */
#include "models/import/import.h"

#include "models/decoder/config_keys.h"
#include "models/import/adapter.h"

#include <stdio.h>
#include <string.h>

typedef struct has_job {
    const imported *m;
    const model_config *cfg;
} has_job;

/* A tensor of another shape is there: import_fill says what is wrong with it. */
static int has_tensor(void *arg, const decoder_param *p)
{
    const has_job *j = arg;
    stored_matrix found;
    pal_error ignored;
    return import_matrix(j->m, j->cfg, p, &found, &ignored) != PAL_OK || found.parts > 0;
}

/* The config that the model is to have, and what differs from its own. */
static int change_config(const imported *m, const instead_words *instead, model_config *cfg, instead_made *made,
                         pal_error *err)
{
    model_config own;
    kv_pairs keys = {0};
    char context[24]; /* of a full attention in place of another */
    snprintf(context, sizeof context, "%lld", (long long)import_context(m));
    int code = kv_pairs_add(&keys, "context", context, "the model", err);
    if (code == PAL_OK) code = kv_pairs_merge(&keys, import_keys(m), err);
    if (code == PAL_OK) code = model_config_read(&own, &keys, err);
    if (code == PAL_OK && instead) code = instead_apply(&keys, instead, err);
    if (code == PAL_OK) code = model_config_read(cfg, &keys, err);
    if (code == PAL_OK && instead) code = instead_text(&own, cfg, instead_starts(instead), made->text, err);
    kv_pairs_free(&keys);
    return code;
}

/* A decoder without weights, of the model's keys and what goes over them. */
static int describe(const imported *m, const char *path, const instead_words *instead, decoder **out,
                    instead_made *made, pal_error *err)
{
    model_config cfg;
    PAL_TRY(change_config(m, instead, &cfg, made, err));
    PAL_TRY(decoder_describe(out, &cfg, err));
    has_job job = {m, &cfg};
    return instead_check(*out, has_tensor, &job, path, instead && instead_starts(instead), made, err);
}

/* With the digest of the files, or without. */
static int outline(const char *path, const instead_words *instead, int digest, import_watch *watch, void *arg,
                   decoder **out, instead_made *made, checkpoint_info *info, pal_error *err)
{
    imported *m = NULL;
    decoder *d = NULL;
    instead_made ignored;
    if (!made) made = &ignored;
    *made = (instead_made){0};
    PAL_TRY(import_open(&m, path, err));
    int code = describe(m, path, instead, &d, made, err);
    if (code == PAL_OK && info) {
        *info = (checkpoint_info){0};
        if (digest) import_digest(m, watch, arg, info->digest);
        code = kv_pairs_merge(&info->metadata, import_facts(m), err);
        if (code != PAL_OK) checkpoint_info_free(info);
    }
    import_close(m);
    if (code == PAL_OK)
        *out = d;
    else
        decoder_destroy(d);
    return code;
}

int model_describe(const char *path, const instead_words *instead, import_watch *watch, void *arg, decoder **out,
                   instead_made *made, checkpoint_info *info, pal_error *err)
{
    return outline(path, instead, 1, watch, arg, out, made, info, err);
}

int model_outline(const char *path, const instead_words *instead, decoder **out, instead_made *made,
                  checkpoint_info *info, pal_error *err)
{
    return outline(path, instead, 0, NULL, NULL, out, made, info, err);
}

int model_read_weights(const char *path, decoder *d, pal_error *err)
{
    imported *m = NULL;
    PAL_TRY(import_open(&m, path, err));
    has_job job = {m, decoder_config(d)};
    int code = decoder_allocate(d, err);
    for (size_t i = 0; code == PAL_OK && i < decoder_param_count(d); i++)
        if (!has_tensor(&job, decoder_param_at(d, i))) decoder_init_param(d, i, INSTEAD_SEED);
    if (code == PAL_OK) code = import_fill(m, d, NULL, err);
    import_close(m);
    return code;
}

int model_load_like(const char *path, const instead_words *instead, decoder *like, decoder **out,
                    instead_made *made, checkpoint_info *info, pal_error *err)
{
    const int changes = instead && instead->own.count + instead->common.count;
    adapter_base base;
    if (made) *made = (instead_made){0};
    PAL_TRY(adapter_find_base(path, &base, err));
    if (base.path[0]) return adapter_load(path, &base, changes ? instead : NULL, out, made, info, err);
    return instead && (like || changes) ? checkpoint_load_instead(path, instead, like, out, made, info, err)
                                        : checkpoint_load(path, out, info, err);
}

int model_load(const char *path, const instead_words *instead, decoder **out, instead_made *made,
               checkpoint_info *info, pal_error *err)
{
    decoder *d = NULL;
    if (made) *made = (instead_made){0};
    if (!import_is_foreign(path)) return model_load_like(path, instead, NULL, out, made, info, err);
    PAL_TRY(model_describe(path, instead, NULL, NULL, &d, made, info, err));
    const int code = model_read_weights(path, d, err);
    if (code == PAL_OK) {
        *out = d;
        return PAL_OK;
    }
    decoder_destroy(d);
    if (info) checkpoint_info_free(info);
    return code;
}

/* ---- For training ---- */

int model_keys(const char *path, kv_pairs *out, pal_error *err)
{
    if (!import_is_foreign(path)) {
        st_file f;
        PAL_TRY(st_open(path, &f, err));
        const char *tokenizer =
            kv_pairs_value(&f.metadata, "base") ? kv_pairs_value(&f.metadata, "tokenizer") : NULL;
        int code = f.config ? kv_pairs_parse(out, f.config, path, err) : PAL_OK;
        if (code == PAL_OK && tokenizer) code = kv_pairs_add(out, "tokenizer", tokenizer, path, err);
        st_free(&f);
        return code;
    }
    imported *m = NULL;
    PAL_TRY(import_open(&m, path, err));
    const char *tokenizer = kv_pairs_value(import_facts(m), "tokenizer");
    int code = kv_pairs_merge(out, import_keys(m), err);
    if (code == PAL_OK && tokenizer) code = kv_pairs_add(out, "tokenizer", tokenizer, path, err);
    import_close(m);
    return code;
}

static int has_ours(void *arg, const decoder_param *p)
{
    return st_find(arg, p->name) != NULL;
}

int model_fill(const char *path, decoder *d, int starts, instead_made *made, char digest[HASH_HEX], pal_error *err)
{
    *made = (instead_made){0};
    if (!import_is_foreign(path)) {
        adapter_base base;
        st_file f;
        PAL_TRY(adapter_find_base(path, &base, err));
        if (base.path[0]) return adapter_fill(path, &base, d, starts, made, digest, err);
        PAL_TRY(st_read(path, &f, err));
        int code = instead_check(d, has_ours, &f, path, starts, made, err);
        if (code == PAL_OK) code = checkpoint_fill(d, &f, path, 1, err);
        memcpy(digest, f.digest, HASH_HEX);
        st_free(&f);
        return code;
    }
    imported *m = NULL;
    PAL_TRY(import_open(&m, path, err));
    has_job job = {m, decoder_config(d)};
    int code = instead_check(d, has_tensor, &job, path, starts, made, err);
    if (code == PAL_OK) code = import_fill(m, d, NULL, err);
    if (code == PAL_OK) import_digest(m, NULL, NULL, digest);
    import_close(m);
    return code;
}

int model_missing(const char *path, const decoder *d, unsigned char *missing, pal_error *err)
{
    adapter_base base;
    PAL_TRY(adapter_find_base(path, &base, err));
    if (base.path[0]) return model_missing(base.path, d, missing, err);
    if (!import_is_foreign(path)) {
        st_file f;
        PAL_TRY(st_open(path, &f, err));
        for (size_t i = 0; i < decoder_param_count(d); i++) missing[i] = !has_ours(&f, decoder_param_at(d, i));
        st_free(&f);
        return PAL_OK;
    }
    imported *m = NULL;
    PAL_TRY(import_open(&m, path, err));
    has_job job = {m, decoder_config(d)};
    for (size_t i = 0; i < decoder_param_count(d); i++) missing[i] = !has_tensor(&job, decoder_param_at(d, i));
    import_close(m);
    return PAL_OK;
}
