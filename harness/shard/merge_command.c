/* `palimpsest merge`: one journal out of those of an evaluation's shards, and its tables. */
#include "harness/shard/merge.h"

#include "harness/eval/facts.h"
#include "harness/eval/model_files.h"
#include "harness/plots/plots.h"
#include "harness/report/report.h"

#include <stdio.h>
#include <string.h>

typedef struct merge_options {
    char results[KV_TEXT_MAX], task[KV_TEXT_MAX], weights[KV_TEXT_MAX];
    int64_t plots;
} merge_options;

#define AT(field) offsetof(merge_options, field)

static const kv_spec options_table[] = {
    {"results", KV_TEXT, AT(results), "results/run", 0, 0, NULL, "directory of the evaluation, as eval had it"},
    {"task", KV_TEXT, AT(task), "", 0, 0, NULL, "only this task; empty: all that have shards"},
    {"plots", KV_CHOICE, AT(plots), "1", 0, 0, "0|1", "draw the plots, if gnuplot is there"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, KV_HOME, "directory of the models, for their facts"},
};

/* The tables of one machine's evaluation. */
static int write_tables(const merge_options *o, const task_module *task, pal_error *err)
{
    results held;
    char path[2 * KV_TEXT_MAX];
    snprintf(path, sizeof path, "%s/%s-journal.jsonl", o->results, task->name);
    results_init(&held, task, path);
    int code = facts_read_journal(&held, o->weights, err);
    if (code == PAL_OK) code = report_write(&held, o->results, stdout, err);
    results_free(&held);
    if (code == PAL_OK && o->plots) code = plots_task(task, o->results, o->weights, stdout, err);
    return code;
}

static int merge_one(const merge_options *o, const task_module *task, size_t *tasks, int64_t *holes,
                     pal_error *err)
{
    merge_outcome out;
    int found;
    PAL_TRY(merge_task(o->results, task, stdout, &found, &out, err));
    if (!found) return PAL_OK;
    ++*tasks;
    *holes += out.missing;
    printf("%s: %lld samples taken in", task->name, (long long)out.taken);
    if (out.twice) printf(", %lld were there twice and alike", (long long)out.twice);
    if (out.missing)
        printf(", %lld missing: the shards stay\n", (long long)out.missing);
    else
        printf(", none missing: the shards are removed\n");
    return write_tables(o, task, err);
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    const merge_options *o = options;
    const task_module *only = o->task[0] ? task_find(o->task) : NULL;
    size_t tasks = 0;
    int64_t holes = 0;
    (void)rest;
    if (o->task[0] && !only)
        return pal_fail(err, PAL_USAGE, "task=%s: no such task; `palimpsest list tasks` has all", o->task);
    for (size_t i = 0; task_table[i]; i++)
        if (!only || only == task_table[i]) PAL_TRY(merge_one(o, task_table[i], &tasks, &holes, err));
    if (tasks == 0)
        return pal_fail(err, PAL_DATA,
                        "%s: no shards there; `palimpsest eval shard=1/4` makes some, results= names "
                        "another",
                        o->results);
    if (holes)
        return pal_fail(err, PAL_GATE, "%lld samples are missing; run those shards again, then merge",
                        (long long)holes);
    return PAL_OK;
}

const pal_command merge_command = {
    .name = "merge",
    .summary = "one journal and its tables out of the shards of an eval",
    .examples = "merge\n"
                "merge results=results/run task=passkey\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(merge_options),
    .run = run,
};
