/* One evaluation by the ranks of mpirun: what they must agree on, and the layers of a model that is spread over
 * them. */
#ifndef PAL_SHARD_BY_RANKS_H
#define PAL_SHARD_BY_RANKS_H

#include "harness/eval/request.h"
#include "harness/ranks/ranks.h"
#include "models/stream/relay.h"

/* BLAS core, words, models, tokenizer, texts. PAL_USAGE on every rank: the line names two that differ. */
int by_ranks_agree(const ranks *r, const eval_request *request, pal_error *err);

/* The models of a request of eval_request_make_layers are one model each, over all ranks: rank 0 then evaluates,
 * and the others serve until rank 0 gives *out to relay_destroy. `r` stays as long. */
int by_ranks_spread(relay **out, const ranks *r, eval_request *request, pal_error *err);
int by_ranks_serve(relay *r, const eval_request *request, pal_error *err);

#endif
