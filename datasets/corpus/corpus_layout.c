#include "datasets/corpus/corpus_layout.h"
#include "datasets/corpus/line_reader.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Files and folders ---- */

/* The file's own name without .gz and one more extension; malloc'ed. */
static char *document_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = strdup(slash ? slash + 1 : path);
    if (!name) return NULL;
    char *dot = strrchr(name, '.');
    if (dot && dot != name && strcmp(dot, ".gz") == 0) {
        *dot = '\0';
        dot = strrchr(name, '.');
    }
    if (dot && dot != name) *dot = '\0';
    return name;
}

int corpus_add_file(corpus *c, const char *path, pal_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0) return pal_fail(err, PAL_DATA, "%s: %s", path, strerror(errno));
    if (info.st_size == 0 && S_ISREG(info.st_mode))
        return pal_fail(err, PAL_DATA, "%s: the document is empty; remove the file", path);
    char *name = document_name(path);
    if (!name) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    const int code = corpus_add(c, name, path, NULL, err);
    free(name);
    return code;
}

int corpus_is_lines(const char *path)
{
    size_t size = strlen(path);
    if (size > 3 && strcmp(path + size - 3, ".gz") == 0) size -= 3;
    return size > 6 && memcmp(path + size - 6, ".jsonl", 6) == 0;
}

/* Hidden files are none of the corpus. */
static int visible(const struct dirent *item)
{
    return item->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_item(corpus *c, const char *folder, const char *name, pal_error *err)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return pal_fail(err, PAL_INTERNAL, "%s: out of memory", folder);
    struct stat info;
    int code;
    if (stat(path, &info) != 0)
        code = pal_fail(err, PAL_DATA, "%s: %s", path, strerror(errno));
    else if (S_ISDIR(info.st_mode))
        code = pal_fail(err, PAL_DATA, "%s: a folder among the documents; a corpus folder holds text files only",
                        path);
    else if (corpus_is_lines(path))
        code = pal_fail(err, PAL_DATA, "%s: JSON lines among the documents; name this file itself as the corpus",
                        path);
    else
        code = corpus_add_file(c, path, err);
    free(path);
    return code;
}

static int entry_order(const void *a, const void *b)
{
    return strcmp(((const corpus_entry *)a)->name, ((const corpus_entry *)b)->name);
}

int corpus_add_folder(corpus *c, const char *path, pal_error *err)
{
    struct dirent **items = NULL;
    const int count = scandir(path, &items, visible, by_bytes);
    if (count < 0) return pal_fail(err, PAL_DATA, "%s: cannot read the folder: %s", path, strerror(errno));
    int code = PAL_OK;
    for (int i = 0; i < count; i++) {
        if (code == PAL_OK) code = add_item(c, path, items[i]->d_name, err);
        free(items[i]);
    }
    free(items);
    /* Names without extensions can sort otherwise than file names ("a-b.txt" < "a.txt", "a" < "a-b"). */
    if (c->count > 0) qsort(c->entry, c->count, sizeof *c->entry, entry_order);
    return code;
}

/* ---- JSON lines ---- */

static int parse_line(const char *path, uint64_t number, const char *line, size_t size, json_t **out,
                      pal_error *err)
{
    json_error_t why;
    json_t *object = json_loadb(line, size, JSON_ALLOW_NUL, &why);
    const json_t *text = json_object_get(object, "text");
    *out = object;
    const unsigned long long at = (unsigned long long)number;
    int code = PAL_OK;
    if (!object)
        code = pal_fail(err, PAL_DATA, "%s:%llu: not JSON: %s (column %d)", path, at, why.text, why.column);
    else if (!json_is_string(text))
        code = pal_fail(err, PAL_DATA, "%s:%llu: each line must be an object with a string \"text\"", path, at);
    else if (json_string_length(text) == 0)
        code = pal_fail(err, PAL_DATA, "%s:%llu: the document is empty; remove the line", path, at);
    if (code == PAL_OK) return PAL_OK;
    json_decref(object);
    *out = NULL;
    return code;
}

static int blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r", line[i]) || !line[i]) return 0;
    return 1;
}

static int add_line(corpus *c, const char *path, const corpus_entry *place, const char *line, pal_error *err)
{
    json_t *object;
    PAL_TRY(parse_line(path, place->line, line, (size_t)place->size, &object, err));
    const json_t *id = json_object_get(object, "id");
    char number[32];
    if (json_is_integer(id))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(id));
    else
        snprintf(number, sizeof number, "%llu", (unsigned long long)place->line);
    const int code = corpus_add(c, json_is_string(id) ? json_string_value(id) : number, path, place, err);
    json_decref(object);
    return code;
}

int corpus_add_lines(corpus *c, const char *path, pal_error *err)
{
    line_reader r;
    int code = line_reader_open(&r, path, err);
    for (int found = code == PAL_OK; found;) {
        const char *line;
        size_t size;
        code = line_reader_next(&r, &found, &line, &size, err);
        const corpus_entry place = {.offset = r.offset, .size = size, .line = r.number};
        if (code == PAL_OK && found && !blank(line, size)) code = add_line(c, path, &place, line, err);
        if (code != PAL_OK) break;
    }
    line_reader_close(&r);
    return code;
}

/* The line as it was when it was opened, parsed. */
static int read_line(const corpus_entry *entry, line_reader *r, json_t **object, pal_error *err)
{
    const char *line;
    size_t size;
    int found;
    PAL_TRY(line_reader_seek(r, entry->offset, entry->line, err));
    PAL_TRY(line_reader_next(r, &found, &line, &size, err));
    if (found && size == entry->size) return parse_line(entry->path, entry->line, line, size, object, err);
    return pal_fail(err, PAL_DATA, "%s:%llu: the file was cut or changed since it was opened", entry->path,
                    (unsigned long long)entry->line);
}

int corpus_line_text(const corpus_entry *entry, char **text, size_t *size, pal_error *err)
{
    *text = NULL;
    line_reader r;
    json_t *object = NULL;
    int code = line_reader_open(&r, entry->path, err);
    if (code == PAL_OK) code = read_line(entry, &r, &object, err);
    line_reader_close(&r);
    PAL_TRY(code);
    const json_t *value = json_object_get(object, "text");
    *size = json_string_length(value);
    *text = malloc(*size + 1);
    if (*text) memcpy(*text, json_string_value(value), *size + 1);
    json_decref(object);
    return *text ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s: out of memory for a document", entry->path);
}
