/* Compresses documents in this process, by the libraries behind xz, bzip2 and gzip. Only sizes are kept.
 * A document's text is made of its scored tokens, once for all three. */
#include "tasks/perplexity/compressors.h"

#include "tasks/perplexity/run.h"

#include <bzlib.h>
#include <lzma.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { CHUNK = 1 << 16, TOKENS = 4096 };

static const task_row rows[COMPRESSORS] = {
    [COMPRESSOR_XZ] = {"xz -9e", "compressor xz -9e\n", 64 << 20},
    [COMPRESSOR_BZIP2] = {"bzip2 -9", "compressor bzip2 -9\n", 900000},
    [COMPRESSOR_GZIP] = {"gzip -9", "compressor gzip -9\n", 32768},
};

/* ---- Sizes ---- */

static int failed(compressor c, int status, pal_error *err)
{
    return pal_fail(err, PAL_INTERNAL, "%s: the library gave status %d; most likely there is too little memory",
                    rows[c].name, status);
}

static int xz_size(const char *text, size_t size, uint64_t *compressed, pal_error *err)
{
    uint8_t out[CHUNK];
    lzma_stream s = LZMA_STREAM_INIT;
    lzma_ret status = lzma_easy_encoder(&s, 9 | LZMA_PRESET_EXTREME, LZMA_CHECK_CRC64);
    s.next_in = (const uint8_t *)text;
    s.avail_in = size;
    while (status == LZMA_OK) {
        s.next_out = out;
        s.avail_out = sizeof out;
        status = lzma_code(&s, LZMA_FINISH);
    }
    *compressed = s.total_out;
    lzma_end(&s);
    return status == LZMA_STREAM_END ? PAL_OK : failed(COMPRESSOR_XZ, (int)status, err);
}

/* bzlib and zlib count input in unsigned int: hand on the next piece. Returns its size. */
static unsigned next_piece(const char *text, size_t size, size_t *at, const char **piece)
{
    const size_t left = size - *at, count = left < 1 << 30 ? left : 1 << 30;
    *piece = text + *at;
    *at += count;
    return (unsigned)count;
}

static int bzip2_size(const char *text, size_t size, uint64_t *compressed, pal_error *err)
{
    char out[CHUNK];
    bz_stream s = {0};
    size_t at = 0;
    const char *piece;
    int status = BZ2_bzCompressInit(&s, 9, 0, 0);
    if (status != BZ_OK) return failed(COMPRESSOR_BZIP2, status, err);
    for (status = BZ_RUN_OK; status == BZ_RUN_OK || status == BZ_FINISH_OK;) {
        if (s.avail_in == 0 && at < size) {
            s.avail_in = next_piece(text, size, &at, &piece);
            s.next_in = (char *)piece;
        }
        s.next_out = out;
        s.avail_out = sizeof out;
        status = BZ2_bzCompress(&s, at < size || s.avail_in ? BZ_RUN : BZ_FINISH);
    }
    *compressed = (uint64_t)s.total_out_hi32 << 32 | s.total_out_lo32;
    BZ2_bzCompressEnd(&s);
    return status == BZ_STREAM_END ? PAL_OK : failed(COMPRESSOR_BZIP2, status, err);
}

/* gzip's own format, 18 bytes longer than the deflated data. */
static int gzip_size(const char *text, size_t size, uint64_t *compressed, pal_error *err)
{
    Bytef out[CHUNK];
    z_stream s = {0};
    size_t at = 0;
    const char *piece;
    int status = deflateInit2(&s, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
    if (status != Z_OK) return failed(COMPRESSOR_GZIP, status, err);
    while (status == Z_OK) {
        if (s.avail_in == 0 && at < size) {
            s.avail_in = next_piece(text, size, &at, &piece);
            s.next_in = (Bytef *)piece;
        }
        s.next_out = out;
        s.avail_out = sizeof out;
        status = deflate(&s, at < size ? Z_NO_FLUSH : Z_FINISH);
    }
    *compressed = s.total_out;
    deflateEnd(&s);
    return status == Z_STREAM_END ? PAL_OK : failed(COMPRESSOR_GZIP, status, err);
}

int compressor_size(compressor c, const char *text, size_t size, uint64_t *compressed, pal_error *err)
{
    if (c == COMPRESSOR_XZ) return xz_size(text, size, compressed, err);
    return c == COMPRESSOR_BZIP2 ? bzip2_size(text, size, compressed, err)
                                 : gzip_size(text, size, compressed, err);
}

/* ---- Rows ---- */

/* The document that is being compressed. */
typedef struct compressor_rows {
    const perplexity_run *run;
    const task_cell *cell;
    int64_t index;       /* -1: none */
    task_sample *sample; /* at its end */
    char *text;          /* of the tokens that are scored */
    size_t size;
} compressor_rows;

static void drop_document(compressor_rows *w)
{
    if (w->sample) perplexity_close(w->sample);
    free(w->text);
    *w = (compressor_rows){.run = w->run, .cell = w->cell, .index = -1};
}

static int put_text(compressor_rows *w, FILE *out, pal_error *err)
{
    int32_t tokens[TOKENS];
    char text[PERPLEXITY_TOKEN];
    size_t got = 1;
    for (uint64_t at = 0; got > 0; at += got) {
        PAL_TRY(perplexity_read(w->sample, tokens, TOKENS, &got, err));
        for (size_t i = 0; i < got; i++) {
            if (at + i == 0) continue; /* the begin token */
            const size_t bytes = tokenizer_token_text(w->run->tokenizer, tokens[i], text, sizeof text);
            if (bytes > sizeof text) return pal_fail(err, PAL_DATA, "a token of %zu bytes is too long", bytes);
            fwrite(text, 1, bytes, out);
        }
    }
    return PAL_OK;
}

static int open_document(compressor_rows *w, int64_t index, pal_error *err)
{
    drop_document(w);
    PAL_TRY(perplexity_open((const task_run *)w->run, w->cell, index, &w->sample, err));
    FILE *out = open_memstream(&w->text, &w->size);
    if (!out) return pal_fail(err, PAL_INTERNAL, "out of memory for a document");
    int code = put_text(w, out, err);
    if (fclose(out) != 0 && code == PAL_OK) code = pal_fail(err, PAL_INTERNAL, "out of memory for a document");
    if (code == PAL_OK) w->index = index;
    return code;
}

static int rows_open(const task_run *run, task_rows **out, pal_error *err)
{
    compressor_rows *w = calloc(1, sizeof *w);
    if (!w) return pal_fail(err, PAL_INTERNAL, "out of memory for the compressors");
    w->run = (const perplexity_run *)run;
    w->index = -1;
    *out = (task_rows *)w;
    return PAL_OK;
}

static void rows_close(task_rows *handle)
{
    drop_document((compressor_rows *)handle);
    free(handle);
}

static int rows_list(task_rows *handle, const task_cell *cell, const task_row **list, size_t *count,
                     pal_error *err)
{
    compressor_rows *w = (compressor_rows *)handle;
    (void)err;
    drop_document(w);
    w->cell = cell;
    *list = rows;
    /* They compress whole documents, as streams are read. */
    *count = w->run->protocol.kind == PROTOCOL_STREAM ? COMPRESSORS : 0;
    return PAL_OK;
}

static int rows_score(task_rows *handle, size_t row, int64_t index, double *value, char *record,
                      size_t record_size, pal_error *err)
{
    compressor_rows *w = (compressor_rows *)handle;
    uint64_t size = 0;
    if (w->index != index) PAL_TRY(open_document(w, index, err));
    PAL_TRY(compressor_size((compressor)row, w->text, w->size, &size, err));
    const size_t count = (size_t)((const perplexity_sample *)w->sample)->piece->counts.tokens;
    double *nll = calloc(count + 1, sizeof *nll);
    if (!nll) return pal_fail(err, PAL_INTERNAL, "out of memory for a document");
    for (size_t i = 0; i < count; i++) nll[i] = (double)size * 8 * log(2) / (double)count;
    const task_output output = {.first = 1, .count = count, .nll = nll};
    perplexity_score(w->sample, &output, value, record, record_size);
    free(nll);
    return PAL_OK;
}

const task_references perplexity_references = {
    .open = rows_open, .list = rows_list, .score = rows_score, .close = rows_close};
