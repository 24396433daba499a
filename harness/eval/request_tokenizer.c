/* The tokenizer of a request: the one that its models were trained with, unless another is named. */
#include "harness/eval/request.h"

#include <string.h>

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
    PAL_TRY(tokenizer_load(&r->tokenizer, path, err));
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
