/* Models in safetensors files: weights, config, and for training the optimiser's moments.
 * A file is compared with the model that its config describes before memory is taken. */
#include "models/files/checkpoint.h"
#include "models/decoder/config_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#ifdef PAL_DOUBLE
static const st_dtype native = ST_F64;
#else
static const st_dtype native = ST_F32;
#endif

static const char optimiser_prefix[] = "optimiser.";
static const char kind_key[] = "optimiser.kind", step_key[] = "optimiser.step";
static const char first_name[] = "optimiser.first", second_name[] = "optimiser.second";

static int is_optimiser(const char *name)
{
    return strncmp(name, optimiser_prefix, sizeof optimiser_prefix - 1) == 0;
}

static const char *kind_name(const optimiser *opt)
{
    return opt->cfg.kind == OPTIMISER_ADAMW ? "adamw" : "adafactor";
}

/* ---- Saving. ---- */

/* Fill a tensor laid out by st_create. */
static void put(const st_tensor *t, const real *x)
{
    st_put_values(t->dtype, x, st_elements(t), (char *)t->data);
}

static st_tensor describe(const char *name, st_dtype dtype, size_t rows, size_t cols)
{
    st_tensor t = {.dtype = dtype, .dims = rows > 1 ? 2 : 1};
    snprintf(t.name, sizeof t.name, "%s", name);
    t.dim[0] = rows > 1 ? rows : cols;
    t.dim[1] = rows > 1 ? cols : 0;
    return t;
}

static int add_optimiser_metadata(kv_pairs *all, const optimiser *opt, pal_error *err)
{
    char step[32];
    snprintf(step, sizeof step, "%lld", (long long)opt->step);
    PAL_TRY(kv_pairs_add(all, kind_key, kind_name(opt), "checkpoint", err));
    return kv_pairs_add(all, step_key, step, "checkpoint", err);
}

static int join_metadata(kv_pairs *all, const kv_pairs *metadata, const optimiser *opt, pal_error *err)
{
    for (size_t i = 0; metadata && i < metadata->count; i++) {
        const kv_pair *pair = &metadata->pair[i];
        if (is_optimiser(pair->key))
            return pal_fail(err, PAL_USAGE, "checkpoint metadata: the key \"%s\" is reserved", pair->key);
        PAL_TRY(kv_pairs_add(all, pair->key, pair->value, pair->where, err));
    }
    return opt ? add_optimiser_metadata(all, opt, err) : PAL_OK;
}

static int save(const char *path, decoder *d, const optimiser *opt, st_dtype dtype, const kv_pairs *metadata,
                const char *config, st_tensor *tensors, pal_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        if (p->grad != PARAM_FROZEN) tensors[count++] = describe(p->name, dtype, p->rows, p->cols);
    }
    const size_t first = count;
    if (opt && opt->first_reals) tensors[count++] = describe(first_name, native, 1, opt->first_reals);
    const size_t second = count;
    if (opt) tensors[count++] = describe(second_name, native, 1, opt->second_reals);

    st_file f;
    PAL_TRY(st_create(tensors, count, config, metadata, &f, err));
    for (size_t i = 0, at = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        if (p->grad != PARAM_FROZEN) put(&f.tensor[at++], decoder_weights(d) + p->offset);
    }
    if (first < second) put(&f.tensor[first], opt->first);
    if (second < count) put(&f.tensor[second], opt->second);
    const int code = st_write(path, &f, err);
    st_free(&f);
    return code;
}

int checkpoint_save(const char *path, decoder *d, const optimiser *opt, st_dtype dtype, const kv_pairs *metadata,
                    pal_error *err)
{
    if (dtype != ST_F32 && dtype != ST_BF16)
        return pal_fail(err, PAL_USAGE, "%s: weights are written as F32 or BF16", path);
    char *config = model_config_text(decoder_config(d));
    st_tensor *tensors = calloc(decoder_param_count(d) + 2, sizeof *tensors);
    kv_pairs all = {0};
    int code = config && tensors ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    if (code == PAL_OK) code = join_metadata(&all, metadata, opt, err);
    if (code == PAL_OK) code = save(path, d, opt, dtype == ST_F32 ? native : dtype, &all, config, tensors, err);
    kv_pairs_free(&all);
    free(tensors);
    free(config);
    return code;
}

/* ---- Weights. ---- */

/* The tensor `name` of `elements` floating-point numbers, finite once they are loaded; or NULL with the reason in
 * err.
 */
static const st_tensor *expect(const st_file *f, const char *path, const char *name, size_t elements,
                               pal_error *err)
{
    const st_tensor *t = st_find(f, name);
    if (!t) {
        pal_fail(err, PAL_DATA, "%s: the tensor \"%s\" is missing; the weights are of another model", path, name);
        return NULL;
    }
    if (t->dtype == ST_I32 || t->dtype == ST_I64 || t->dtype == ST_U8) {
        pal_fail(err, PAL_DATA, "%s: the tensor \"%s\" holds whole numbers; convert it to F32", path, name);
        return NULL;
    }
    if (st_elements(t) != elements) {
        pal_fail(err, PAL_DATA,
                 "%s: the tensor \"%s\" has %zu numbers where the model has %zu; the config differs", path, name,
                 st_elements(t), elements);
        return NULL;
    }
    size_t index;
    if (t->data && !st_finite(t, &index)) {
        pal_fail(
            err, PAL_DATA,
            "%s: the tensor \"%s\" holds %g at index %zu; the weights are damaged or of a training that diverged; "
            "fetch or train them again",
            path, name, st_value(t, index), index);
        return NULL;
    }
    return t;
}

static int check_weights(const decoder *d, const st_file *f, const char *path, int keep_missing, pal_error *err)
{
    size_t found = 0;
    for (size_t i = 0; i < decoder_param_count(d); i++) found += st_find(f, decoder_param_at(d, i)->name) != NULL;
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        if ((keep_missing || p->grad == PARAM_FROZEN) && found > 0 && !st_find(f, p->name)) continue;
        if (!expect(f, path, p->name, decoder_param_elements(p), err)) return err->code;
    }
    return PAL_OK;
}

int checkpoint_fill(decoder *d, const st_file *f, const char *path, int keep_missing, pal_error *err)
{
    /* All before the first write: a failure leaves the decoder as it was. */
    PAL_TRY(check_weights(d, f, path, keep_missing, err));
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        const st_tensor *t = st_find(f, p->name);
        if (t && p->offset != PARAM_ELSEWHERE) st_values(t, decoder_weights(d) + p->offset);
    }
    return PAL_OK;
}

static int has_param(const decoder *d, const char *name)
{
    for (size_t i = 0; i < decoder_param_count(d); i++)
        if (strcmp(decoder_param_at(d, i)->name, name) == 0) return 1;
    return 0;
}

int checkpoint_no_strangers(const decoder *d, const st_file *f, const char *path, pal_error *err)
{
    for (size_t i = 0; i < f->count; i++) {
        const char *name = f->tensor[i].name;
        if (!is_optimiser(name) && !has_param(d, name))
            return pal_fail(err, PAL_DATA,
                            "%s: the tensor \"%s\" does not belong to the model its config describes", path, name);
    }
    return PAL_OK;
}

/* ---- The config and other metadata. ---- */

static int parse_config(const char *text, model_config *cfg, kv_pairs *pairs, pal_error *err)
{
    PAL_TRY(kv_pairs_parse(pairs, text, "config", err));
    PAL_TRY(model_config_read(cfg, pairs, err));
    for (size_t i = 0; i < pairs->count; i++) {
        const kv_pair *pair = &pairs->pair[i];
        if (!model_config_knows(cfg->attention, pair->key))
            return pal_fail(err, PAL_DATA, "%s: unknown key \"%s\"; it may come from a newer version", pair->where,
                            pair->key);
    }
    return PAL_OK;
}

int checkpoint_config(const st_file *f, const char *path, model_config *cfg, pal_error *err)
{
    if (!f->config)
        return pal_fail(err, PAL_DATA, "%s: holds no model config; only checkpoints written by this program do",
                        path);
    kv_pairs pairs = {0};
    pal_error cause;
    const int code = parse_config(f->config, cfg, &pairs, &cause);
    kv_pairs_free(&pairs);
    if (code != PAL_OK)
        return pal_fail(err, code == PAL_INTERNAL ? code : PAL_DATA, "%s: its %s", path, cause.text);
    return PAL_OK;
}

static int differ(const kv_spec *row, const char *path, const model_config *there, const model_config *here,
                  pal_error *err)
{
    char a[KV_OUT_MAX], b[KV_OUT_MAX];
    kv_get(row, there, a, sizeof a);
    kv_get(row, here, b, sizeof b);
    if (strcmp(a, b) == 0) return PAL_OK;
    return pal_fail(err, PAL_DATA, "%s: was trained with %s = %s, this run has %s; resume with the same config",
                    path, row->key, a, b);
}

static int check_same_config(const char *path, const model_config *there, const model_config *here, pal_error *err)
{
    size_t count;
    const kv_spec *shared = model_config_table(&count);
    for (size_t i = 0; i < count; i++) PAL_TRY(differ(&shared[i], path, there, here, err));
    for (size_t i = 0; i < here->attention->option_count; i++)
        PAL_TRY(differ(&here->attention->options[i], path, there, here, err));
    return PAL_OK;
}

int checkpoint_give_info(const st_file *f, checkpoint_info *info, pal_error *err)
{
    if (!info) return PAL_OK;
    *info = (checkpoint_info){0};
    memcpy(info->digest, f->digest, sizeof info->digest);
    for (size_t i = 0; i < f->metadata.count; i++) {
        const kv_pair *pair = &f->metadata.pair[i];
        if (st_reserved(pair->key) || is_optimiser(pair->key)) continue;
        const int code = kv_pairs_add(&info->metadata, pair->key, pair->value, pair->where, err);
        if (code != PAL_OK) {
            checkpoint_info_free(info);
            return code;
        }
    }
    return PAL_OK;
}

void checkpoint_info_free(checkpoint_info *info)
{
    kv_pairs_free(&info->metadata);
}

/* ---- Loading. ---- */

/* The header says all about names and sizes: a wild config costs no memory, and a wrong file is not read. */
static int load(st_file *f, const char *path, decoder *d, checkpoint_info *info, pal_error *err)
{
    PAL_TRY(check_weights(d, f, path, 0, err));
    PAL_TRY(checkpoint_no_strangers(d, f, path, err));
    PAL_TRY(st_load(path, f, err));
    PAL_TRY(decoder_allocate(d, err));
    PAL_TRY(checkpoint_fill(d, f, path, 0, err));
    return checkpoint_give_info(f, info, err);
}

int checkpoint_load(const char *path, decoder **out, checkpoint_info *info, pal_error *err)
{
    st_file f;
    model_config cfg;
    decoder *d = NULL;
    PAL_TRY(st_open(path, &f, err));
    int code = checkpoint_config(&f, path, &cfg, err);
    if (code == PAL_OK) code = decoder_describe(&d, &cfg, err);
    if (code == PAL_OK) code = load(&f, path, d, info, err);
    st_free(&f);
    if (code == PAL_OK)
        *out = d;
    else
        decoder_destroy(d);
    return code;
}

static int resume(const st_file *f, const char *path, decoder *d, optimiser *opt, checkpoint_info *info,
                  pal_error *err)
{
    model_config there;
    PAL_TRY(checkpoint_config(f, path, &there, err));
    PAL_TRY(check_same_config(path, &there, decoder_config(d), err));
    PAL_TRY(checkpoint_no_strangers(d, f, path, err));

    const char *kind = kv_pairs_value(&f->metadata, kind_key), *step = kv_pairs_value(&f->metadata, step_key);
    int64_t steps = 0;
    pal_error ignored;
    if (!kind || !step || kv_parse_size(step_key, step, &steps, &ignored) != PAL_OK)
        return pal_fail(err, PAL_DATA, "%s: holds weights without an optimiser; it can be evaluated, not resumed",
                        path);
    if (strcmp(kind, kind_name(opt)) != 0)
        return pal_fail(err, PAL_DATA, "%s: was trained with %s, this run has %s; resume with the same optimiser",
                        path, kind, kind_name(opt));
    const st_tensor *first = NULL, *second = expect(f, path, second_name, opt->second_reals, err);
    if (!second) return err->code;
    if (opt->first_reals && !(first = expect(f, path, first_name, opt->first_reals, err))) return err->code;
    PAL_TRY(checkpoint_fill(d, f, path, 0, err)); /* whatever can be wrong with the file is found by now */
    if (first) st_values(first, opt->first);
    st_values(second, opt->second);
    opt->step = steps;
    return checkpoint_give_info(f, info, err);
}

int checkpoint_resume(const char *path, decoder *d, optimiser *opt, checkpoint_info *info, pal_error *err)
{
    st_file f;
    PAL_TRY(st_read(path, &f, err));
    const int code = resume(&f, path, d, opt, info, err);
    st_free(&f);
    return code;
}
