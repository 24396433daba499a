/* `palimpsest eval`: evaluate models on a task, into the journal, the tables and the pictures.
 * The keys of the task come from the task's own table. */
#include "harness/report/live_table.h"

#include "harness/base/os.h"
#include "harness/command/commands.h"
#include "harness/command/groups.h"
#include "harness/plots/plots.h"
#include "harness/shard/files.h"
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

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    eval_request request;
    shard_choice choice;
    PAL_TRY(shard_choose(((const eval_options *)options)->shard, &choice, err));
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
