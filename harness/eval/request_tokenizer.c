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

static const char *digest_of(const eval_model *m)
{
    return kv_pairs_value(&m->info.metadata, "tokenizer_sha256");
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
        if ((theirs && strcmp(theirs, loaded) != 0) || (!theirs && !asked && strcmp(path, "bytes") != 0))
            return pal_fail(
                err, PAL_USAGE,
                "%s reads tokens of %s, but this run is with tokenizer %s; evaluate models of different "
                "tokenizers in separate runs (model=)",
                m->file.name, path_of(m), path);
        PAL_TRY(check_vocabulary(r, m, path, err));
    }
    return PAL_OK;
}
