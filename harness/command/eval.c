#include "harness/eval/eval.h"
#include "harness/command/commands.h"
#include "harness/plots/plots.h"
#include "harness/report/report.h"

static int draw(const eval_request *r, pal_error *err)
{
    return r->options.plots ? plots_task(r->task, r->options.results, r->options.weights, stdout, err) : PAL_OK;
}

int cmd_eval(int argc, char **argv, pal_error *err)
{
    eval_request request;
    PAL_TRY(eval_request_read(&request, argc, argv, 1, err));
    int code = eval_run(&request, stdout, stderr, err);
    if (code == PAL_OK) code = draw(&request, err);
    eval_request_free(&request);
    return code;
}

int cmd_report(int argc, char **argv, pal_error *err)
{
    eval_request request;
    PAL_TRY(eval_request_read(&request, argc, argv, 0, err));
    char path[2 * KV_TEXT_MAX];
    eval_journal_path(&request.options, request.task, path, sizeof path);
    results held;
    results_init(&held, request.task, path);
    int code = facts_read_journal(&held, request.options.weights, err);
    if (code == PAL_OK) code = report_write(&held, request.options.results, stdout, err);
    if (code == PAL_OK) code = draw(&request, err);
    results_free(&held);
    eval_request_free(&request);
    return code;
}
