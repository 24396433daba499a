/* The tokenizer of a request: the one that its models were trained with, unless another is named. */
#include "harness/eval/request.h"

#include "models/files/gguf.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- The tokenizer inside a GGUF file ---- */

/* What a tokenizer is made from, and the memory for it; texts stay in the file. */
typedef struct vocabulary {
    tokenizer_arrays arrays;
    char model[32], pre[64];
    tokenizer_text *token, *merge;
    float *score;
    int32_t *type;
} vocabulary;

static void free_vocabulary(vocabulary *v)
{
    free(v->token);
    free(v->merge);
    free(v->score);
    free(v->type);
}

static void copy_text(const gguf_file *f, const char *key, char *out, size_t size)
{
    const gguf_value *v = gguf_find(f, key);
    const size_t length = v && v->kind == GGUF_TEXT ? v->text.size : 0;
    snprintf(out, size, "%.*s", (int)(length < size ? length : size - 1), length ? v->text.data : "");
}

static int64_t read_id(const gguf_file *f, const char *key)
{
    const uint64_t id = gguf_uint(f, key, UINT64_MAX);
    return id <= INT32_MAX ? (int64_t)id : TOKENIZER_UNSAID;
}

static int read_flag(const gguf_file *f, const char *key)
{
    const gguf_value *v = gguf_find(f, key);
    return v && v->kind == GGUF_BOOL ? v->uint != 0 : TOKENIZER_UNSAID;
}

/* The texts of an array in *out; *count 0 where there is none. */
static int read_texts(const gguf_file *f, const char *key, tokenizer_text **out, size_t *count, pal_error *err)
{
    const gguf_value *array = gguf_find(f, key);
    gguf_value item;
    size_t i = 0;
    *count = array && array->kind == GGUF_ARRAY ? (size_t)array->count : 0;
    *out = calloc(*count + 1, sizeof **out);
    if (!*out) return pal_fail(err, PAL_INTERNAL, "out of memory for a vocabulary");
    if (*count == 0) return PAL_OK;
    for (gguf_items items = gguf_items_of(array); gguf_next(&items, &item); i++) {
        if (item.kind != GGUF_TEXT) return pal_fail(err, PAL_DATA, "\"%s\" holds no texts", key);
        (*out)[i] = (tokenizer_text){item.text.data, item.text.size};
    }
    return PAL_OK;
}

/* An array of numbers, one for each token; NULL where there is none. */
static int read_numbers(const gguf_file *f, const char *key, size_t count, float **reals, int32_t **wholes,
                        pal_error *err)
{
    const gguf_value *array = gguf_find(f, key);
    gguf_value item;
    size_t i = 0;
    if (!array) return PAL_OK;
    if (array->kind != GGUF_ARRAY || array->count != count)
        return pal_fail(err, PAL_DATA, "\"%s\" has not one number for each token", key);
    if (reals) *reals = calloc(count + 1, sizeof **reals);
    if (wholes) *wholes = calloc(count + 1, sizeof **wholes);
    if ((reals && !*reals) || (wholes && !*wholes))
        return pal_fail(err, PAL_INTERNAL, "out of memory for a vocabulary");
    for (gguf_items items = gguf_items_of(array); gguf_next(&items, &item); i++) {
        const int whole = item.kind == GGUF_INT || item.kind == GGUF_UINT;
        if (reals ? item.kind != GGUF_REAL : !whole)
            return pal_fail(err, PAL_DATA, "\"%s\" holds numbers of another kind", key);
        if (reals)
            (*reals)[i] = (float)item.real;
        else
            (*wholes)[i] = (int32_t)item.integer;
    }
    return PAL_OK;
}

static int read_vocabulary(const gguf_file *f, const char *path, vocabulary *v, pal_error *err)
{
    tokenizer_arrays *a = &v->arrays;
    copy_text(f, "tokenizer.ggml.model", v->model, sizeof v->model);
    copy_text(f, "tokenizer.ggml.pre", v->pre, sizeof v->pre);
    PAL_TRY(read_texts(f, "tokenizer.ggml.tokens", &v->token, &a->vocab, err));
    PAL_TRY(read_texts(f, "tokenizer.ggml.merges", &v->merge, &a->merges, err));
    PAL_TRY(read_numbers(f, "tokenizer.ggml.scores", a->vocab, &v->score, NULL, err));
    PAL_TRY(read_numbers(f, "tokenizer.ggml.token_type", a->vocab, NULL, &v->type, err));
    if (a->vocab == 0) return pal_fail(err, PAL_DATA, "it holds no tokenizer; name one with tokenizer=");
    a->name = path;
    a->model = v->model;
    a->pre = v->pre;
    a->token = v->token;
    a->merge = v->merge;
    a->score = v->score;
    a->type = v->type;
    a->begin = read_id(f, "tokenizer.ggml.bos_token_id");
    a->add_begin = read_flag(f, "tokenizer.ggml.add_bos_token");
    a->add_space_prefix = read_flag(f, "tokenizer.ggml.add_space_prefix");
    return PAL_OK;
}

static int load_gguf(tokenizer **out, const char *path, pal_error *err)
{
    gguf_file f;
    vocabulary v = {0};
    pal_error cause;
    PAL_TRY(gguf_open(&f, path, err));
    int code = read_vocabulary(&f, path, &v, &cause);
    if (code != PAL_OK)
        code = pal_fail(err, code, "%s: %s", path, cause.text);
    else
        code = tokenizer_create_arrays(out, &v.arrays, err);
    free_vocabulary(&v);
    gguf_close(&f);
    return code;
}

int eval_tokenizer_load(tokenizer **out, const char *path, pal_error *err)
{
    const size_t length = strlen(path);
    const int is_gguf = length > 5 && strcasecmp(path + length - 5, ".gguf") == 0;
    return is_gguf ? load_gguf(out, path, err) : tokenizer_load(out, path, err);
}

/* ---- The tokenizer of a request ---- */

/* What a model's file says of its tokenizer: a path and its digest. A file that says nothing was made for bytes.
 */
static const char *path_of(const eval_model *m)
{
    const char *path = kv_pairs_value(&m->info.metadata, "tokenizer");
    return path && path[0] ? path : "bytes";
}

/* Models of other programs say what they are; they are never made for bytes unless somebody asks. */
static int brings_tokenizer(const eval_model *m)
{
    return kv_pairs_value(&m->info.metadata, "tokenizer") || !kv_pairs_value(&m->info.metadata, "architecture");
}

static const char *digest_of(const eval_model *m)
{
    return kv_pairs_value(&m->info.metadata, "tokenizer_sha256");
}

static int same_tokenizer(const eval_model *a, const eval_model *b)
{
    const char *x = digest_of(a), *y = digest_of(b);
    return x && y ? strcmp(x, y) == 0 : !x && !y;
}

void eval_request_one_tokenizer(eval_request *r)
{
    size_t best = 0, most = 0, kept = 0;
    for (size_t i = 0; i < r->model_count; i++) {
        size_t same = 0;
        for (size_t k = 0; k < r->model_count; k++) same += (size_t)same_tokenizer(&r->model[i], &r->model[k]);
        if (same <= most) continue;
        most = same;
        best = i;
    }
    const eval_model like =
        r->model_count ? r->model[best] : (eval_model){0}; /* its strings live on in the one kept */
    for (size_t i = 0; i < r->model_count; i++) {
        if (same_tokenizer(&r->model[i], &like)) {
            r->model[kept++] = r->model[i];
            continue;
        }
        if (r->left_out++ == 0) memcpy(r->left_out_name, r->model[i].file.name, sizeof r->left_out_name);
        eval_model_free(&r->model[i]);
    }
    r->model_count = kept;
}

static int check_vocabulary(const eval_request *r, const eval_model *m, const char *path, pal_error *err)
{
    const size_t vocab = (size_t)decoder_config(m->decoder)->vocab;
    if (tokenizer_vocab(r->tokenizer) <= vocab) return PAL_OK;
    return pal_fail(
        err, PAL_USAGE,
        "%s has a vocabulary of %zu, tokenizer %s one of %zu; name the model's own with tokenizer=, or leave "
        "the model out with model=",
        m->file.name, vocab, path, tokenizer_vocab(r->tokenizer));
}

int eval_request_tokenizer(eval_request *r, pal_error *err)
{
    const int asked = r->options.tokenizer[0] != '\0';
    for (size_t i = 0; !asked && i < r->model_count; i++)
        if (!brings_tokenizer(&r->model[i]))
            return pal_fail(err, PAL_USAGE,
                            "%s: no tokenizer lies there; name one with tokenizer=", r->model[i].file.path);
    const char *path = asked ? r->options.tokenizer : path_of(&r->model[0]);
    PAL_TRY(eval_tokenizer_load(&r->tokenizer, path, err));
    const char *loaded = tokenizer_digest(r->tokenizer);
    for (size_t i = 0; i < r->model_count; i++) {
        const eval_model *m = &r->model[i];
        const char *theirs = digest_of(m);
        if (theirs && strcmp(theirs, loaded) != 0 && strcmp(path_of(m), path) == 0)
            return pal_fail(
                err, PAL_DATA,
                "%s: its digest is %.12s, but %s was trained with one of digest %.12s; restore that file", path,
                loaded, m->file.path, theirs);
        if ((theirs && strcmp(theirs, loaded) != 0) || (!theirs && !asked && strcmp(path_of(m), path) != 0))
            return pal_fail(
                err, PAL_USAGE,
                "%s reads tokens of %s, but this run is with tokenizer %s; evaluate models of different "
                "tokenizers in separate runs (model=)",
                m->file.name, path_of(m), path);
        PAL_TRY(check_vocabulary(r, m, path, err));
    }
    return PAL_OK;
}
