/* The command that writes the page, and its keys. */
#include "harness/command/commands.h"
#include "harness/eval/model_files.h"
#include "harness/page/lm_eval.h"
#include "harness/page/page.h"

#define AT(field) offsetof(html_options, field)

static const kv_spec options_table[] = {
    {"results", KV_TEXT, AT(results), "results", 0, 0, NULL, "directory of the journals and the plots"},
    {"out", KV_TEXT, AT(out), "results/report.html", 0, 0, NULL, "the page"},
    {"json", KV_TEXT, AT(json), "results/results.json", 0, 0, NULL, "the same numbers for other programs"},
    {"lm_eval", KV_TEXT, AT(lm_eval), "results/lm-eval", 0, 0, NULL,
     "folder for a folder of each model, as lm-evaluation-harness writes them; empty: none"},
    {"date", KV_TEXT, AT(date), LM_EVAL_DATE, 0, 0, NULL,
     "date in the names of those files; journals hold none, and the same results give the same files"},
    {"claims", KV_TEXT, AT(claims), "results/claims.conf", 0, 0, NULL, "the claims to judge"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, NULL, "directory of the models, for their configs"},
};
enum { OPTIONS = sizeof options_table / sizeof *options_table };

const kv_spec *html_options_table(size_t *count)
{
    *count = OPTIONS;
    return options_table;
}

int cmd_html(int argc, char **argv, pal_error *err)
{
    html_options o;
    PAL_TRY(command_options("html", options_table, OPTIONS, &o, argc, argv, err));
    return html_run(&o, task_table, stdout, err);
}
