/* Prompts and answers out of JSON lines: checked once from start to end, then read again line by line. Every
 * message names the file, the line and the field. */
#include "datasets/corpus/prompt_file.h"

#include "datasets/corpus/line_reader.h"
#include "harness/base/array.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
    char *id, *cluster;
    uint64_t offset, line;
} place;

struct prompt_file {
    char *path;
    line_reader *lines;
    place *place;
    size_t count, capacity;
    char digest[HASH_HEX];
};

static unsigned long long line_of(const place *p)
{
    return (unsigned long long)p->line;
}

/* ---- One line ---- */

static int take_text(const prompt_file *f, const place *p, const json_t *value, const char *name, prompt_text *out,
                     pal_error *err)
{
    *out = (prompt_text){0};
    if (!json_is_string(value))
        return pal_fail(err, PAL_DATA, "%s:%llu: \"%s\" is no string", f->path, line_of(p), name);
    const size_t size = json_string_length(value);
    if (line_is_blank(json_string_value(value), size))
        return pal_fail(err, PAL_DATA, "%s:%llu: \"%s\" is blank", f->path, line_of(p), name);
    out->text = malloc(size + 1);
    if (!out->text) return pal_fail(err, PAL_INTERNAL, "out of memory for a text of %zu bytes", size);
    memcpy(out->text, json_string_value(value), size);
    out->text[size] = '\0';
    out->size = size;
    return PAL_OK;
}

/* A string, or a list of them. */
static int take_answers(const prompt_file *f, const place *p, const json_t *value, prompt_line *out,
                        pal_error *err)
{
    const size_t count = json_is_array(value) ? json_array_size(value) : 1;
    if (count == 0)
        return pal_fail(err, PAL_DATA, "%s:%llu: \"answer\" is an empty list; give at least one that is accepted",
                        f->path, line_of(p));
    out->answer = calloc(count, sizeof *out->answer);
    if (!out->answer) return pal_fail(err, PAL_INTERNAL, "out of memory for the answers of %s", f->path);
    if (!json_is_array(value)) {
        out->answers = 1;
        return take_text(f, p, value, "answer", &out->answer[0], err);
    }
    for (size_t i = 0; i < count; i++) {
        char name[48];
        snprintf(name, sizeof name, "answer[%zu]", i);
        out->answers = i + 1;
        PAL_TRY(take_text(f, p, json_array_get(value, i), name, &out->answer[i], err));
    }
    return PAL_OK;
}

static int take_line(const prompt_file *f, const place *p, const json_t *object, prompt_line *out, pal_error *err)
{
    static const char *const field[] = {"prompt", "answer"};
    *out = (prompt_line){0};
    for (size_t i = 0; i < 2; i++)
        if (!json_object_get(object, field[i]))
            return pal_fail(
                err, PAL_DATA,
                "%s:%llu: there is no \"%s\"; a line is {\"prompt\": TEXT, \"answer\": TEXT or a list}", f->path,
                line_of(p), field[i]);
    PAL_TRY(take_text(f, p, json_object_get(object, "prompt"), "prompt", &out->prompt, err));
    return take_answers(f, p, json_object_get(object, "answer"), out, err);
}

void prompt_line_free(prompt_line *line)
{
    free(line->prompt.text);
    for (size_t i = 0; i < line->answers; i++) free(line->answer[i].text);
    free(line->answer);
    *line = (prompt_line){0};
}

/* A string or a whole number, malloc'ed; the fallback where there is none. */
static int take_name(const prompt_file *f, const place *p, const json_t *object, const char *key,
                     const char *fallback, char **out, pal_error *err)
{
    const json_t *value = json_object_get(object, key);
    char number[32];
    const char *name = fallback;
    if (json_is_string(value)) {
        name = json_string_value(value);
        if (line_is_blank(name, json_string_length(value)) || strlen(name) != json_string_length(value))
            return pal_fail(err, PAL_DATA, "%s:%llu: \"%s\" is blank or holds a NUL", f->path, line_of(p), key);
    } else if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        name = number;
    } else if (value) {
        return pal_fail(err, PAL_DATA, "%s:%llu: \"%s\" is neither a string nor a whole number", f->path,
                        line_of(p), key);
    }
    if (strlen(name) >= PROMPT_NAME)
        return pal_fail(err, PAL_DATA, "%s:%llu: \"%s\" has %zu bytes; %d is the most", f->path, line_of(p), key,
                        strlen(name), PROMPT_NAME - 1);
    *out = strdup(name);
    return *out ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s: out of memory", f->path);
}

/* ---- The whole file ---- */

static void hash_text(hash_state *h, const char *text, size_t size)
{
    const uint64_t bytes = size;
    hash_add(h, &bytes, sizeof bytes);
    hash_add(h, text, size);
}

static void hash_line(hash_state *h, const place *p, const prompt_line *line)
{
    const uint64_t answers = line->answers;
    hash_text(h, p->id, strlen(p->id));
    hash_text(h, p->cluster, strlen(p->cluster));
    hash_text(h, line->prompt.text, line->prompt.size);
    hash_add(h, &answers, sizeof answers);
    for (size_t i = 0; i < line->answers; i++) hash_text(h, line->answer[i].text, line->answer[i].size);
}

static int next_line(const prompt_file *f, place *p, json_t **object, pal_error *err)
{
    const char *line;
    size_t size;
    int found;
    json_error_t why;
    *object = NULL;
    do {
        PAL_TRY(line_reader_next(f->lines, &found, &line, &size, err));
    } while (found && line_is_blank(line, size));
    if (!found) return PAL_OK;
    *p = (place){.offset = f->lines->offset, .line = f->lines->number};
    *object = json_loadb(line, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
    if (!*object)
        return pal_fail(err, PAL_DATA, "%s:%llu: not JSON: %s (column %d)", f->path, line_of(p), why.text,
                        why.column);
    if (json_is_object(*object)) return PAL_OK;
    json_decref(*object);
    *object = NULL;
    return pal_fail(err, PAL_DATA, "%s:%llu: each line must be an object", f->path, line_of(p));
}

static int check_line(const prompt_file *f, const place *p, const prompt_line *line, prompt_check *check,
                      void *arg, pal_error *err)
{
    pal_error why;
    const int code = check ? check(arg, line, &why) : PAL_OK;
    return code == PAL_OK ? PAL_OK : pal_fail(err, code, "%s:%llu: %.4000s", f->path, line_of(p), why.text);
}

static int add_line(prompt_file *f, hash_state *digest, const place *at, const json_t *object, prompt_check *check,
                    void *arg, pal_error *err)
{
    char number[32];
    prompt_line line = {0};
    PAL_TRY(array_room(&f->place, &f->capacity, f->count + 1, sizeof *f->place, f->path, err));
    place *p = &f->place[f->count++];
    *p = *at;
    snprintf(number, sizeof number, "%llu", line_of(p));
    PAL_TRY(take_name(f, p, object, "id", number, &p->id, err));
    PAL_TRY(take_name(f, p, object, "cluster", p->id, &p->cluster, err));
    int code = take_line(f, p, object, &line, err);
    if (code == PAL_OK) code = check_line(f, p, &line, check, arg, err);
    if (code == PAL_OK) hash_line(digest, p, &line);
    prompt_line_free(&line);
    return code;
}

static int by_id(const void *a, const void *b)
{
    const place *x = *(place *const *)a, *y = *(place *const *)b;
    const int order = strcmp(x->id, y->id);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* The first line whose id an earlier one has. */
static int check_ids(const prompt_file *f, pal_error *err)
{
    const place **list = malloc(f->count * sizeof *list), *twice = NULL, *first = NULL;
    if (!list) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", f->path);
    for (size_t i = 0; i < f->count; i++) list[i] = &f->place[i];
    qsort(list, f->count, sizeof *list, by_id);
    for (size_t i = 1; i < f->count; i++)
        if (strcmp(list[i]->id, list[i - 1]->id) == 0 && (!twice || list[i]->line < twice->line)) {
            twice = list[i];
            first = list[i - 1];
        }
    free(list);
    if (!twice) return PAL_OK;
    return pal_fail(err, PAL_DATA, "%s:%llu: the \"id\" '%s' is that of line %llu too; every line needs its own",
                    f->path, line_of(twice), twice->id, line_of(first));
}

static int add_lines(prompt_file *f, hash_state *digest, prompt_check *check, void *arg, pal_error *err)
{
    for (;;) {
        place p;
        json_t *object;
        PAL_TRY(next_line(f, &p, &object, err));
        if (!object) break;
        const int code = add_line(f, digest, &p, object, check, arg, err);
        json_decref(object);
        PAL_TRY(code);
    }
    line_reader_rest(f->lines);
    if (f->count == 0) return pal_fail(err, PAL_DATA, "%s: there is no line in it", f->path);
    return check_ids(f, err);
}

static int fill_file(prompt_file *f, const char *path, prompt_check *check, void *arg, pal_error *err)
{
    f->path = strdup(path);
    f->lines = calloc(1, sizeof *f->lines);
    hash_state *digest = hash_begin();
    int code = f->path && f->lines && digest ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    if (code == PAL_OK) code = line_reader_open(f->lines, path, PACKED_RANDOM, err);
    if (code == PAL_OK) code = add_lines(f, digest, check, arg, err);
    if (digest) hash_end(digest, f->digest);
    return code;
}

int prompt_file_open(prompt_file **out, const char *path, prompt_check *check, void *arg, pal_error *err)
{
    prompt_file *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    const int code = fill_file(f, path, check, arg, err);
    if (code == PAL_OK)
        *out = f;
    else
        prompt_file_close(f);
    return code;
}

void prompt_file_close(prompt_file *f)
{
    if (!f) return;
    for (size_t i = 0; i < f->count; i++) {
        free(f->place[i].id);
        free(f->place[i].cluster);
    }
    free(f->place);
    if (f->lines) line_reader_close(f->lines);
    free(f->lines);
    free(f->path);
    free(f);
}

size_t prompt_file_count(const prompt_file *f)
{
    return f->count;
}

const char *prompt_file_id(const prompt_file *f, size_t index)
{
    return f->place[index].id;
}

const char *prompt_file_cluster(const prompt_file *f, size_t index)
{
    return f->place[index].cluster;
}

const char *prompt_file_digest(const prompt_file *f)
{
    return f->digest;
}

uint64_t prompt_file_work(const prompt_file *f)
{
    return text_file_work(f->lines->file);
}

int prompt_file_read(const prompt_file *f, size_t index, prompt_line *out, pal_error *err)
{
    const place *p = &f->place[index];
    place now;
    json_t *object;
    *out = (prompt_line){0};
    PAL_TRY(line_reader_seek(f->lines, p->offset, p->line, err));
    PAL_TRY(next_line(f, &now, &object, err));
    int code = object && now.line == p->line
                   ? take_line(f, p, object, out, err)
                   : pal_fail(err, PAL_DATA, "%s:%llu: the file was cut or changed since it was opened", f->path,
                              line_of(p));
    json_decref(object);
    if (code != PAL_OK) prompt_line_free(out);
    return code;
}
