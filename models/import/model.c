/* One door to all models: by what lies at a path, this program's own reader or that of another's files.
 * Weights of other programs are expanded to reals when they are read. */
#include "models/import/import.h"

#include "models/decoder/config_keys.h"

/* A decoder without weights, of the model's keys and what goes over them. */
static int describe(const imported *m, const kv_pairs *instead, decoder **out, pal_error *err)
{
    model_config cfg;
    kv_pairs keys = {0};
    int code = kv_pairs_merge(&keys, import_keys(m), err);
    if (code == PAL_OK && instead) code = kv_pairs_merge(&keys, instead, err);
    if (code == PAL_OK) code = model_config_read(&cfg, &keys, err);
    if (code == PAL_OK) code = decoder_describe(out, &cfg, err);
    kv_pairs_free(&keys);
    return code;
}

int model_describe(const char *path, const kv_pairs *instead, import_watch *watch, void *arg, decoder **out,
                   checkpoint_info *info, pal_error *err)
{
    imported *m = NULL;
    PAL_TRY(import_open(&m, path, err));
    int code = describe(m, instead, out, err);
    if (code == PAL_OK && info) {
        *info = (checkpoint_info){0};
        import_digest(m, watch, arg, info->digest);
        code = kv_pairs_merge(&info->metadata, import_facts(m), err);
        if (code != PAL_OK) {
            checkpoint_info_free(info);
            decoder_destroy(*out);
            *out = NULL;
        }
    }
    import_close(m);
    return code;
}

int model_read_weights(const char *path, decoder *d, pal_error *err)
{
    imported *m = NULL;
    size_t missing = 0;
    PAL_TRY(import_open(&m, path, err));
    int code = decoder_allocate(d, err);
    if (code == PAL_OK) code = import_fill(m, d, &missing, err);
    if (code == PAL_OK && missing > 0)
        code =
            pal_fail(err, PAL_USAGE, "%s: attention=%s has %zu tensors that the model has not: train them first",
                     path, decoder_config(d)->attention_name, missing);
    import_close(m);
    return code;
}

int model_load(const char *path, const kv_pairs *instead, decoder **out, checkpoint_info *info, pal_error *err)
{
    if (!import_is_foreign(path)) {
        if (instead && instead->count)
            return pal_fail(err, PAL_USAGE, "%s: %s=%s: its own keys stand in the file", path,
                            instead->pair[0].key, instead->pair[0].value);
        return checkpoint_load(path, out, info, err);
    }
    decoder *d = NULL;
    PAL_TRY(model_describe(path, instead, NULL, NULL, &d, info, err));
    const int code = model_read_weights(path, d, err);
    if (code == PAL_OK) {
        *out = d;
        return PAL_OK;
    }
    decoder_destroy(d);
    if (info) checkpoint_info_free(info);
    return code;
}
