/* One door to all models: by what lies at a path, this program's own reader or that of another's files.
 * Weights of other programs are expanded to reals when they are loaded. */
#include "models/import/import.h"

#include "models/decoder/config_keys.h"

static int fill(const imported *m, const model_config *cfg, decoder **out, pal_error *err)
{
    size_t missing = 0;
    decoder *d = NULL;
    PAL_TRY(decoder_create(&d, cfg, err));
    int code = import_fill(m, d, &missing, err);
    if (code == PAL_OK && missing > 0)
        code = pal_fail(err, PAL_USAGE, "attention=%s has %zu tensors that the model has not: train them first",
                        cfg->attention_name, missing);
    if (code == PAL_OK)
        *out = d;
    else
        decoder_destroy(d);
    return code;
}

static int load(const imported *m, const kv_pairs *instead, kv_pairs *keys, decoder **out, checkpoint_info *info,
                pal_error *err)
{
    model_config cfg;
    PAL_TRY(kv_pairs_merge(keys, import_keys(m), err));
    if (instead) PAL_TRY(kv_pairs_merge(keys, instead, err));
    PAL_TRY(model_config_read(&cfg, keys, err));
    PAL_TRY(fill(m, &cfg, out, err));
    if (!info) return PAL_OK;
    import_digest(m, NULL, NULL, info->digest);
    return kv_pairs_merge(&info->metadata, import_facts(m), err);
}

int model_load(const char *path, const kv_pairs *instead, decoder **out, checkpoint_info *info, pal_error *err)
{
    imported *m = NULL;
    kv_pairs keys = {0};
    if (info) *info = (checkpoint_info){0};
    if (!import_is_foreign(path)) {
        if (instead && instead->count)
            return pal_fail(err, PAL_USAGE, "%s: %s=%s: its own keys stand in the file", path,
                            instead->pair[0].key, instead->pair[0].value);
        return checkpoint_load(path, out, info, err);
    }
    PAL_TRY(import_open(&m, path, err));
    decoder *d = NULL;
    const int code = load(m, instead, &keys, &d, info, err);
    kv_pairs_free(&keys);
    import_close(m);
    if (code != PAL_OK) {
        decoder_destroy(d);
        if (info) checkpoint_info_free(info);
        return code;
    }
    *out = d;
    return PAL_OK;
}
