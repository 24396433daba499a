/* Ranks that evaluate together: comparing what each has loaded, and carrying bytes for a model that is spread. */
#include "harness/shard/by_ranks.h"

#include "harness/base/hash.h"
#include "harness/journal/cells.h"
#include "models/engine/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What must be alike ---- */

/* A long text by its digest. */
static int agree_on(const ranks *r, const char *what, const char *text, const char *fix, pal_error *err)
{
    char named[RANKS_TEXT], digest[HASH_HEX];
    if (strlen(text) < RANKS_TEXT) return ranks_agree(r, what, text, fix, err);
    hash_hex(text, strlen(text), digest);
    snprintf(named, sizeof named, "%.64s... (SHA-256 %s)", text, digest);
    return ranks_agree(r, what, named, fix, err);
}

static int agree_on_model(const ranks *r, const eval_model *m, pal_error *err)
{
    char what[KV_TEXT_MAX + 64], core[RANKS_TEXT];
    const char *fix = "give all ranks the same files";
    snprintf(what, sizeof what, "for %s the weights (SHA-256)", m->file.name);
    PAL_TRY(agree_on(r, what, m->info.digest, fix, err));
    snprintf(what, sizeof what, "for %s the config (SHA-256)", m->file.name);
    PAL_TRY(agree_on(r, what, m->config, fix, err));
    decoder_core(m->decoder, core, sizeof core);
    snprintf(what, sizeof what, "for %s the BLAS core", m->file.name);
    return agree_on(r, what, core, "set OPENBLAS_CORETYPE and hold= to the same on all machines", err);
}

/* Cells with what their samples are made of. */
static void digest_cells(const eval_request *q, char out[HASH_HEX])
{
    hash_state *h = hash_begin();
    for (size_t i = 0; i < q->cell_count; i++) {
        const task_cell *c = &q->cell[i];
        hash_add(h, c->name, strlen(c->name) + 1);
        hash_add(h, c->data, strlen(c->data) + 1);
        hash_add(h, &c->samples, sizeof c->samples);
    }
    hash_end(h, out);
}

int by_ranks_agree(const ranks *r, const eval_request *q, pal_error *err)
{
    char words[RESULT_TEXT], models[KV_TEXT_MAX], digest[HASH_HEX];
    size_t used = 0;
    PAL_TRY(gemm_setup(q->threads, err));
    PAL_TRY(ranks_agree(r, "BLAS core", gemm_core(), "set OPENBLAS_CORETYPE to the same on all machines", err));
    PAL_TRY(eval_request_words(q, q->options.memory, words, sizeof words, err));
    PAL_TRY(agree_on(r, "the task", q->task->name, "give all ranks the same words", err));
    PAL_TRY(agree_on(r, "the request", words, "give all ranks the same words", err));
    models[0] = '\0';
    for (size_t i = 0; i < q->model_count && used < sizeof models; i++)
        used += (size_t)snprintf(models + used, sizeof models - used, "%s%s", i ? "," : "", q->model[i].file.name);
    PAL_TRY(agree_on(r, "the models", models, "give all ranks the same words and files", err));
    PAL_TRY(agree_on(r, "results=", q->options.results, "give all ranks the same words", err));
    for (size_t i = 0; i < q->model_count; i++) PAL_TRY(agree_on_model(r, &q->model[i], err));
    PAL_TRY(agree_on(r, "the tokenizer (SHA-256)", tokenizer_digest(q->tokenizer), "give all ranks the same file",
                     err));
    digest_cells(q, digest);
    return agree_on(r, "texts and cells (SHA-256)", digest, "give all ranks the same texts", err);
}

/* ---- Layers ---- */

static int send_bytes(void *arg, size_t to, const void *data, size_t bytes, pal_error *err)
{
    return ranks_send(arg, (int)to, data, bytes, err);
}

static int receive_bytes(void *arg, size_t from, void *data, size_t bytes, pal_error *err)
{
    return ranks_receive(arg, (int)from, data, bytes, err);
}

int by_ranks_spread(relay **out, const ranks *r, eval_request *request, pal_error *err)
{
    const relay_link link = {(size_t)r->rank, (size_t)r->count, send_bytes, receive_bytes, (void *)r};
    decoder **model = calloc(request->model_count + 1, sizeof(decoder *));
    if (!model) return pal_fail(err, PAL_INTERNAL, "out of memory for the ranks");
    for (size_t i = 0; i < request->model_count; i++) model[i] = request->model[i].decoder;
    const int code = relay_create(out, &link, model, request->model_count, err);
    free(model);
    return code;
}

int by_ranks_serve(relay *r, const eval_request *request, pal_error *err)
{
    pool *workers = NULL;
    int code = gemm_setup(request->threads, err);
    if (code == PAL_OK) code = pool_create(&workers, request->threads, err);
    if (code == PAL_OK) code = relay_serve(r, workers, err);
    pool_destroy(workers);
    return code;
}
