/* The samples of every cell as packed JSON inside the page, for the script that opens them.
 * The block is data: it is never run, and base64 has no byte that could end it. */
#include "harness/page/samples.h"

#include "harness/base/text.h"
#include "harness/report/again.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    COLUMNS_MAX = 32,
    TEXT_SHOWN = 160,       /* bytes of a text; the journal holds the whole */
    BLOCK_LIMIT = 190 << 10 /* bytes of the page for the samples of one task */
};

/* ---- Columns ---- */

/* name[0 .. members): members of the records. Then the task's metrics, each of one sample. */
typedef struct columns {
    const char *name[COLUMNS_MAX];
    const task_metric *metric[COLUMNS_MAX];
    size_t members, count;
} columns;

/* Whether a member tells samples of some cell apart. What all samples of a cell share its row says already. */
static int varies(const report *rep, const records *all, const char *name)
{
    for (size_t i = 0; i < rep->count; i++) {
        const json_t *first = json_object_get(records_find(all, rep->row[i].cell, 0), name);
        for (int64_t s = 1; s < rep->row[i].n; s++)
            if (!json_equal(first, json_object_get(records_find(all, rep->row[i].cell, s), name))) return 1;
    }
    return 0;
}

static columns choose_columns(const report *rep, const records *all)
{
    columns c = {0};
    for (size_t i = 0; i < rep->count; i++) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)records_find(all, rep->row[i].cell, 0), key, value)
        {
            size_t at = 0;
            while (at < c.count && strcmp(c.name[at], key) != 0) at++;
            if (at == c.count && at < COLUMNS_MAX / 2 && (json_is_number(value) || json_is_string(value)) &&
                varies(rep, all, key))
                c.name[c.count++] = key;
        }
    }
    c.members = c.count;
    for (size_t m = 0; m < rep->task->metric_count && c.count < COLUMNS_MAX; m++) {
        if (rep->task->metric[m].detail) continue;
        c.metric[c.count] = &rep->task->metric[m];
        c.name[c.count++] = rep->task->metric[m].name;
    }
    return c;
}

/* ---- Values ---- */

/* A text that is cut ends with a mark, behind a whole UTF-8 character. */
static void put_text(FILE *out, const char *text)
{
    char cut[TEXT_SHOWN + 4];
    size_t size = strlen(text);
    if (size <= TEXT_SHOWN) {
        text_json(out, text);
        return;
    }
    size = TEXT_SHOWN;
    while (size && ((unsigned char)text[size] & 0xc0) == 0x80) size--;
    snprintf(cut, sizeof cut, "%.*s\xe2\x80\xa6", (int)size, text);
    text_json(out, cut);
}

/* Six digits are more than any table shows. */
static void put_number(FILE *out, double value)
{
    if (!isfinite(value))
        fputs("null", out);
    else
        fprintf(out, value == floor(value) && fabs(value) < 1e15 ? "%.0f" : "%.6g", value);
}

static void put_sample(FILE *out, const columns *c, const result_cell *cell, const json_t *record, int64_t index)
{
    fprintf(out, "[%lld", (long long)index);
    for (size_t i = 0; i < c->count; i++) {
        const json_t *value = i < c->members ? json_object_get(record, c->name[i]) : NULL;
        fputc(',', out);
        if (i >= c->members)
            put_number(out, record_metric(c->metric[i], &cell->sample[index]));
        else if (json_is_string(value))
            put_text(out, json_string_value(value));
        else
            put_number(out, json_is_number(value) ? json_number_value(value) : NAN);
    }
    fputc(']', out);
}

/* ---- The block ---- */

static void put_cell(FILE *out, const report *rep, const report_row *row, const records *all, const columns *c,
                     int64_t most)
{
    const int64_t n = row->n < most ? row->n : most;
    char *show = again_text(again_show, rep->task, row->cell);
    fputs("{\"show\":", out);
    text_json(out, show ? show : "");
    free(show);
    fprintf(out, ",\"left\":%lld,\"samples\":[", (long long)(row->n - n));
    for (int64_t i = 0; i < n; i++) {
        if (i) fputs(",\n", out);
        put_sample(out, c, row->cell, records_find(all, row->cell, i), i);
    }
    fputs("]}", out);
}

/* In new memory; NULL without any. most: samples of each cell. */
static char *make_block(const report *rep, const records *all, const columns *c, int64_t most, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    if (!out) return NULL;
    fputs("{\"columns\":[", out);
    for (size_t i = 0; i < c->count; i++) {
        if (i) fputc(',', out);
        text_json(out, c->name[i]);
    }
    fputs("],\"cells\":[", out);
    for (size_t i = 0; i < rep->count; i++) {
        fputs(i ? ",\n" : "", out);
        put_cell(out, rep, &rep->row[i], all, c, most);
    }
    fputs("]}", out);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

/* The text as gzip, in base64, in new memory; NULL without any. */
static char *pack(const char *text, size_t size)
{
    z_stream z = {.next_in = (unsigned char *)text, .avail_in = (unsigned)size};
    enum { GZIP = 16 };
    if (size > UINT32_MAX / 2 || deflateInit2(&z, 9, Z_DEFLATED, GZIP + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    const size_t room = deflateBound(&z, size);
    unsigned char *packed = malloc(room), *out = malloc(room / 3 * 4 + 5);
    z.next_out = packed;
    z.avail_out = (unsigned)room;
    const int whole = packed && out && deflate(&z, Z_FINISH) == Z_STREAM_END;
    if (whole) EVP_EncodeBlock(out, packed, (int)z.total_out);
    deflateEnd(&z);
    free(packed);
    if (whole) return (char *)out;
    free(out);
    return NULL;
}

int html_samples(FILE *out, const report *rep, const records *all, pal_error *err)
{
    static const int64_t steps[] = {INT64_MAX, 200, 100, 50, 20, 10, 5, 2, 1};
    const columns c = choose_columns(rep, all);
    char *text = NULL;
    size_t size = 0;
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        free(text);
        char *block = make_block(rep, all, &c, steps[s], &size);
        text = block ? pack(block, size) : NULL;
        free(block);
        if (!text) return pal_fail(err, PAL_INTERNAL, "out of memory for the samples");
        if (strlen(text) <= BLOCK_LIMIT) break;
    }
    fprintf(out, "<script type=\"application/gzip\" id=\"samples-%s\">%s</script>\n", rep->task->name, text);
    free(text);
    return PAL_OK;
}
