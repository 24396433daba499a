/* Merging journals of shards: reading all lines, sorting them into one machine's order, refusing what contradicts,
 * naming what is missing. */
#include "harness/shard/merge.h"

#include "harness/base/array.h"
#include "harness/base/os.h"
#include "harness/shard/files.h"
#include "harness/shard/manifest.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 2 * KV_TEXT_MAX, HOLES_SHOWN = 20 };

/* One record as it stands in a file, its checksum included. */
typedef struct merge_line {
    char *text;
    size_t file, order; /* order: of announcements, as read */
    size_t cell;        /* of the results that were read */
    int64_t index;      /* of a sample; -1: an announcement */
    int64_t asked;
} merge_line;

typedef struct merge {
    const task_module *task;
    results seen;      /* everything together, for the order of cells */
    size_t main_lines; /* the first lines are the main journal's own */
    char **path;
    size_t paths, path_room;
    merge_line *line;
    size_t lines, room;
    json_t *manifest;
} merge;

/* ---- Reading ---- */

static int take_line(void *arg, const char *text, size_t size, int64_t number, pal_error *err)
{
    merge *m = arg;
    m->seen.path = m->path[m->paths - 1];
    const int64_t outdated = m->seen.outdated;
    PAL_TRY(results_visit(&m->seen, text, size, number, err));
    if (m->seen.outdated > outdated) return PAL_OK; /* the main journal keeps what it has */
    json_t *object = json_loadb(text, size, JSON_ALLOW_NUL, NULL);
    const char *kind = json_string_value(json_object_get(object, "kind"));
    const int sample = kind && strcmp(kind, "sample") == 0, known = sample || (kind && strcmp(kind, "cell") == 0);
    const char *key = json_string_value(json_object_get(object, sample ? "cell_key" : "key"));
    const result_cell *cell = known && key ? results_find(&m->seen, key) : NULL;
    if (!cell) { /* of a kind that tables know nothing of */
        json_decref(object);
        return PAL_OK;
    }
    merge_line line = {.file = m->paths - 1,
                       .order = m->lines,
                       .cell = (size_t)(cell - m->seen.cell),
                       .index = sample ? json_integer_value(json_object_get(object, "index")) : -1,
                       .asked = json_integer_value(json_object_get(object, "asked"))};
    json_decref(object);
    PAL_TRY(array_room(&m->line, &m->room, m->lines + 1, sizeof line, "the records", err));
    line.text = strndup(text, size);
    if (!line.text) return pal_fail(err, PAL_INTERNAL, "out of memory for the records");
    m->line[m->lines++] = line;
    return PAL_OK;
}

static int add_path(merge *m, const char *path, pal_error *err)
{
    PAL_TRY(array_room(&m->path, &m->path_room, m->paths + 1, sizeof *m->path, "the journals", err));
    m->path[m->paths] = strdup(path);
    if (!m->path[m->paths]) return pal_fail(err, PAL_INTERNAL, "out of memory for the journals");
    m->paths++;
    return PAL_OK;
}

/* Cells of another run would be lost between those of this one. */
static int check_cells(const merge *m, size_t first, const char *path, pal_error *err)
{
    for (size_t i = first; i < m->lines; i++) {
        const result_cell *cell = &m->seen.cell[m->line[i].cell];
        size_t at = 0;
        manifest_cell there;
        while (at < manifest_cells(m->manifest) && manifest_cell_at(m->manifest, at, &there) &&
               strcmp(there.key, cell->key) != 0)
            at++;
        if (at < manifest_cells(m->manifest)) continue;
        return pal_fail(
            err, PAL_DATA,
            "%s: its cell %s of %s (weights %.8s, BLAS core %s) is not of the run that run.json beside "
            "it describes; move the file away",
            path, cell->name, cell->model, cell->weights, cell->blas_core);
    }
    return PAL_OK;
}

static int read_shard(void *arg, const char *path, pal_error *err)
{
    merge *m = arg;
    const size_t first = m->lines;
    PAL_TRY(add_path(m, path, err));
    PAL_TRY(journal_read(path, take_line, m, err));
    return check_cells(m, first, path, err);
}

/* ---- Order ---- */

static int by_place(const void *a, const void *b)
{
    const merge_line *x = *(merge_line *const *)a, *y = *(merge_line *const *)b;
    const int samples = (x->index >= 0) - (y->index >= 0);
    if (samples) return samples;
    if (x->index >= 0 && x->cell != y->cell) return x->cell < y->cell ? -1 : 1;
    if (x->index >= 0 && x->index != y->index) return x->index < y->index ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* Whether two records of one sample say the same. What it cost may differ. */
static int alike(const merge_line *a, const merge_line *b)
{
    static const char *const keys[] = {"values", "record", "not_finite"};
    json_t *x = json_loads(a->text, JSON_ALLOW_NUL, NULL), *y = json_loads(b->text, JSON_ALLOW_NUL, NULL);
    int same = x && y;
    for (size_t i = 0; same && i < sizeof keys / sizeof *keys; i++) {
        const json_t *p = json_object_get(x, keys[i]), *q = json_object_get(y, keys[i]);
        same = (!p && !q) || (p && q && json_equal(p, q));
    }
    json_decref(x);
    json_decref(y);
    return same;
}

static int contradiction(const merge *m, const merge_line *a, const merge_line *b, pal_error *err)
{
    const result_cell *cell = &m->seen.cell[a->cell];
    return pal_fail(err, PAL_DATA,
                    "sample %lld of %s, %s: %s and %s hold different results for it; see which machine is right "
                    "(verify computes it again), and move the other file away",
                    (long long)a->index, cell->model, cell->name, m->path[a->file], m->path[b->file]);
}

/* Leave of the sorted lines each announcement and each sample once. */
static int drop_doubles(merge *m, merge_line **line, size_t *count, merge_outcome *out, pal_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        merge_line *l = line[i];
        int twice = 0;
        if (l->index >= 0) {
            const merge_line *last = kept ? line[kept - 1] : NULL;
            twice = last && last->index == l->index && last->cell == l->cell;
            if (twice && !alike(last, l)) return contradiction(m, last, l, err);
            out->twice += twice;
        } else {
            for (size_t k = 0; k < kept && !twice; k++)
                twice = line[k]->cell == l->cell && line[k]->asked == l->asked;
        }
        if (!twice) line[kept++] = l;
    }
    *count = kept;
    return PAL_OK;
}

/* ---- Holes ---- */

static int missing(const merge *m, const manifest_cell *c, int64_t index)
{
    const result_cell *cell = results_find(&m->seen, c->key);
    return !cell || !result_done(cell, index);
}

/* One run of missing samples that one part has. */
static void say_hole(FILE *log, const manifest_cell *c, int64_t from, int64_t to, size_t owner, size_t parts)
{
    char range[64], part[64] = "";
    snprintf(range, sizeof range, from == to ? "sample %lld is" : "samples %lld to %lld are", (long long)from,
             (long long)to);
    if (owner)
        snprintf(part, sizeof part, "; shard %zu/%zu has to do %s", owner, parts, from == to ? "it" : "them");
    fprintf(log, "%s%s, %s: %s missing%s\n", c->model, c->zeroed ? ", memory zeroed" : "", c->name, range, part);
}

static int find_holes(const merge *m, FILE *log, merge_outcome *out, pal_error *err)
{
    int shown = 0;
    for (size_t i = 0; i < manifest_cells(m->manifest); i++) {
        manifest_cell c;
        if (!manifest_cell_at(m->manifest, i, &c))
            return pal_fail(err, PAL_DATA, "run.json: cell %zu is damaged; run a shard again in an empty folder",
                            i);
        for (int64_t from = 0, to; from < c.asked; from = to) {
            to = from + 1;
            if (!missing(m, &c, from)) continue;
            const size_t owner = manifest_owner(&c, from);
            while (to < c.asked && missing(m, &c, to) && manifest_owner(&c, to) == owner) to++;
            out->missing += to - from;
            if (shown++ < HOLES_SHOWN) say_hole(log, &c, from, to - 1, owner, json_array_size(c.dealt));
        }
    }
    if (shown > HOLES_SHOWN) fprintf(log, "and %d more such holes\n", shown - HOLES_SHOWN);
    return PAL_OK;
}

/* ---- Writing ---- */

static int write_main(const merge *m, merge_line *const *line, size_t count, merge_outcome *out, pal_error *err)
{
    char *old = NULL, *text = NULL;
    size_t size = 0, fresh = 0, room;
    for (size_t i = 0; i < count; i++) {
        fresh += line[i]->file > 0;
        out->taken += line[i]->file > 0 && line[i]->index >= 0;
    }
    if (fresh == 0) return PAL_OK;
    PAL_TRY(os_read_file(m->path[0], &old, &size, err));
    FILE *to = open_memstream(&text, &room);
    if (!to) {
        free(old);
        return pal_fail(err, PAL_INTERNAL, "out of memory for %s", m->path[0]);
    }
    fwrite(old, 1, size, to);
    free(old);
    for (size_t i = 0; i < count; i++)
        if (line[i]->file > 0) fprintf(to, "%s\n", line[i]->text);
    const int whole = fclose(to) == 0;
    const int code = whole ? os_write_file(m->path[0], text, room, err)
                           : pal_fail(err, PAL_INTERNAL, "out of memory for %s", m->path[0]);
    free(text);
    return code;
}

static int remove_files(const char *folder, pal_error *err)
{
    DIR *dir = opendir(folder);
    char path[PATH + 300];
    if (!dir) return PAL_OK;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (unlink(path) != 0 && strcmp(entry->d_name, "leases") == 0) remove_files(path, err);
    }
    closedir(dir);
    rmdir(folder);
    return PAL_OK;
}

/* The folder shards/ too, when it was the last of it. */
static int clean_up(const char *folder, pal_error *err)
{
    char above[PATH];
    PAL_TRY(remove_files(folder, err));
    snprintf(above, sizeof above, "%s", folder);
    *strrchr(above, '/') = '\0';
    rmdir(above);
    return PAL_OK;
}

/* ---- The whole ---- */

static int merge_lines(merge *m, FILE *log, merge_outcome *out, pal_error *err)
{
    merge_line **line = calloc(m->lines + 1, sizeof *line);
    if (!line) return pal_fail(err, PAL_INTERNAL, "out of memory for the records");
    for (size_t i = 0; i < m->lines; i++) line[i] = &m->line[i];
    if (m->lines) qsort(line, m->lines, sizeof *line, by_place);
    size_t count = m->lines;
    int code = drop_doubles(m, line, &count, out, err);
    if (code == PAL_OK) code = find_holes(m, log, out, err);
    if (code == PAL_OK) code = write_main(m, line, count, out, err);
    free(line);
    return code;
}

static void free_merge(merge *m)
{
    for (size_t i = 0; i < m->lines; i++) free(m->line[i].text);
    for (size_t i = 0; i < m->paths; i++) free(m->path[i]);
    free(m->line);
    free(m->path);
    results_free(&m->seen);
    json_decref(m->manifest);
}

int merge_task(const char *results_dir, const task_module *task, FILE *log, int *found, merge_outcome *out,
               pal_error *err)
{
    merge m = {.task = task};
    char folder[PATH], path[PATH + 16];
    journal *main_journal = NULL;
    size_t cut = 0;
    *out = (merge_outcome){0};
    shard_folder(results_dir, task->name, folder, sizeof folder);
    snprintf(path, sizeof path, "%s/run.json", folder);
    *found = os_file_exists(path);
    if (!*found) return PAL_OK;
    PAL_TRY(manifest_read(path, &m.manifest, err));
    results_init(&m.seen, task, folder);
    snprintf(path, sizeof path, "%s/%s-journal.jsonl", results_dir, task->name);
    int code = add_path(&m, path, err);
    /* Held open, it is locked until the new one is in its place. */
    if (code == PAL_OK) code = journal_open(&main_journal, path, take_line, &m, &cut, err);
    if (code == PAL_OK) code = shard_each_journal(folder, read_shard, &m, err);
    if (code == PAL_OK) code = merge_lines(&m, log, out, err);
    if (code == PAL_OK && out->missing == 0) code = clean_up(folder, err);
    journal_close(main_journal);
    free_merge(&m);
    return code;
}
