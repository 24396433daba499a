/* The folder of a shared evaluation, and the journals in it. */
#include "harness/shard/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void shard_folder(const char *results_dir, const char *task, char *out, size_t size)
{
    snprintf(out, size, "%s/shards/%s", results_dir, task);
}

static int is_journal(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return entry->d_name[0] != '.' && dot && strcmp(dot, ".jsonl") == 0;
}

/* Byte order, whatever the locale; "10-of-12" before "2-of-12" does no harm. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int shard_each_journal(const char *folder, shard_take_file *take, void *arg, pal_error *err)
{
    struct dirent **entry;
    const int count = scandir(folder, &entry, is_journal, by_name);
    if (count < 0 && errno == ENOENT) return PAL_OK;
    if (count < 0) return pal_fail(err, PAL_INTERNAL, "cannot read %s: %s", folder, strerror(errno));
    int code = PAL_OK;
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        if (code == PAL_OK && asprintf(&path, "%s/%s", folder, entry[i]->d_name) < 0)
            code = pal_fail(err, PAL_INTERNAL, "out of memory for a path");
        if (code == PAL_OK) code = take(arg, path, err);
        free(path);
        free(entry[i]);
    }
    free(entry);
    return code;
}

static int read_one(void *arg, const char *path, pal_error *err)
{
    results *into = arg;
    into->path = path;
    return journal_read(path, results_visit, into, err);
}

int shard_read_journals(const char *folder, results *into, pal_error *err)
{
    const char *path = into->path;
    const int code = shard_each_journal(folder, read_one, into, err);
    into->path = path;
    return code;
}
