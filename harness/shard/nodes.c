/* Machines like this one that share an evaluation, simulated: the deal that shards or ranks would get, at the
 * speed at which this machine does the whole, and the weights that every machine reads once. */
#include "harness/shard/nodes.h"

#include "harness/cli/listing.h"
#include "harness/cli/progress.h"
#include "harness/shard/choose.h"
#include "harness/shard/deal.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define AT(field) offsetof(nodes_options, field)
const kv_spec nodes_rows[NODES_OPTIONS] = {
    {"nodes", KV_SIZES, AT(nodes), "1", 1, SHARD_MOST, NULL,
     "machines like this one that share the evaluation with shard= or mpirun; a list such as 1:1024:*2 makes a "
     "table"},
    {"network", KV_REAL, AT(network), "10", 0.001, 1e6, NULL,
     "of nodes= with a list: Gbit/s of the one server from which all machines read the weights"},
};
#undef AT

/* One number of machines. */
typedef struct outcome {
    double longest, sum; /* FLOPs of the longest part, and of all parts */
    double all;          /* FLOPs of one machine */
    size_t busy;         /* machines that have something to do */
} outcome;

static int spread(const deal *d, size_t nodes, uint32_t *owner, double *load, outcome *out, pal_error *err)
{
    if (!owner || !load) return pal_fail(err, PAL_INTERNAL, "out of memory for the deal");
    PAL_TRY(deal_spread(d, nodes, owner, load, err));
    *out = (outcome){.all = d->flops};
    for (size_t i = 0; i < nodes; i++) {
        out->sum += load[i];
        out->busy += load[i] > 0;
        if (load[i] > out->longest) out->longest = load[i];
    }
    return PAL_OK;
}

static int simulate(const eval_request *r, const plan *all, size_t nodes, outcome *out, pal_error *err)
{
    deal d = {0};
    const eval_whole whole = {
        .request = r, .plan = all, .rows = r->options.references && r->task->references ? r->cell_count : 0};
    PAL_TRY(deal_make(&d, &whole, nodes, err));
    double *load = calloc(nodes, sizeof *load);
    uint32_t *owner = calloc(d.count + 1, sizeof *owner);
    const int code = spread(&d, nodes, owner, load, out, err);
    deal_free(&d);
    free(owner);
    free(load);
    return code;
}

static double file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (double)info.st_size : 0;
}

/* Of a folder the files in it. */
static double path_bytes(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) return file_bytes(path);
    double bytes = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char *name;
        if (asprintf(&name, "%s/%s", path, entry->d_name) < 0) continue;
        bytes += file_bytes(name);
        free(name);
    }
    closedir(dir);
    return bytes;
}

static double weights_bytes(const eval_request *r)
{
    double bytes = 0;
    for (size_t i = 0; i < r->model_count; i++) {
        int known = 0;
        for (size_t k = 0; k < i; k++) known |= strcmp(r->model[k].file.path, r->model[i].file.path) == 0;
        if (!known) bytes += path_bytes(r->model[i].file.path);
    }
    return bytes;
}

static double memory_of(const eval_request *r, const plan *all)
{
    double most = 0;
    for (size_t i = 0; i < all->count; i++) {
        const plan_part *p = &all->part[i];
        const eval_model *m = p->model;
        if (p->skip[0]) continue;
        const double weights = m->form == FORM_F32 ? (double)decoder_parameters(m->decoder) * sizeof(real)
                                                   : (double)decoder_mapped_bytes(m->decoder);
        const double need = weights + (double)plan_part_bytes(p, r, 1);
        if (need > most) most = need;
    }
    return most;
}

static char *format_time(double seconds, char out[32])
{
    if (seconds >= 59.95) return progress_format_time(seconds, out);
    snprintf(out, 32, "%.1f s", seconds);
    return out;
}

static void put_line(const outcome *o, size_t nodes, double seconds, FILE *notes)
{
    char time[32];
    fprintf(notes,
            "on %zu machines like this one about %s: the longest part has %.1f %% of the work, and starts that "
            "several read add %.1f %% to it\n",
            nodes, format_time(seconds * o->longest / o->all, time), 100 * o->longest / o->all,
            o->sum > o->all ? 100 * (o->sum / o->all - 1) : 0);
}

enum { NODES, TIME, LOADING, SPEEDUP, EFFICIENCY, ADDED, BUSY, TRAFFIC, COLUMNS };
static const listing_column columns[COLUMNS] = {[NODES] = {"nodes", NULL, 5},
                                                [TIME] = {"seconds", "time", 12},
                                                [LOADING] = {"load_seconds", "loading", 9},
                                                [SPEEDUP] = {"speedup", NULL, 7},
                                                [EFFICIENCY] = {"efficiency", NULL, 10},
                                                [ADDED] = {"added_work", "added", 7},
                                                [BUSY] = {"busy", NULL, 5},
                                                [TRAFFIC] = {"bytes_read", "traffic", 8}};

typedef struct table {
    listing l;
    double seconds, bytes, network; /* of one machine; of the weights; bytes a second */
    size_t fastest, half;           /* the best number of machines, and the most that are half efficient */
    double best;
} table;

/* All machines read the weights from one server, then each does its part. */
static void put_row(table *t, const outcome *o, size_t nodes)
{
    const double loading = t->bytes * (double)nodes / t->network;
    const double whole = loading + t->seconds * o->longest / o->all;
    const double speedup = (t->seconds + t->bytes / t->network) / whole, efficiency = speedup / (double)nodes;
    const double added = o->sum > o->all ? o->sum / o->all - 1 : 0;
    char text[32];
    if (t->fastest == 0 || whole < t->best) {
        t->best = whole;
        t->fastest = nodes;
    }
    if (efficiency >= 0.5) t->half = nodes;
    listing_number(&t->l, (double)nodes, NULL);
    listing_number(&t->l, whole, format_time(whole, text));
    listing_number(&t->l, loading, format_time(loading, text));
    snprintf(text, sizeof text, "%.1f", speedup);
    listing_number(&t->l, speedup, text);
    snprintf(text, sizeof text, "%.2f", efficiency);
    listing_number(&t->l, efficiency, text);
    snprintf(text, sizeof text, "%.1f %%", 100 * added);
    listing_number(&t->l, added, text);
    listing_number(&t->l, (double)o->busy, NULL);
    listing_number(&t->l, t->bytes * (double)nodes, human_count(t->bytes * (double)nodes, "B", text));
}

static int put_all(eval_request *r, const plan *all, const nodes_options *o, double seconds, pal_error *err)
{
    FILE *notes = r->options.format == LISTING_TEXT ? stdout : stderr;
    const kv_list *list = &o->nodes;
    table t = {.seconds = seconds, .bytes = weights_bytes(r), .network = o->network * 1e9 / 8};
    char text[32];
    if (list->count > 1) listing_begin(&t.l, stdout, (listing_format)r->options.format, columns, COLUMNS);
    for (int64_t i = 0; i < list->count; i++) {
        const size_t nodes = (size_t)list->value[i];
        outcome out = {0};
        PAL_TRY(simulate(r, all, nodes, &out, err));
        if (out.all <= 0) return PAL_OK;
        if (list->count > 1)
            put_row(&t, &out, nodes);
        else
            put_line(&out, nodes, seconds, notes);
    }
    if (list->count > 1)
        fprintf(
            notes,
            "a machine needs %s for one sample; weights from one server of %g Gbit/s; fastest with %zu machines, "
            "at least half efficient up to %zu\n",
            human_count(memory_of(r, all), "B", text), o->network, t.fastest, t.half);
    return PAL_OK;
}

int nodes_put(eval_request *r, const nodes_options *o, double seconds, speed_book *speeds, pal_error *err)
{
    plan all = {0};
    if (o->nodes.count == 1 && o->nodes.value[0] <= 1) return PAL_OK;
    PAL_TRY(plan_list(&all, r, speeds, err));
    const int code = put_all(r, &all, o, seconds, err);
    plan_free(&all);
    return code;
}
