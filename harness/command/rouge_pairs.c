/* Pairs of references and hypotheses for the command `rouge`: JSON lines of one or two files, or two whole texts.
 * Every file is opened and checked as all texts are. */
#include "harness/command/rouge_pairs.h"

#include "datasets/corpus/line_reader.h"
#include "harness/base/array.h"
#include "harness/base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const char *path;
    line_reader lines;
    size_t line;
    json_t *row; /* what the line holds; NULL at the end */
} reader;

struct rouge_pairs {
    reader ref, hyp;
    int two_files, json_lines;
    const json_t **refs;
    size_t refs_room;
};

/* ---- Lines ---- */

static int reader_open(reader *r, pal_error *err)
{
    return line_reader_open(&r->lines, r->path, PACKED_FORWARD, err);
}

static void reader_close(reader *r)
{
    line_reader_close(&r->lines);
    json_decref(r->row);
}

static int reader_next(reader *r, pal_error *err)
{
    json_decref(r->row);
    r->row = NULL;
    int found;
    const char *text;
    size_t size;
    PAL_TRY(line_reader_next(&r->lines, &found, &text, &size, err));
    if (!found) return PAL_OK;
    r->line++;
    json_error_t cause;
    r->row = json_loadb(text, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &cause);
    if (r->row) return PAL_OK;
    if (line_is_blank(text, size))
        return pal_fail(err, PAL_DATA, "%s:%zu: an empty line; each line is a JSON value", r->path, r->line);
    return pal_fail(err, PAL_DATA, "%s:%zu: not JSON: %s (byte %d of the line)", r->path, r->line, cause.text,
                    cause.position);
}

/* ---- Whole texts ---- */

/* The whole file as one string, the first time; then the end. */
static int read_text(reader *r, pal_error *err)
{
    json_decref(r->row);
    r->row = NULL;
    if (r->line > 0) return PAL_OK;
    char *text = NULL;
    size_t size;
    PAL_TRY(utf8_read_file(r->path, &text, &size, err));
    r->row = json_stringn_nocheck(text, size);
    free(text);
    if (!r->row) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", r->path);
    r->line = 1;
    return PAL_OK;
}

/* ---- Pairs ---- */

int rouge_pairs_open(rouge_pairs **out, const char *ref_path, const char *hyp_path, int json_lines, pal_error *err)
{
    rouge_pairs *p = *out = calloc(1, sizeof *p);
    if (!p) return pal_fail(err, PAL_INTERNAL, "out of memory");
    p->json_lines = json_lines;
    p->two_files = *hyp_path != 0;
    p->ref.path = ref_path;
    p->hyp.path = hyp_path;
    int code = PAL_OK;
    if (json_lines) code = reader_open(&p->ref, err);
    if (json_lines && p->two_files && code == PAL_OK) code = reader_open(&p->hyp, err);
    if (code == PAL_OK) return PAL_OK;
    rouge_pairs_close(p);
    *out = NULL;
    return code;
}

void rouge_pairs_close(rouge_pairs *p)
{
    if (!p) return;
    reader_close(&p->ref);
    reader_close(&p->hyp);
    free(p->refs);
    free(p);
}

static int take_references(rouge_pairs *p, rouge_pair *out, pal_error *err)
{
    const reader *r = &p->ref;
    const json_t *found = r->row;
    if (json_is_object(found)) found = json_object_get(found, "reference");
    if (!found) return pal_fail(err, PAL_DATA, "%s:%zu: no \"reference\" in the object", r->path, r->line);
    const size_t count = json_is_array(found) ? json_array_size(found) : 1;
    if (count == 0) return pal_fail(err, PAL_DATA, "%s:%zu: an empty list of references", r->path, r->line);
    PAL_TRY(array_room(&p->refs, &p->refs_room, count, sizeof *p->refs, r->path, err));
    for (size_t i = 0; i < count; i++) {
        p->refs[i] = json_is_array(found) ? json_array_get(found, i) : found;
        if (!json_is_string(p->refs[i]))
            return pal_fail(err, PAL_DATA, "%s:%zu: the reference is not a string or a list of strings", r->path,
                            r->line);
    }
    out->ref = p->refs;
    out->ref_count = count;
    return PAL_OK;
}

static int take_hypothesis(const reader *r, rouge_pair *out, pal_error *err)
{
    const json_t *found = r->row;
    if (json_is_object(found)) {
        const json_t *hypothesis = json_object_get(found, "hypothesis");
        const json_t *prediction = json_object_get(found, "prediction");
        if (hypothesis && prediction)
            return pal_fail(err, PAL_DATA, "%s:%zu: both \"hypothesis\" and \"prediction\"; leave one out",
                            r->path, r->line);
        found = hypothesis ? hypothesis : prediction;
        if (!found)
            return pal_fail(err, PAL_DATA, "%s:%zu: no \"hypothesis\" or \"prediction\" in the object", r->path,
                            r->line);
    }
    if (!json_is_string(found))
        return pal_fail(err, PAL_DATA, "%s:%zu: the hypothesis is not a string", r->path, r->line);
    out->hyp = found;
    return PAL_OK;
}

static int take_id(const rouge_pairs *p, rouge_pair *out, pal_error *err)
{
    const json_t *ref = json_object_get(p->ref.row, "id"), *hyp = json_object_get(p->hyp.row, "id");
    if (ref && hyp && !json_equal(ref, hyp))
        return pal_fail(err, PAL_DATA, "%s:%zu: its id is not that of %s:%zu; the lines must be in the same order",
                        p->hyp.path, p->hyp.line, p->ref.path, p->ref.line);
    out->id = ref ? ref : hyp;
    return PAL_OK;
}

static int read_rows(rouge_pairs *p, pal_error *err)
{
    if (!p->json_lines) {
        PAL_TRY(read_text(&p->ref, err));
        return read_text(&p->hyp, err);
    }
    PAL_TRY(reader_next(&p->ref, err));
    if (!p->two_files) return PAL_OK;
    PAL_TRY(reader_next(&p->hyp, err));
    if (!p->ref.row == !p->hyp.row) return PAL_OK;
    const reader *more = p->ref.row ? &p->ref : &p->hyp, *less = p->ref.row ? &p->hyp : &p->ref;
    return pal_fail(err, PAL_DATA, "%s:%zu: no line to go with it: %s ends after line %zu", more->path, more->line,
                    less->path, less->line);
}

int rouge_pairs_next(rouge_pairs *p, rouge_pair *out, int *more, pal_error *err)
{
    *out = (rouge_pair){0};
    PAL_TRY(read_rows(p, err));
    *more = p->ref.row != NULL;
    if (!*more) return PAL_OK;
    out->line = p->ref.line;
    PAL_TRY(take_references(p, out, err));
    PAL_TRY(take_hypothesis(p->two_files ? &p->hyp : &p->ref, out, err));
    return take_id(p, out, err);
}
