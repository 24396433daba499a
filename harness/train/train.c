/* The training loop: start or resume, phase after phase of the curriculum, checkpoints, the final weights.
 * The same recipe gives the same bits with any number of threads, and when killed and run again. */
#include "harness/train/trainer.h"

#include "harness/base/hash.h"
#include "harness/base/os.h"
#include "harness/base/version.h"
#include "harness/cli/progress.h"
#include "models/attention/attention.h"
#include "models/engine/gemm.h"
#include "models/import/adapter.h"
#include "models/import/import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_trainer(trainer *t)
{
    validator_close(&t->validator);
    train_log_close(&t->log);
    optimiser_destroy(&t->optimiser);
    decoder_destroy(t->model);
    pool_destroy(t->pool);
    kv_pairs_free(&t->metadata);
    free(t->grad);
    free(t->peers.at);
    if (t->source) t->task->train->close(t->source);
    tokenizer_destroy(t->tokenizer);
    free(t->task_cfg);
    lock_release(&t->lock);
}

/* The weights that a run starts from. One that is resumed needs them only where they stay as they are. */
static int load_start(trainer *t, int resumes, FILE *out, pal_error *err)
{
    instead_made made;
    char digest[HASH_HEX];
    decoder_init(t->model, (uint64_t)t->cfg.seed);
    if (!t->cfg.init[0] || (resumes && t->cfg.trains == TRAINS_ALL)) return PAL_OK;
    PAL_TRY(model_fill(t->cfg.init, t->model, t->replaces || t->cfg.init_new, &made, digest, err));
    if (made.new_tensors && !resumes)
        fprintf(out, "%zu tensors are new to %s: %s\n", made.new_tensors, t->cfg.init, made.note);
    return kv_pairs_add(&t->metadata, "init_sha256", digest, "recipe", err);
}

/* Of trains=new: which tensors learn, and what the adapter's base is. Adapters that start from one have its base.
 */
typedef struct learning {
    const decoder *d;
    unsigned char *is_new;
} learning;

static int is_learning(void *arg, const decoder_param *p)
{
    const learning *l = arg;
    return l->is_new[p - decoder_param_at(l->d, 0)];
}

static int choose_learning(trainer *t, pal_error *err)
{
    if (t->cfg.trains == TRAINS_ALL) return PAL_OK;
    adapter_base base;
    PAL_TRY(adapter_find_base(t->cfg.init, &base, err));
    const int again = base.path[0] != '\0';
    PAL_TRY(adapter_describe(&t->metadata, again ? base.path : t->cfg.init,
                             again ? base.digest : kv_pairs_value(&t->metadata, "init_sha256"), err));
    learning l = {t->model, calloc(decoder_param_count(t->model), 1)};
    int code = l.is_new ? model_missing(t->cfg.init, t->model, l.is_new, err)
                        : pal_fail(err, PAL_INTERNAL, "out of memory for the list of tensors");
    if (code == PAL_OK && decoder_train_only(t->model, is_learning, &l) == 0)
        code = pal_fail(err, PAL_USAGE,
                        "trains=new: %s lacks no tensor of attention %s, so that nothing would learn; "
                        "use trains=all or another attention",
                        t->cfg.init, t->model_cfg.attention->name);
    free(l.is_new);
    return code;
}

static int resume(trainer *t, pal_error *err)
{
    checkpoint_info info = {0};
    int code = checkpoint_resume(t->checkpoint, t->model, &t->optimiser, &info, err);
    if (code == PAL_OK) code = trainer_same_recipe(t, t->checkpoint, &info, err);
    t->saved_step = t->optimiser.step;
    const char *start = code == PAL_OK ? kv_pairs_value(&info.metadata, "init_sha256") : NULL;
    if (start) code = kv_pairs_add(&t->metadata, "init_sha256", start, "recipe", err);
    checkpoint_info_free(&info);
    return code;
}

/* ---- the loop ---- */

/* The lanes first: a checkpoint never stands without them. */
static int write_checkpoint(trainer *t, batch *b, const optimiser *o, pal_error *err)
{
    PAL_TRY(train_lanes_save(&b->lanes, t->checkpoint, o->step, t->task, t->source, err));
    PAL_TRY(checkpoint_save(t->checkpoint, t->model, o, ST_F32, &t->metadata, err));
    train_lanes_remove_others(t->checkpoint, o->step);
    return PAL_OK;
}

/* Each rank has the states of its own lanes, and its part of the optimiser. */
static int save(trainer *t, batch *b, pal_error *err)
{
    optimiser whole;
    t->saved_step = t->optimiser.step;
    if (t->ranks.count == 1) return write_checkpoint(t, b, &t->optimiser, err);
    const size_t own = b->lanes.lanes / (size_t)t->ranks.count * b->lanes.state_bytes;
    PAL_TRY(ranks_gather(&t->ranks, b->lanes.state[0], own, err));
    PAL_TRY(optimiser_join(&t->optimiser, t->model, &whole, err));
    const int code = t->ranks.rank == 0 ? write_checkpoint(t, b, &whole, err) : PAL_OK;
    optimiser_destroy(&whole);
    return code;
}

/* Close a row of the log, with the validation loss where one is due: every val_every steps and at the end. */
static int close_row(trainer *t, train_row *row, progress *bar, char *note, size_t size, pal_error *err)
{
    const int due = t->cfg.val_every && (row->step % t->cfg.val_every == 0 || row->step == t->total_steps);
    if (due) PAL_TRY(validator_measure(&t->validator, bar, &t->last_validation, err));
    row->validation = due ? t->last_validation : NAN;
    int used = snprintf(note, size, "step %lld  loss %.4f  answer NLL %.4f", (long long)row->step,
                        train_row_loss(row), train_row_answer(row));
    if (t->cfg.val_every && !isnan(t->last_validation))
        snprintf(note + used, size - (size_t)used, "  validation %.4f", t->last_validation);
    return train_log_write(&t->log, row, t->model, err);
}

static int train_phase(trainer *t, batch *b, int64_t end, double *tokens, progress *bar, pal_error *err)
{
    train_row row = {.validation = NAN};
    char note[128] = "";
    while (t->optimiser.step < end) {
        PAL_TRY(batch_step(t, b, t->optimiser.step, &row, err));
        const int64_t step = t->optimiser.step; /* counted by the update */
        *tokens += (double)b->lanes.lanes * (double)b->length;
        if (t->ranks.rank == 0 && (step % t->cfg.log_every == 0 || step == end)) {
            row.step = step;
            row.length = b->length;
            row.tokens = *tokens;
            PAL_TRY(close_row(t, &row, bar, note, sizeof note, err));
        }
        /* Checkpoints fall on rows of the log, so that no partial average is lost in a resume. */
        if ((step % t->cfg.checkpoint_every == 0 && step % t->cfg.log_every == 0) || step == end)
            PAL_TRY(save(t, b, err));
        if (t->ranks.rank == 0) progress_update(bar, *tokens, note);
    }
    return PAL_OK;
}

static int run_phase(trainer *t, int64_t phase, int64_t begin, int64_t end, double *tokens, progress *bar,
                     pal_error *err)
{
    batch b;
    int code = batch_create(t, phase, &b, err);
    /* The checkpoint that was resumed from was written in this phase, be it at its very end. */
    if (code == PAL_OK && t->saved_step == t->optimiser.step && t->saved_step > begin)
        code = train_lanes_restore(&b.lanes, t->model, t->checkpoint, t->saved_step, t->task, t->source, err);
    if (code == PAL_OK) code = train_phase(t, &b, end, tokens, bar, err);
    batch_destroy(&b);
    return code;
}

static int run_curriculum(trainer *t, FILE *out, pal_error *err)
{
    double tokens = 0;
    progress bar;
    int started = 0;
    int64_t end = 0;
    for (int64_t phase = 0; phase < t->cfg.train_len.count; phase++) {
        const int64_t length = (int64_t)t->cfg.train_len.value[phase],
                      steps = (int64_t)t->cfg.train_steps.value[phase], lanes = train_lanes(&t->cfg, phase);
        const int64_t begin = end, now = t->optimiser.step;
        end += steps;
        tokens += (double)(now <= begin ? 0 : now < end ? now - begin : steps) * (double)(lanes * length);
        if (now > end) continue;
        if (!started) progress_start(&bar, out, t->model_cfg.attention->name, t->total_tokens, tokens, "tokens");
        started = 1;
        PAL_TRY(run_phase(t, phase, begin, end, &tokens, &bar, err));
    }
    if (started) progress_clear(&bar);
    return PAL_OK;
}

static void remove_checkpoints(const trainer *t)
{
    unlink(t->checkpoint);
    train_lanes_remove_others(t->checkpoint, -1);
}

/* Ranks that would compute something else are found before the first step. */
static int check_ranks(const trainer *t, pal_error *err)
{
    char text[RANKS_TEXT], digest[HASH_HEX];
    if (t->ranks.count < 2) return PAL_OK;
    hash_state *h = hash_begin();
    for (size_t i = 0; i < t->metadata.count; i++) {
        hash_add(h, t->metadata.pair[i].key, strlen(t->metadata.pair[i].key) + 1);
        hash_add(h, t->metadata.pair[i].value, strlen(t->metadata.pair[i].value) + 1);
    }
    hash_end(h, digest);
    decoder_core(t->model, text, sizeof text);
    PAL_TRY(ranks_agree(&t->ranks, "version", pal_version(), "use one version on all machines", err));
    PAL_TRY(ranks_agree(&t->ranks, "BLAS core", text, "set OPENBLAS_CORETYPE to the same on all machines", err));
    PAL_TRY(
        ranks_agree(&t->ranks, "the recipe (SHA-256)", digest, "give all ranks the same words and texts", err));
    snprintf(text, sizeof text, "%lld", (long long)t->optimiser.step);
    PAL_TRY(ranks_agree(&t->ranks, "a checkpoint of step", text, "let all see the same directory", err));
    hash_hex(decoder_weights(t->model), decoder_weight_reals(t->model) * sizeof(real), digest);
    return ranks_agree(&t->ranks, "weights (SHA-256)", digest, "give all ranks the same files", err);
}

static int share_part(void *arg, void *data, const size_t *at)
{
    trainer *t = arg;
    return ranks_share(&t->ranks, data, at, &t->peers_error) == PAL_OK;
}

/* From here on each rank keeps the moments of its part of the weights alone. */
static int split_optimiser(trainer *t, pal_error *err)
{
    t->peers = (optimiser_peers){t->ranks.rank, t->ranks.count, share_part, t,
                                 calloc((size_t)t->ranks.count + 1, sizeof *t->peers.at)};
    if (!t->peers.at) return pal_fail(err, PAL_INTERNAL, "out of memory for the ranks");
    return optimiser_split(&t->optimiser, t->model, &t->peers, err);
}

static int prepare(trainer *t, FILE *out, int threads, pal_error *err)
{
    PAL_TRY(pool_create(&t->pool, threads, err));
    PAL_TRY(decoder_create(&t->model, &t->model_cfg, err));
    const int resumes = os_file_exists(t->checkpoint);
    PAL_TRY(load_start(t, resumes, out, err));
    PAL_TRY(choose_learning(t, err));
    PAL_TRY(optimiser_create(&t->optimiser, &t->cfg.optimiser, t->model, err));
    t->grad_stride = (decoder_grad_reals(t->model) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    t->grad_blocks = gradients_blocks(t->cfg.grad_parts, t->ranks.count);
    t->grad = os_allocate(t->grad_blocks * t->grad_stride * sizeof *t->grad);
    if (!t->grad) return pal_fail(err, PAL_INTERNAL, "out of memory for the gradients");
    if (resumes) PAL_TRY(resume(t, err));
    PAL_TRY(check_ranks(t, err));
    if (t->ranks.count > 1) PAL_TRY(split_optimiser(t, err));
    if (t->ranks.rank > 0) return PAL_OK; /* rank 0 measures, logs and saves */
    PAL_TRY(validator_open(&t->validator, &t->cfg, t->task, t->task_cfg, t->tokenizer, t->model, t->pool, err));
    PAL_TRY(train_log_open(&t->log, t->cfg.log, t->cfg.out, (train_log_format)t->cfg.log_format,
                           t->cfg.val_every > 0, t->model, t->optimiser.step, err));
    char core[64];
    decoder_core(t->model, core, sizeof core);
    if (t->cfg.trains != TRAINS_ALL) fprintf(out, "%zu of the parameters learn\n", decoder_trained(t->model));
    fprintf(out, "training %s on %s: %zu parameters, %lld steps, %.1fM tokens, %d threads, %s%s\n",
            t->model_cfg.attention->name, t->task->name, decoder_parameters(t->model), (long long)t->total_steps,
            t->total_tokens / 1e6, threads, core, t->optimiser.step ? " (resumed)" : "");
    return PAL_OK;
}

static int run(trainer *t, const kv_pairs *pairs, FILE *out, pal_error *err)
{
    PAL_TRY(ranks_open(&t->ranks, err));
    PAL_TRY(trainer_read(t, pairs, err));
    if (t->cfg.grad_parts % t->ranks.count)
        return pal_fail(err, PAL_USAGE,
                        "%d ranks cannot share grad_parts=%lld; use a number of parts that they divide, such as "
                        "grad_parts=%d, and a power of two of ranks",
                        t->ranks.count, (long long)t->cfg.grad_parts, t->ranks.count);
    const int threads = t->cfg.threads > 0 ? (int)t->cfg.threads : os_processors();
    PAL_TRY(gemm_setup(threads, err));
    PAL_TRY(trainer_describe(t, err));
    /* Two runs of one recipe would take each other's checkpoints away. */
    if (t->ranks.rank == 0) PAL_TRY(lock_take(&t->lock, t->cfg.out, err));
    int made;
    PAL_TRY(trainer_already_made(t, &made, err));
    PAL_TRY(ranks_agree(&t->ranks, "weights", made ? "that are made" : "still to be made",
                        "let all see the same directory", err));
    if (made && t->ranks.rank > 0) return PAL_OK;
    if (made) {
        fprintf(out, "%s is already trained by this recipe\n", t->cfg.out);
        remove_checkpoints(t); /* a kill after the weights were written leaves them behind */
        return PAL_OK;
    }
    PAL_TRY(prepare(t, out, threads, err));
    PAL_TRY(run_curriculum(t, out, err));
    if (t->ranks.rank > 0) return PAL_OK;
    PAL_TRY(checkpoint_save(t->cfg.out, t->model, NULL, t->cfg.dtype ? ST_BF16 : ST_F32, &t->metadata, err));
    remove_checkpoints(t);
    if (t->cfg.val_every && !isnan(t->last_validation))
        fprintf(out, "validation loss %.4f nats at step %lld\n", t->last_validation, (long long)t->total_steps);
    fprintf(out, "wrote %s and %s\n", t->cfg.out, t->log.path);
    return PAL_OK;
}

int train_run(const kv_pairs *pairs, FILE *out, pal_error *err)
{
    trainer *t = calloc(1, sizeof *t);
    if (!t) return pal_fail(err, PAL_INTERNAL, "out of memory for the training");
    t->last_validation = NAN;
    const int code = run(t, pairs, out, err);
    close_trainer(t);
    free(t);
    return code;
}
