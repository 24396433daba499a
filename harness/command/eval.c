/* `palimpsest eval`: evaluate models on a task, into the journal, the tables and the pictures.
 * The keys of the task come from the task's own table. */
#include "harness/report/live_table.h"

#include "harness/command/commands.h"
#include "harness/command/groups.h"
#include "harness/plots/plots.h"

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    eval_request request;
    PAL_TRY(eval_request_make(&request, options, rest, LOAD_ALL, err));
    say_models(&request);
    const eval_options *o = &request.options;
    int code = live_table_run(&request, stdout, stderr, err);
    FILE *log = o->format == LISTING_TEXT ? stdout : stderr;
    pal_error cause;
    const int drawn = (code == PAL_OK || code == PAL_GATE) && o->plots
                          ? plots_task(request.task, o->results, o->weights, log, &cause)
                          : PAL_OK;
    if (drawn != PAL_OK) code = pal_fail(err, drawn, "%s", cause.text);
    eval_request_free(&request);
    return code;
}

const pal_command eval_command = {
    .name = "eval",
    .summary = "evaluate models on a task; finished samples are never computed again",
    .examples = "eval passkey len=4K n=5\n"
                "eval passkey model=infini-delta,local len=32K:1M:*2 depths=0:100:10\n"
                "eval perplexity data=/path/of/my/books model='text-*'\n"
                "eval booksum n=5\n",
    .options = eval_options_rows,
    .count = EVAL_OPTIONS,
    .bytes = sizeof(eval_options),
    .words = words_of_eval,
    .groups = groups_of_eval,
    .run = run,
};
