#include "tasks/perplexity/compressors.h"

#include "harness/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

extern char **environ;

enum { CHUNK = 4096, TOKEN_ROOM = 4096, WORDS_MAX = 5 };

typedef struct compressor {
    const char *name;
    const char *words[WORDS_MAX]; /* none: zlib */
    uint64_t state;               /* how far back it can refer, bytes */
} compressor;

static const compressor table[] = {
    {"xz -9e", {"xz", "-9e", "-T1", "-c"}, 64 << 20},
    {"bzip2 -9", {"bzip2", "-9", "-c"}, 900000},
    {"gzip -9", {NULL}, 32768},
};

/* Run a program from one file to another, quietly. Returns its exit status, or -1 when it is not there. */
static int run_program(const char *const *words, int in, int out)
{
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t child;
    const int failed = posix_spawnp(&child, words[0], &files, NULL, (char *const *)words, environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed) return -1;
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Whether the compressor can be used here: it is tried on nothing. */
static int installed(const compressor *c)
{
    if (!c->words[0]) return 1;
    const int in = memfd_create("nothing", MFD_CLOEXEC), out = memfd_create("compressed", MFD_CLOEXEC);
    const int works = in >= 0 && out >= 0 && run_program(c->words, in, out) == 0;
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    return works;
}

/* ---- One document ---- */

/* The text of the tokens that are scored, into a memory file. */
static int write_text(const eval_request *r, const batch_item *item, task_sample *s, int fd, pal_error *err)
{
    int32_t tokens[CHUNK];
    char text[TOKEN_ROOM], *buffer = NULL;
    size_t got = 1, size = 0;
    int code = PAL_OK;
    FILE *out = open_memstream(&buffer, &size);
    if (!out) return pal_fail(err, PAL_INTERNAL, "out of memory for a document");
    for (uint64_t at = 0; code == PAL_OK && got > 0; at += got) {
        code = r->task->read(s, tokens, CHUNK, &got, err);
        for (size_t i = 0; code == PAL_OK && i < got; i++) {
            if (at + i < item->first) continue;
            const size_t bytes = tokenizer_token_text(r->tokenizer, tokens[i], text, sizeof text);
            if (bytes > sizeof text) code = pal_fail(err, PAL_DATA, "a token of %zu bytes is too long", bytes);
            if (code == PAL_OK) fwrite(text, 1, bytes, out);
        }
    }
    if (fclose(out) != 0 && code == PAL_OK) code = pal_fail(err, PAL_INTERNAL, "out of memory for a document");
    if (code == PAL_OK) code = os_write_all(fd, buffer, size, "a memory file", err);
    free(buffer);
    return code;
}

/* gzip's own format, 18 bytes longer than the deflated data. */
static int gzip_size(int fd, uint64_t *size, pal_error *err)
{
    Bytef in[CHUNK], out[CHUNK];
    z_stream z = {0};
    if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return pal_fail(err, PAL_INTERNAL, "zlib: out of memory");
    for (int flush = Z_NO_FLUSH; flush == Z_NO_FLUSH;) {
        const ssize_t got = read(fd, in, sizeof in);
        if (got < 0) break;
        flush = got == 0 ? Z_FINISH : Z_NO_FLUSH;
        z.next_in = in;
        z.avail_in = (uInt)got;
        do {
            z.next_out = out;
            z.avail_out = sizeof out;
            deflate(&z, flush);
        } while (z.avail_out == 0);
    }
    *size = z.total_out;
    deflateEnd(&z);
    return PAL_OK;
}

static int compressed_size(const compressor *c, int in, uint64_t *size, pal_error *err)
{
    struct stat is;
    if (lseek(in, 0, SEEK_SET) != 0) return pal_fail(err, PAL_INTERNAL, "memory file: %s", strerror(errno));
    if (!c->words[0]) return gzip_size(in, size, err);
    const int out = memfd_create("compressed", MFD_CLOEXEC);
    if (out < 0) return pal_fail(err, PAL_INTERNAL, "no memory file: %s", strerror(errno));
    const int status = run_program(c->words, in, out);
    const int failed = status != 0 || fstat(out, &is) != 0;
    close(out);
    if (failed) return pal_fail(err, PAL_INTERNAL, "%s failed with status %d", c->name, status);
    *size = (uint64_t)is.st_size;
    return PAL_OK;
}

static int score_size(const eval_request *r, const batch_item *item, const task_sample *s, uint64_t size,
                      batch_result *result, pal_error *err)
{
    const size_t count = (size_t)(item->tokens - item->first);
    double *nll = calloc(count + 1, sizeof *nll);
    int32_t *argmax = calloc(count + 1, sizeof *argmax);
    for (size_t i = 0; nll && i < count; i++) nll[i] = (double)size * 8 * log(2) / (double)count;
    const int there = nll && argmax;
    const task_output output = {.first = item->first, .count = count, .nll = nll, .argmax = argmax};
    if (there) r->task->score(s, &output, result->value, result->record, sizeof result->record);
    free(nll);
    free(argmax);
    return there ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for a document");
}

static int measure(const eval_request *r, const compressor *c, const batch_item *item, batch_result *result,
                   pal_error *err)
{
    task_sample *s = NULL;
    const double began = os_now();
    const int text = memfd_create("text", MFD_CLOEXEC);
    uint64_t size = 0;
    int code = text < 0 ? pal_fail(err, PAL_INTERNAL, "no memory file: %s", strerror(errno)) : PAL_OK;
    if (code == PAL_OK) code = r->task->open(r->run, item->cell, item->index, &s, err);
    if (code == PAL_OK) code = write_text(r, item, s, text, err);
    if (code == PAL_OK) code = compressed_size(c, text, &size, err);
    if (code == PAL_OK) code = score_size(r, item, s, size, result, err);
    result->seconds = os_now() - began;
    if (s) r->task->close(s);
    if (text >= 0) close(text);
    return code;
}

/* ---- Cells ---- */

static int describe(const eval_request *r, const compressor *c, const task_cell *cell, result_cell *out,
                    pal_error *err)
{
    char text[64];
    *out = (result_cell){.kind = RESULT_REFERENCE,
                         .extent = RESULT_DOCUMENTS,
                         .length = cell->length,
                         .depth = cell->depth,
                         .state_bytes = c->state};
    snprintf(out->model, sizeof out->model, "%s", c->name);
    const int size = snprintf(text, sizeof text, "compressor %s\n", c->name);
    hash_hex(text, (size_t)size, out->weights);
    snprintf(out->tokenizer, sizeof out->tokenizer, "%s", tokenizer_digest(r->tokenizer));
    memcpy(out->data, cell->data, sizeof out->data);
    memcpy(out->name, cell->name, sizeof out->name);
    snprintf(out->blas_core, sizeof out->blas_core, "%s", REFERENCES_CORE);
    PAL_TRY(eval_cell_settings(r, cell, 0, out->settings, sizeof out->settings, err));
    PAL_TRY(eval_request_words(r, 0, out->request, sizeof out->request, err));
    result_cell_identify(r->task, out);
    return PAL_OK;
}

static int run_cell(eval_request *r, const compressor *c, size_t index, results *held, journal *j, pal_error *err)
{
    const batch_item *item;
    const int64_t n = r->cell[index].samples;
    result_cell cell;
    PAL_TRY(eval_request_samples(r, index, &item, err));
    PAL_TRY(describe(r, c, &r->cell[index], &cell, err));
    const result_cell *known = results_find(held, cell.key);
    if (!known || !result_asked(known, n)) PAL_TRY(results_announce(held, j, &cell, n, err));
    for (int64_t i = 0; i < n; i++) {
        if (result_done(results_find(held, cell.key), i)) continue;
        batch_result result = {.seconds = 0};
        PAL_TRY(measure(r, c, &item[i], &result, err));
        result_sample sample = {.seconds = result.seconds,
                                .tokens = (int64_t)item[i].tokens,
                                .read = (double)item[i].tokens,
                                .threads = 1,
                                .batch = 1,
                                .held = c->state};
        memcpy(sample.value, result.value, sizeof sample.value);
        PAL_TRY(results_add(held, j, cell.key, i, &sample, result.record, err));
    }
    return PAL_OK;
}

int compressors_run(eval_request *r, results *held, journal *j, references_complete *complete, void *arg,
                    pal_error *err)
{
    for (size_t c = 0; c < sizeof table / sizeof *table; c++) {
        int usable = -1; /* not tried yet */
        for (size_t i = 0; i < r->cell_count; i++) {
            result_cell cell;
            if (r->cell[i].length != 0) continue;
            if (usable < 0) usable = installed(&table[c]);
            if (!usable) break;
            PAL_TRY(run_cell(r, &table[c], i, held, j, err));
            PAL_TRY(describe(r, &table[c], &r->cell[i], &cell, err));
            if (complete) complete(arg, results_find(held, cell.key), r->cell[i].samples);
        }
    }
    return PAL_OK;
}
