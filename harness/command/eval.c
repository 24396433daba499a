/* `palimpsest eval`: evaluate models on a task, into the journal, the tables and the pictures.
 * The keys of the task come from the task's own table. */
#include "harness/report/live_table.h"

#include "harness/base/os.h"
#include "harness/base/version.h"
#include "harness/command/commands.h"
#include "harness/command/groups.h"
#include "harness/plots/plots.h"
#include "harness/shard/by_ranks.h"
#include "harness/shard/files.h"
#include "harness/shard/merge.h"
#include "harness/shard/share.h"

/* Tables and pictures are of the whole: merge makes them. */
static int run_shard(eval_request *r, const shard_choice *choice, pal_error *err)
{
    FILE *notes = r->options.format == LISTING_TEXT ? stdout : stderr;
    shared *part = NULL;
    char name[SHARD_NAME];
    if (choice->from[0])
        fprintf(stderr, "%s, by %s; shard=none takes all\n", shard_name(choice, name), choice->from);
    int code = shared_open(&part, r, choice, r->options.lease, err);
    if (code == PAL_OK) code = live_table_run(r, shared_view(part), stdout, stderr, err);
    if (code == PAL_OK || code == PAL_GATE) shared_say(part, notes);
    shared_close(part);
    return code;
}

static int run_whole(eval_request *r, pal_error *err)
{
    const eval_options *o = &r->options;
    char folder[2 * KV_TEXT_MAX];
    shard_folder(o->results, r->task->name, folder, sizeof folder);
    if (os_file_exists(folder))
        fprintf(stderr, "%s holds shards of an evaluation; `palimpsest merge` takes them in\n", folder);
    int code = live_table_run(r, NULL, stdout, stderr, err);
    FILE *log = o->format == LISTING_TEXT ? stdout : stderr;
    pal_error cause;
    const int drawn = (code == PAL_OK || code == PAL_GATE) && o->plots
                          ? plots_task(r->task, o->results, o->weights, log, &cause)
                          : PAL_OK;
    if (drawn != PAL_OK) code = pal_fail(err, drawn, "%s", cause.text);
    return code;
}

/* ---- By the ranks of mpirun ---- */

/* This rank's share, into its journal. A sample that is not finite is no reason to stop: the table says so. */
static int run_dealt(eval_request *r, const shard_choice *choice, FILE *log, pal_error *err)
{
    FILE *nowhere = fopen("/dev/null", "we");
    const int64_t format = r->options.format;
    shared *part = NULL;
    if (!nowhere) return pal_fail(err, PAL_INTERNAL, "cannot open /dev/null");
    r->options.format = LISTING_CSV; /* rows apart from notes: the table comes when all are there */
    int code = shared_open(&part, r, choice, r->options.lease, err);
    if (code == PAL_OK) code = live_table_run(r, shared_view(part), nowhere, log ? log : nowhere, err);
    shared_close(part);
    fclose(nowhere);
    r->options.format = format;
    return code == PAL_GATE ? PAL_OK : code;
}

static int gather(eval_request *r, pal_error *err)
{
    merge_outcome out;
    int found;
    PAL_TRY(merge_task(r->options.results, r->task, stderr, &found, &out, err));
    if (out.missing)
        return pal_fail(err, PAL_GATE, "%lld samples are missing; type the same again", (long long)out.missing);
    return run_whole(r, err);
}

static int run_samples(eval_request *r, shard_choice *choice, const ranks *all, pal_error *err)
{
    choice->index = all->rank;
    choice->count = all->count;
    if (all->rank == 0) fprintf(stderr, "%d ranks share the evaluation; rank 0 deals their samples\n", all->count);
    PAL_TRY(run_dealt(r, choice, all->rank == 0 ? stderr : NULL, err));
    PAL_TRY(ranks_meet(all, err));
    return all->rank == 0 ? gather(r, err) : PAL_OK;
}

static int run_layers(eval_request *r, const ranks *all, pal_error *err)
{
    relay *spread = NULL;
    PAL_TRY(by_ranks_spread(&spread, all, r, err));
    if (all->rank == 0) fprintf(stderr, "%d ranks share the layers of each model\n", all->count);
    const int code = all->rank == 0 ? run_whole(r, err) : by_ranks_serve(spread, r, err);
    relay_destroy(spread);
    return code;
}

static int run_ranks(const eval_options *o, const kv_pairs *rest, shard_choice *choice, pal_error *err)
{
    eval_request request;
    ranks all;
    PAL_TRY(ranks_open(&all, err));
    PAL_TRY(ranks_agree(&all, "version", pal_version(), "use one version on all machines", err));
    const int layers = o->split == SPLIT_LAYERS;
    PAL_TRY(eval_request_make_layers(&request, o, rest, LOAD_ALL, layers ? (size_t)all.rank : 0,
                                     layers ? (size_t)all.count : 1, err));
    if (all.rank == 0) say_models(&request);
    int code = by_ranks_agree(&all, &request, err);
    if (code == PAL_OK) code = layers ? run_layers(&request, &all, err) : run_samples(&request, choice, &all, err);
    eval_request_free(&request);
    return code;
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    const eval_options *o = options;
    eval_request request;
    shard_choice choice;
    const int code_of_choice = shard_choose(o->shard, &choice, err);
    if (code_of_choice != PAL_OK) {
        ranks all;
        pal_error ignored;
        ranks_open(&all, &ignored); /* one rank says it */
        return code_of_choice;
    }
    if (choice.kind == SHARD_RANKS) return run_ranks(o, rest, &choice, err);
    if (o->split == SPLIT_LAYERS)
        return pal_fail(
            err, PAL_USAGE,
            "ranks=layers: there are no ranks; type mpirun -n 2 before it, with a program of `make MPI=1`");
    PAL_TRY(eval_request_make(&request, options, rest, LOAD_ALL, err));
    say_models(&request);
    const int code = choice.kind == SHARD_NONE ? run_whole(&request, err) : run_shard(&request, &choice, err);
    eval_request_free(&request);
    return code;
}

const pal_command eval_command = {
    .name = "eval",
    .summary = "evaluate models on a task; finished samples are never computed again",
    .examples = "eval passkey len=4K n=5\n"
                "eval passkey model=infini-delta,local len=32K:1M:*2 depths=0:100:10\n"
                "eval perplexity data=/path/of/my/books model='text-*'\n"
                "eval booksum n=5\n"
                "eval passkey len=1M shard=2/4\n",
    .options = eval_options_rows,
    .count = EVAL_OPTIONS,
    .bytes = sizeof(eval_options),
    .words = words_of_eval,
    .groups = groups_of_eval,
    .run = run,
};
