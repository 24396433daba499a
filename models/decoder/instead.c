/* Another attention on trained weights: which keys may change, which tensors are then new. */
#include "models/decoder/instead.h"

#include "models/attention/attention.h"
#include "models/decoder/config_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char new_key[] = "new_tensors", attention_key[] = "attention";

const char *instead_find(const char *name)
{
    const char *plus = strrchr(name, '+');
    char word[64];
    if (!plus || plus == name) return NULL;
    const size_t size = strcspn(plus + 1, ":");
    if (size == 0 || size >= sizeof word) return NULL;
    memcpy(word, plus + 1, size);
    word[size] = '\0';
    return attn_find(word) ? plus : NULL;
}

int instead_allows(const attn_module *attention, const char *key)
{
    /* The layout says where the numbers of a pair lie in the weights. */
    if (strcasecmp(key, attention_key) == 0 || strcasecmp(key, new_key) == 0 || strcasecmp(key, "segment") == 0)
        return 1;
    if (strncasecmp(key, "rope_", 5) == 0 && strcasecmp(key, "rope_layout") != 0)
        return model_config_knows(attention, key);
    return attention && kv_find(attention->options, attention->option_count, key) != NULL;
}

static int refuse(const attn_module *attention, const kv_pair *p, pal_error *err)
{
    if (model_config_knows(attention, p->key))
        return pal_fail(err, PAL_USAGE, "%s=%s: would be another model than the weights are of", p->key, p->value);
    char names[400] = "";
    size_t used = 0;
    for (size_t i = 0; i < attention->option_count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s, ", attention->options[i].key);
    return pal_fail(err, PAL_USAGE, "%s=%s: attention %s has no such key; it has %sand segment, rope_scaling, ...",
                    p->key, p->value, attention->name, names);
}

static int check_pair(const attn_module *attention, const kv_pair *p, pal_error *err)
{
    if (!instead_allows(attention, p->key)) return refuse(attention, p, err);
    if (strcasecmp(p->key, new_key) == 0 && strcmp(p->value, "start") != 0 && strcmp(p->value, "refuse") != 0)
        return pal_fail(err, PAL_USAGE, "%s=%s: choose one of refuse, start", new_key, p->value);
    return PAL_OK;
}

/* The attention that the keys name, with the message of model_config_read where there is none. */
static int find_attention(const kv_pairs *keys, const attn_module **out, pal_error *err)
{
    model_config ignored;
    const char *name = kv_pairs_value(keys, attention_key);
    *out = name ? attn_find(name) : NULL;
    return *out ? PAL_OK : model_config_read(&ignored, keys, err);
}

static int parse_settings(char *text, kv_pairs *out, pal_error *err)
{
    char *rest = text, *word = strsep(&rest, ":");
    const attn_module *attention;
    PAL_TRY(kv_pairs_add(out, attention_key, word, KV_COMMAND_LINE, err));
    PAL_TRY(find_attention(out, &attention, err));
    while ((word = strsep(&rest, ":"))) {
        char *value = strchr(word, '=');
        if (!value || value == word)
            return pal_fail(err, PAL_USAGE, "attention=%s:...: \"%s\" is no KEY=VALUE", attention->name, word);
        *value++ = '\0';
        PAL_TRY(kv_pairs_add(out, word, value, KV_COMMAND_LINE, err));
        PAL_TRY(check_pair(attention, &out->pair[out->count - 1], err));
    }
    return PAL_OK;
}

int instead_parse(const char *text, kv_pairs *out, pal_error *err)
{
    char *copy = strdup(text);
    const int code =
        copy ? parse_settings(copy, out, err) : pal_fail(err, PAL_INTERNAL, "out of memory for an attention");
    free(copy);
    return code;
}

void instead_words_free(instead_words *w)
{
    kv_pairs_free(&w->own);
    kv_pairs_free(&w->common);
}

/* Append those pairs that are keys of a model with this attention. */
static int add_known(const attn_module *attention, const kv_pairs *from, kv_pairs *to, pal_error *err)
{
    for (size_t i = 0; i < from->count; i++) {
        const kv_pair *p = &from->pair[i];
        if (model_config_knows(attention, p->key)) PAL_TRY(kv_pairs_add(to, p->key, p->value, p->where, err));
    }
    return PAL_OK;
}

int instead_apply(kv_pairs *keys, const instead_words *instead, pal_error *err)
{
    const attn_module *attention;
    kv_pairs both = {0};
    const char *name = kv_pairs_value(&instead->own, attention_key);
    if (name) PAL_TRY(kv_pairs_add(keys, attention_key, name, KV_COMMAND_LINE, err));
    PAL_TRY(find_attention(keys, &attention, err));
    for (size_t i = 0; i < instead->own.count; i++) PAL_TRY(check_pair(attention, &instead->own.pair[i], err));
    int code = add_known(attention, keys, &both, err);
    if (code == PAL_OK) code = add_known(attention, &instead->common, &both, err);
    if (code == PAL_OK) code = add_known(attention, &instead->own, &both, err);
    kv_pairs_free(code == PAL_OK ? keys : &both);
    if (code == PAL_OK) *keys = both;
    return code;
}

static int starts(const kv_pairs *pairs)
{
    const char *value = kv_pairs_value(pairs, new_key);
    return value && strcmp(value, "start") == 0;
}

int instead_starts(const instead_words *instead)
{
    return starts(&instead->own) || starts(&instead->common);
}

/* Append ":key=value" for each row in which cfg differs from own, or from the default of a key that own has not.
 */
static size_t put_rows(char *out, size_t used, const kv_spec *row, size_t count, const model_config *own,
                       const kv_spec *own_row, size_t own_count, const model_config *cfg)
{
    for (size_t i = 0; i < count; i++) {
        char mine[KV_OUT_MAX], theirs[KV_OUT_MAX];
        const kv_spec *there = kv_find(own_row, own_count, row[i].key);
        model_config plain = {0};
        pal_error ignored;
        kv_get(&row[i], cfg, mine, sizeof mine);
        kv_set(&row[i], &plain, row[i].fallback, &ignored);
        kv_get(there ? there : &row[i], there ? own : &plain, theirs, sizeof theirs);
        if (strcmp(mine, theirs) == 0) continue;
        if (used < INSTEAD_TEXT)
            used += (size_t)snprintf(out + used, INSTEAD_TEXT - used, ":%s=%s", row[i].key, mine);
    }
    return used;
}

int instead_text(const model_config *own, const model_config *cfg, int new_tensors, char *out, pal_error *err)
{
    const attn_module *mine = cfg->attention, *theirs = own->attention;
    size_t count;
    const kv_spec *shared = model_config_table(&count);
    const size_t name = (size_t)snprintf(out, INSTEAD_TEXT, "%s", mine->name);
    size_t used = put_rows(out, name, shared + 1, count - 1, own, shared, count, cfg);
    used = put_rows(out, used, mine->options, mine->option_count, own, theirs->options, theirs->option_count, cfg);
    if (used == name && mine == theirs) {
        out[0] = '\0';
        return PAL_OK;
    }
    if (new_tensors && used < INSTEAD_TEXT)
        used += (size_t)snprintf(out + used, INSTEAD_TEXT - used, ":%s=start", new_key);
    if (used < INSTEAD_TEXT) return PAL_OK;
    return pal_fail(err, PAL_USAGE, "attention=%.60s...: more settings than a name in a table can hold", out);
}

/* The name with '*' for the layer's number. */
static void without_layer(const char *name, char *out, size_t size)
{
    static const char layers[] = "layers.";
    if (strncmp(name, layers, sizeof layers - 1) == 0)
        snprintf(out, size, "layers.*%s",
                 name + sizeof layers - 1 + strspn(name + sizeof layers - 1, "0123456789"));
    else
        snprintf(out, size, "%s", name);
}

static size_t put_start(const decoder *d, const decoder_param *p, const char *name, char *out, size_t size)
{
    char shape[48];
    if (p->rows > 1)
        snprintf(shape, sizeof shape, "[%zu, %zu]", p->rows, p->cols);
    else
        snprintf(shape, sizeof shape, "[%zu]", p->cols);
    if (p->init == INIT_CONSTANT) return (size_t)snprintf(out, size, "%s %s = %g", name, shape, p->value);
    if (p->init == INIT_IDENTITY) return (size_t)snprintf(out, size, "%s %s = identity", name, shape);
    if (p->init != INIT_NORMAL) return (size_t)snprintf(out, size, "%s %s drawn below %g", name, shape, p->value);
    return (size_t)snprintf(out, size, "%s %s drawn with deviation %g", name, shape,
                            p->value > 0 ? p->value : decoder_config(d)->init_std);
}

size_t instead_new(const decoder *d, int (*has)(void *arg, const decoder_param *p), void *arg, char *out,
                   size_t size)
{
    char shown[8][96];
    size_t count = 0, kinds = 0, used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        char name[96];
        size_t k = 0;
        if (has(arg, p)) continue;
        count++;
        without_layer(p->name, name, sizeof name);
        while (k < kinds && strcmp(shown[k], name) != 0) k++;
        if (k < kinds || kinds == sizeof shown / sizeof *shown || used >= size) continue;
        memcpy(shown[kinds++], name, sizeof name);
        if (used) used += (size_t)snprintf(out + used, size - used, ", ");
        if (used < size) used += put_start(d, p, name, out + used, size - used);
    }
    if (used >= size && size > 4) memcpy(out + size - 4, "...", 4);
    return count;
}

int instead_check(const decoder *d, int (*has)(void *arg, const decoder_param *p), void *arg, const char *path,
                  int starts, instead_made *made, pal_error *err)
{
    made->new_tensors = instead_new(d, has, arg, made->note, sizeof made->note);
    if (made->new_tensors == 0 || starts) return PAL_OK;
    return pal_fail(err, PAL_USAGE,
                    "%s: attention %s needs %zu tensors that are not there: %s; train them "
                    "(init_new=keep), or say new_tensors=start",
                    path, decoder_config(d)->attention->name, made->new_tensors, made->note);
}
