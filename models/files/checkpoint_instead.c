/* A checkpoint of this program read with another attention, or other settings of its own. */
#include "models/decoder/config_keys.h"
#include "models/files/checkpoint.h"

#include <string.h>

static int has_tensor(void *arg, const decoder_param *p)
{
    return st_find(arg, p->name) != NULL;
}

/* Before memory in proportion to the config is taken. */
static int check_whole(const st_file *f, const char *path, const decoder *own, pal_error *err)
{
    for (size_t i = 0; i < decoder_param_count(own); i++) {
        const decoder_param *p = decoder_param_at(own, i);
        const st_tensor *t = st_find(f, p->name);
        if (!t || st_elements(t) != decoder_param_elements(p))
            return pal_fail(
                err, PAL_DATA,
                "%s: the tensor \"%s\" is not there, or is no [%zu, %zu]; the weights are of another model", path,
                p->name, p->rows, p->cols);
    }
    return checkpoint_no_strangers(own, f, path, err);
}

static size_t count_unused(const decoder *own, const decoder *d)
{
    size_t unused = 0;
    for (size_t i = 0; i < decoder_param_count(own); i++) {
        size_t k = 0;
        while (k < decoder_param_count(d) &&
               strcmp(decoder_param_at(own, i)->name, decoder_param_at(d, k)->name) != 0)
            k++;
        unused += k == decoder_param_count(d);
    }
    return unused;
}

int checkpoint_change_config(const st_file *f, const char *path, const instead_words *instead, model_config *own,
                             model_config *cfg, instead_made *made, pal_error *err)
{
    kv_pairs keys = {0};
    int code = kv_pairs_parse(&keys, f->config, path, err);
    if (code == PAL_OK) code = instead_apply(&keys, instead, err);
    if (code == PAL_OK) code = model_config_read(cfg, &keys, err);
    if (code == PAL_OK) code = instead_text(own, cfg, instead_starts(instead), made->text, err);
    kv_pairs_free(&keys);
    return code;
}

static int fill(st_file *f, const char *path, decoder *like, decoder *d, pal_error *err)
{
    PAL_TRY(st_load(path, f, err));
    for (size_t i = 0; like && i < decoder_param_count(d); i++)
        if (st_find(f, decoder_param_at(d, i)->name)) PAL_TRY(decoder_borrow(d, i, like, err));
    PAL_TRY(decoder_allocate(d, err));
    for (size_t i = 0; i < decoder_param_count(d); i++)
        if (!st_find(f, decoder_param_at(d, i)->name)) decoder_init_param(d, i, INSTEAD_SEED);
    return checkpoint_fill(d, f, path, 1, err);
}

/* The file must be whole as it describes itself: `was` is that model. */
static int load(st_file *f, const char *path, const instead_words *instead, decoder *like, decoder **was,
                decoder **out, instead_made *made, checkpoint_info *info, pal_error *err)
{
    model_config own, cfg;
    PAL_TRY(checkpoint_config(f, path, &own, err));
    PAL_TRY(decoder_describe(was, &own, err));
    PAL_TRY(check_whole(f, path, *was, err));
    PAL_TRY(checkpoint_change_config(f, path, instead, &own, &cfg, made, err));
    PAL_TRY(decoder_describe(out, &cfg, err));
    PAL_TRY(instead_check(*out, has_tensor, f, path, instead_starts(instead), made, err));
    made->unused = count_unused(*was, *out);
    PAL_TRY(fill(f, path, like, *out, err));
    return checkpoint_give_info(f, info, err);
}

int checkpoint_load_instead(const char *path, const instead_words *instead, decoder *like, decoder **out,
                            instead_made *made, checkpoint_info *info, pal_error *err)
{
    st_file f;
    decoder *was = NULL, *d = NULL;
    instead_made ignored;
    if (!made) made = &ignored;
    *made = (instead_made){0};
    PAL_TRY(st_open(path, &f, err));
    const int code = load(&f, path, instead, like, &was, &d, made, info, err);
    st_free(&f);
    decoder_destroy(was);
    if (code == PAL_OK)
        *out = d;
    else
        decoder_destroy(d);
    return code;
}
