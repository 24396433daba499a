/* Loading an adapter: its base first, then its own tensors over it.
 * The adapter's digest stands for both, as it covers the base's. */
#include "models/import/adapter.h"

#include "harness/base/os.h"
#include "models/import/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char base_key[] = "base", digest_key[] = "base_sha256";

/* As it is named, else beside the adapter. */
static void find_file(const char *path, const char *base, adapter_base *out)
{
    const char *slash = strrchr(path, '/'), *last = strrchr(base, '/');
    snprintf(out->path, sizeof out->path, "%s", base);
    out->found = os_file_exists(out->path);
    if (out->found) return;
    char beside[KV_TEXT_MAX];
    const int length = snprintf(beside, sizeof beside, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path,
                                last ? last + 1 : base);
    if (length >= (int)sizeof beside || !os_file_exists(beside)) return;
    memcpy(out->path, beside, sizeof beside);
    out->found = 1;
}

int adapter_find_base(const char *path, adapter_base *out, pal_error *err)
{
    st_file f;
    *out = (adapter_base){0};
    if (import_is_foreign(path)) return PAL_OK;
    PAL_TRY(st_open(path, &f, err));
    const char *base = kv_pairs_value(&f.metadata, base_key), *digest = kv_pairs_value(&f.metadata, digest_key);
    if (base && base[0] && digest) {
        snprintf(out->digest, sizeof out->digest, "%s", digest);
        find_file(path, base, out);
    }
    st_free(&f);
    return PAL_OK;
}

int adapter_describe(kv_pairs *metadata, const char *base, const char *digest, pal_error *err)
{
    PAL_TRY(kv_pairs_add(metadata, base_key, base, "recipe", err));
    return kv_pairs_add(metadata, digest_key, digest, "recipe", err);
}

int adapter_outline(const char *path, decoder **out, checkpoint_info *info, pal_error *err)
{
    st_file f;
    model_config cfg;
    decoder *d = NULL;
    PAL_TRY(st_read(path, &f, err));
    int code = checkpoint_config(&f, path, &cfg, err);
    if (code == PAL_OK) code = decoder_describe(&d, &cfg, err);
    if (code == PAL_OK) code = checkpoint_no_strangers(d, &f, path, err);
    if (code == PAL_OK) code = checkpoint_give_info(&f, info, err);
    st_free(&f);
    if (code == PAL_OK)
        *out = d;
    else
        decoder_destroy(d);
    return code;
}

/* What the adapter is meant for, to the bit; tensors that the base lacks stay. */
static int fill_base(const char *path, const adapter_base *base, decoder *d, pal_error *err)
{
    adapter_base deeper;
    instead_made ignored;
    char digest[HASH_HEX];
    if (!base->found)
        return pal_fail(err, PAL_DATA, "%s: its base %s is not there; fetch it, or put it beside the adapter",
                        path, base->path);
    PAL_TRY(adapter_find_base(base->path, &deeper, err));
    if (deeper.path[0])
        return pal_fail(err, PAL_DATA, "%s: its base %s is an adapter too; train it again from a whole model",
                        path, base->path);
    PAL_TRY(model_fill(base->path, d, 1, &ignored, digest, err));
    if (strcmp(digest, base->digest) == 0) return PAL_OK;
    return pal_fail(err, PAL_DATA, "%s: its base has SHA-256 %.12s..., and %s has %.12s...; fetch the right one",
                    path, base->digest, base->path, digest);
}

/* What neither file has. */
typedef struct has_job {
    const decoder *d;
    const st_file *f;
    const unsigned char *missing; /* of the base */
} has_job;

static int has_either(void *arg, const decoder_param *p)
{
    const has_job *j = arg;
    return !j->missing[p - decoder_param_at(j->d, 0)] || st_find(j->f, p->name) != NULL;
}

/* With `draws` what neither file has is drawn; without, it stays as it is. */
static int fill(const char *path, const adapter_base *base, const st_file *f, decoder *d, int starts, int draws,
                instead_made *made, pal_error *err)
{
    unsigned char *missing = calloc(decoder_param_count(d), 1);
    if (!missing) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    has_job job = {d, f, missing};
    int code = base->found ? model_missing(base->path, d, missing, err) : PAL_OK;
    if (code == PAL_OK && base->found) code = instead_check(d, has_either, &job, path, starts, made, err);
    for (size_t i = 0; draws && code == PAL_OK && i < decoder_param_count(d); i++)
        if (!has_either(&job, decoder_param_at(d, i))) decoder_init_param(d, i, INSTEAD_SEED);
    free(missing);
    if (code == PAL_OK) code = fill_base(path, base, d, err);
    return code == PAL_OK ? checkpoint_fill(d, f, path, 1, err) : code;
}

int adapter_fill(const char *path, const adapter_base *base, decoder *d, int starts, instead_made *made,
                 char digest[HASH_HEX], pal_error *err)
{
    st_file f;
    *made = (instead_made){0};
    PAL_TRY(st_read(path, &f, err));
    const int code = fill(path, base, &f, d, starts, 0, made, err);
    memcpy(digest, f.digest, HASH_HEX);
    st_free(&f);
    return code;
}

static int load(st_file *f, const char *path, const adapter_base *base, const instead_words *instead,
                decoder **out, instead_made *made, checkpoint_info *info, pal_error *err)
{
    model_config own, cfg;
    char text[INSTEAD_TEXT] = "";
    PAL_TRY(checkpoint_config(f, path, &own, err));
    cfg = own;
    if (instead) PAL_TRY(checkpoint_change_config(f, path, instead, &own, &cfg, made, err));
    memcpy(text, made->text, sizeof text);
    PAL_TRY(decoder_create(out, &cfg, err));
    if (!instead) PAL_TRY(checkpoint_no_strangers(*out, f, path, err));
    PAL_TRY(fill(path, base, f, *out, instead && instead_starts(instead), 1, made, err));
    memcpy(made->text, text, sizeof text);
    return checkpoint_give_info(f, info, err);
}

int adapter_load(const char *path, const adapter_base *base, const instead_words *instead, decoder **out,
                 instead_made *made, checkpoint_info *info, pal_error *err)
{
    st_file f;
    decoder *d = NULL;
    instead_made ignored;
    if (!made) made = &ignored;
    *made = (instead_made){0};
    PAL_TRY(st_read(path, &f, err));
    const int code = load(&f, path, base, instead, &d, made, info, err);
    st_free(&f);
    if (code == PAL_OK)
        *out = d;
    else
        decoder_destroy(d);
    return code;
}
