/* The samples of a cell as lm-evaluation-harness logs them: one JSON object a line.
 * Journals hold no prompts: the argument of a sample is the command that prints its prompt. */
#include "harness/page/lm_eval.h"

#include "harness/base/text.h"
#include "harness/report/again.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The member of a record as text; "" where it has none. */
static const char *member(const json_t *record, const char *name)
{
    const char *text = name ? json_string_value(json_object_get(record, name)) : NULL;
    return text ? text : "";
}

static void hash_json(const json_t *object, char out[HASH_HEX])
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    hash_hex(text ? text : "", text ? strlen(text) : 0, out);
    free(text);
}

static void add_metrics(json_t *line, const task_module *task, const result_sample *sample)
{
    json_t *names = json_array();
    for (size_t m = 0; m < task->metric_count; m++) {
        const double value = task->metric[m].detail ? NAN : record_metric(&task->metric[m], sample);
        if (!isfinite(value)) continue;
        json_array_append_new(names, json_string(task->metric[m].name));
        json_object_set_new(line, task->metric[m].name, json_real(value));
    }
    json_object_set_new(line, "metrics", names);
}

/* What a sample generated, or the loss of the document where nothing is generated. */
static json_t *response_of(const task_module *task, const json_t *record, const result_sample *sample)
{
    char text[32];
    if (task->response) return json_string(member(record, task->response));
    snprintf(text, sizeof text, "%.10g", -sample->value[0]);
    return json_string(text);
}

static json_t *line_of(const report *rep, const report_row *row, const records *all, int64_t index,
                       const char *show)
{
    const result_cell *cell = row->cell;
    const json_t *record = records_find(all, cell, index);
    json_t *doc = record ? json_copy((json_t *)record) : json_object();
    json_object_set_new(doc, "cell", json_string(cell->name));
    json_object_set_new(doc, "index", json_integer((json_int_t)index));
    char doc_hash[HASH_HEX], prompt_hash[HASH_HEX], target_hash[HASH_HEX], prompt[RESULT_TEXT * 2];
    const char *target = member(record, rep->task->target);
    hash_json(doc, doc_hash);
    snprintf(prompt, sizeof prompt, "%s%lld", show, (long long)index);
    hash_hex(prompt, strlen(prompt), prompt_hash);
    hash_hex(target, strlen(target), target_hash);
    json_t *response = response_of(rep->task, record, &cell->sample[index]);
    json_t *line = json_pack("{sI so ss s{s{ss ss}} s[[O]] s[o] ss ss ss ss}", "doc_id", (json_int_t)index, "doc",
                             doc, "target", target, "arguments", "gen_args_0", "arg_0", prompt, "arg_1",
                             cell->settings, "resps", response, "filtered_resps", response, "filter", "none",
                             "doc_hash", doc_hash, "prompt_hash", prompt_hash, "target_hash", target_hash);
    if (line) add_metrics(line, rep->task, &cell->sample[index]);
    return line;
}

/* The three hashes of each line, one after the other, are what the results' own hash is of. */
static void put_line(FILE *out, FILE *hashes, const json_t *line)
{
    static const char *const parts[] = {"doc_hash", "prompt_hash", "target_hash"};
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(12));
    if (!text) return;
    fprintf(out, "%s\n", text);
    free(text);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) fputs(member(line, parts[i]), hashes);
}

int lm_eval_samples(const report *rep, const report_row *row, const records *all, const char *path,
                    char hash[HASH_HEX], pal_error *err)
{
    char *text = NULL, *joined = NULL, *show = again_text(again_show, rep->task, row->cell);
    size_t size = 0, joined_size = 0;
    FILE *out = open_memstream(&text, &size), *hashes = open_memstream(&joined, &joined_size);
    int code = out && hashes && show ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    for (int64_t i = 0; code == PAL_OK && i < row->n; i++) {
        json_t *line = line_of(rep, row, all, i, show);
        if (line)
            put_line(out, hashes, line);
        else
            code = pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
        json_decref(line);
    }
    if (hashes && fclose(hashes) == 0) hash_hex(joined, joined_size, hash);
    free(joined);
    free(show);
    if (code == PAL_OK) return text_finish(out, &text, &size, path, err);
    if (out) fclose(out);
    free(text);
    return code;
}
