/* `palimpsest plan`: what an evaluation would cost, before it runs: tokens, FLOPs, bytes and time. The speed of
 * the machine is measured once and kept (harness/eval/speed.h). */
#include "harness/base/os.h"
#include "harness/cli/listing.h"
#include "harness/cli/progress.h"
#include "harness/command/commands.h"
#include "harness/command/groups.h"
#include "harness/eval/plan.h"
#include "harness/journal/labels.h"
#include "harness/shard/nodes.h"
#include "models/decoder/state.h"
#include "models/engine/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Below a minute with the tenths. */
static char *format_time(double seconds, char out[32])
{
    if (seconds >= 59.95) return progress_format_time(seconds, out);
    snprintf(out, 32, "%.1f s", seconds);
    return out;
}

enum { MODEL, PLACE, SAMPLES, TOKENS, READ, FLOPS, STATE, PEAK, BATCH, TIME, COLUMNS };

static void fill_columns(const eval_request *r, listing_column column[COLUMNS])
{
    static const listing_column all[COLUMNS] = {
        [MODEL] = {"model", NULL, -5},         [PLACE] = {"length", NULL, -6},
        [SAMPLES] = {"samples", NULL, 7},      [TOKENS] = {"tokens", NULL, 7},
        [READ] = {"tokens_read", "read", 7},   [FLOPS] = {"flops", "FLOPs", 10},
        [STATE] = {"state_bytes", "state", 7}, [PEAK] = {"peak_bytes", "memory", 7},
        [BATCH] = {"batch", NULL, 5},          [TIME] = {"seconds", "time", 12}};
    for (int i = 0; i < COLUMNS; i++) column[i] = all[i];
    if (r->cell[0].length == 0) column[PLACE].title = "texts";
    const size_t control = r->options.memory == MEMORY_KEPT ? 0 : strlen(LABEL_ZEROED);
    for (size_t m = 0; m < r->model_count; m++) {
        const int size = (int)(strlen(r->model[m].file.name) + control);
        if (-size < column[MODEL].width) column[MODEL].width = -size;
    }
    for (size_t c = 0; c < r->cell_count; c++) {
        const int size = r->cell[c].length ? 0 : (int)strlen(r->cell[c].name);
        if (-size < column[PLACE].width) column[PLACE].width = -size;
    }
}

/* A model at one length, or on one cell of documents. */
static void put_row(listing *l, const eval_request *r, const plan_part *p, double seconds)
{
    const decoder *d = p->model->decoder;
    const double state = (double)decoder_memory_bytes(d),
                 peak = (double)plan_part_bytes(p, r, p->lanes ? p->lanes : 1);
    char text[2 * KV_TEXT_MAX], shown[32];
    snprintf(text, sizeof text, "%s%s", p->model->file.name, p->zeroed ? LABEL_ZEROED : "");
    listing_text(l, text);
    listing_text(l, p->length ? kv_format_size(p->length, shown) : p->cell[0]->name);
    listing_number(l, (double)p->count, NULL);
    listing_number(l, p->all_tokens, human_count(p->all_tokens, NULL, shown));
    listing_number(l, p->work, human_count(p->work, NULL, shown));
    listing_number(l, p->flops, human_count(p->flops, "FLOP", shown));
    listing_number(l, state, human_count(state, "B", shown));
    listing_number(l, peak, human_count(peak, "B", shown));
    listing_number(l, (double)p->lanes, NULL);
    listing_number(l, seconds, format_time(seconds, shown));
}

/* How another program's models hold their weights, and why. */
static void say_forms(const eval_request *r, FILE *notes)
{
    for (size_t i = 0; i < r->model_count; i++) {
        const eval_model *m = &r->model[i];
        char core[64], expanded[32], mapped[32], room[32], form[64];
        if (!import_is_foreign(m->file.path)) continue;
        decoder_core(m->decoder, core, sizeof core);
        human_count((double)decoder_parameters(m->decoder) * sizeof(real), "B", expanded);
        human_count((double)decoder_mapped_bytes(m->decoder), "B", mapped);
        human_count((double)os_available_memory(), "B", room);
        if (m->form == FORM_STORED)
            snprintf(form, sizeof form, "stay in the file, %s of it", mapped);
        else
            snprintf(form, sizeof form, "are %s", m->form == FORM_F32 ? "expanded to f32" : "held in bf16");
        fprintf(notes, "%s: weights %s (hold=); as f32 they take %s, and %s of memory is free; products by %s\n",
                m->file.name, form, expanded, room, core);
    }
}

static int put_plan(eval_request *r, const plan *all, const nodes_options *nodes, speed_book *speeds,
                    pal_error *err)
{
    listing l;
    listing_column column[COLUMNS];
    double total = 0;
    char time[32], length[24];
    fill_columns(r, column);
    listing_begin(&l, stdout, (listing_format)r->options.format, column, COLUMNS);
    FILE *notes = r->options.format == LISTING_TEXT ? stdout : stderr;
    for (size_t i = 0; i < all->count; i++) {
        const plan_part *p = &all->part[all->order[i]];
        double seconds;
        if (p->skip[0]) {
            fprintf(notes, "%s %s skipped: %s\n", p->model->file.name,
                    p->length ? kv_format_size(p->length, length) : p->cell[0]->name, p->skip);
            continue;
        }
        PAL_TRY(plan_part_time(r, p, speeds, &seconds, err));
        put_row(&l, r, p, seconds);
        total += seconds;
    }
    say_forms(r, notes);
    fprintf(notes, "about %s in all (samples that the journal holds already cost nothing)\n",
            format_time(total, time));
    return nodes_put(r, nodes, total, speeds, err);
}

static size_t groups(command_group *out)
{
    const size_t count = groups_of_eval(out);
    out[count] = (command_group){.title = "Keys of the plan", .table = nodes_rows, .count = NODES_OPTIONS};
    return count + 1;
}

/* The request without the plan's own keys. */
static int read_request(eval_request *r, nodes_options *nodes, const void *options, const kv_pairs *rest,
                        pal_error *err)
{
    kv_pairs words = {0};
    int code = kv_defaults(nodes_rows, NODES_OPTIONS, nodes, err);
    if (code == PAL_OK) code = kv_apply(nodes_rows, NODES_OPTIONS, nodes, rest, err);
    for (size_t i = 0; code == PAL_OK && i < rest->count; i++)
        if (!kv_find(nodes_rows, NODES_OPTIONS, rest->pair[i].key))
            code = kv_pairs_add(&words, rest->pair[i].key, rest->pair[i].value, rest->pair[i].where, err);
    if (code == PAL_OK) code = eval_request_make(r, options, &words, LOAD_TO_PLAN, err);
    kv_pairs_free(&words);
    return code;
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    eval_request r;
    nodes_options nodes;
    PAL_TRY(read_request(&r, &nodes, options, rest, err));
    say_models(&r);
    plan all = {0};
    pool *threads = NULL;
    speed_book *speeds = NULL;
    int code = gemm_setup(r.threads, err);
    if (code == PAL_OK) code = pool_create(&threads, r.threads, err);
    if (code == PAL_OK) code = speed_open(&speeds, threads, stderr, err);
    if (code == PAL_OK) code = plan_make(&all, &r, speeds, NULL, NULL, err);
    if (code == PAL_OK) code = put_plan(&r, &all, &nodes, speeds, err);
    speed_close(speeds);
    plan_free(&all);
    pool_destroy(threads);
    eval_request_free(&r);
    return code;
}

const pal_command plan_command = {
    .name = "plan",
    .summary = "what an eval would cost: tokens, FLOPs, bytes, time",
    .examples = "plan task=passkey len=1M\n"
                "plan task=perplexity data=books\n"
                "plan task=passkey len=1M nodes=4\n"
                "plan task=passkey len=1M nodes=1:1024:*2\n",
    .options = eval_options_rows,
    .count = EVAL_OPTIONS,
    .bytes = sizeof(eval_options),
    .groups = groups,
    .words = words_of_eval,
    .run = run,
};
