/* Finds the documents of a path. A folder is one of splits or one of texts; a file is JSON lines or one text.
 * Names are checked here, where they enter. */
#include "datasets/corpus/corpus_layout.h"

#include "harness/base/array.h"
#include "harness/base/os.h"
#include "harness/base/utf8.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Append a document; the strings are copied. */
static int add(corpus *c, const char *name, const char *path, const corpus_entry *place, pal_error *err)
{
    if (strlen(name) >= CORPUS_NAME)
        return pal_fail(err, PAL_DATA, "%s: the document's name '%.40s...' has %zu bytes; %d is the most", path,
                        name, strlen(name), CORPUS_NAME - 1);
    PAL_TRY(array_room(&c->entry, &c->capacity, c->count + 1, sizeof *c->entry, path, err));
    corpus_entry entry = place ? *place : (corpus_entry){0};
    entry.name = strdup(name);
    entry.path = strdup(path);
    c->entry[c->count++] = entry; /* corpus_close frees what there is of it */
    return entry.name && entry.path ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
}

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

/* Append a file that is one document. */
static int add_file(corpus *c, const char *path, pal_error *err)
{
    struct stat info;
    PAL_TRY(utf8_check_name("the file name", path, PAL_DATA, err));
    if (stat(path, &info) != 0) return pal_fail(err, PAL_DATA, "%s: %s", path, strerror(errno));
    if (info.st_size == 0 && S_ISREG(info.st_mode))
        return pal_fail(err, PAL_DATA, "%s: the document is empty; remove the file", path);
    char *name = document_name(path);
    if (!name) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    const int code = add(c, name, path, NULL, err);
    free(name);
    return code;
}

/* Whether the path is named .jsonl or .jsonl.gz. */
static int is_lines(const char *path)
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
    else if (is_lines(path))
        code = pal_fail(err, PAL_DATA, "%s: JSON lines among the documents; name this file itself as the corpus",
                        path);
    else
        code = add_file(c, path, err);
    free(path);
    return code;
}

static int entry_order(const void *a, const void *b)
{
    return strcmp(((const corpus_entry *)a)->name, ((const corpus_entry *)b)->name);
}

/* Append the documents of a folder's files. */
static int add_folder(corpus *c, const char *path, pal_error *err)
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
    const int code = add(c, json_is_string(id) ? json_string_value(id) : number, path, place, err);
    json_decref(object);
    return code;
}

static int add_each_line(corpus *c, const char *path, pal_error *err)
{
    line_reader *r = c->lines;
    for (;;) {
        const char *line;
        size_t size;
        int found;
        PAL_TRY(line_reader_next(r, &found, &line, &size, err));
        if (!found) return PAL_OK;
        const corpus_entry place = {.offset = r->offset, .size = size, .line = r->number};
        if (!line_is_blank(line, size)) PAL_TRY(add_line(c, path, &place, line, err));
    }
}

/* Append the documents of a file of JSON lines; parses all of it once and keeps no text. */
static int add_lines(corpus *c, const char *path, pal_error *err)
{
    PAL_TRY(utf8_check_name("the file name", path, PAL_DATA, err));
    c->lines = calloc(1, sizeof *c->lines);
    if (!c->lines) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    PAL_TRY(line_reader_open(c->lines, path, PACKED_RANDOM, err));
    PAL_TRY(add_each_line(c, path, err));
    line_reader_rest(c->lines);
    return PAL_OK;
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

int corpus_line_text(const corpus *c, const corpus_entry *entry, char **text, size_t *size, pal_error *err)
{
    *text = NULL;
    json_t *object = NULL;
    PAL_TRY(read_line(entry, c->lines, &object, err));
    const json_t *value = json_object_get(object, "text");
    *size = json_string_length(value);
    *text = malloc(*size + 1);
    if (*text) memcpy(*text, json_string_value(value), *size + 1);
    json_decref(object);
    return *text ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s: out of memory for a document", entry->path);
}

/* ---- Splits ---- */

static int is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

/* The folder or the file of JSON lines that holds a split; malloc'ed. NULL: there is none, or no memory. */
static char *find_split(const char *path, const char *split)
{
    static const char *const form[] = {"%s/%s", "%s/%s.jsonl", "%s/%s.jsonl.gz"};
    const char *spelling;
    for (size_t k = 0; (spelling = split_spelling(split, k)); k++)
        for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
            char *found = NULL;
            if (asprintf(&found, form[i], path, spelling) < 0) return NULL;
            if (i == 0 ? is_folder(found) : is_file(found)) return found;
            free(found);
        }
    return NULL;
}

/* The splits that a folder has, as "train, test"; returns how many. */
static int list_splits(const char *path, char *out, size_t size)
{
    int count = 0;
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < SPLITS; i++) {
        char *found = find_split(path, split_name(i));
        if (found) used += (size_t)snprintf(out + used, size - used, "%s%s", count++ ? ", " : "", split_name(i));
        free(found);
    }
    return count;
}

static int add_split(corpus *c, const char *path, const char *split, const char *splits, pal_error *err)
{
    c->split = NULL;
    for (size_t i = 0; i < SPLITS; i++)
        if (strcmp(split, split_name(i)) == 0) c->split = split_name(i);
    char *found = c->split ? find_split(path, c->split) : NULL;
    if (!found) return pal_fail(err, PAL_DATA, "%s: no split '%s'; there are: %s", path, split, splits);
    const int code = is_folder(found) ? add_folder(c, found, err) : add_lines(c, found, err);
    free(found);
    return code;
}

int corpus_add_path(corpus *c, const char *path, const char *split, const char *usual, pal_error *err)
{
    struct stat info;
    PAL_TRY(utf8_check_name("the path", path, PAL_DATA, err));
    if (stat(path, &info) != 0)
        return pal_fail(err, PAL_DATA,
                        "%s: %s; a corpus is a folder with train/, validation/ and test/, a folder of texts, a "
                        ".jsonl[.gz] file or a text file",
                        path, strerror(errno));
    char splits[64];
    const int folder = S_ISDIR(info.st_mode);
    if (folder && list_splits(path, splits, sizeof splits) > 0)
        return add_split(c, path, split[0] ? split : usual, splits, err);
    if (split[0] && strcmp(split, SPLIT_ALL) != 0)
        return pal_fail(err, PAL_DATA, "%s: no split '%s'; there is only: all (%s); leave split= out", path, split,
                        folder ? "the folder has no train, validation or test" : "a file has no splits");
    c->split = SPLIT_ALL;
    if (folder) return add_folder(c, path, err);
    return is_lines(path) ? add_lines(c, path, err) : add_file(c, path, err);
}
