/* Corpora: any bytes in every layout, plain or gzip. First byte: the layout, and whether the input is packed
 * first. What opens must have a digest or say why not, and the same text whatever the size of the pieces it is
 * read in. */
#include "tests/fuzz/fuzz.h"

#include "datasets/corpus/corpus.h"

#include <zlib.h>

enum { MOST = 1 << 16, DOCUMENTS = 4 };

static const char *const name[] = {"a.txt",      "b.jsonl",      "c.txt.gz",
                                   "d.jsonl.gz", "folder/e.txt", "folder/e.txt.gz"};
enum { NAMES = sizeof name / sizeof *name };

static const char *pack(const char *file, const uint8_t *data, size_t size)
{
    uint8_t *out = malloc(size + 1024);
    z_stream z = {.next_in = (uint8_t *)data,
                  .avail_in = (unsigned)size,
                  .next_out = out,
                  .avail_out = (unsigned)size + 1024};
    if (!out || deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) abort();
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) abort();
    const char *path = fuzz_file(file, out, z.total_out);
    deflateEnd(&z);
    free(out);
    return path;
}

/* Bytes read, and a sum that depends on their order; `code` tells how it ended. */
static uint64_t read_all(const corpus *c, size_t index, size_t step, int *code)
{
    char text[4096];
    document *d;
    pal_error err = {0};
    uint64_t sum = 1469598103934665603u;
    *code = document_open(c, index, &d, &err);
    fuzz_check(*code, &err);
    if (*code != PAL_OK) return sum;
    for (size_t got = 1, all = 0; got && all < MOST; all += got) {
        *code = document_read(d, text, step, &got, &err);
        fuzz_check(*code, &err);
        if (*code != PAL_OK) break;
        FUZZ_ASSERT(got <= step);
        for (size_t i = 0; i < got; i++) sum = (sum ^ (uint8_t)text[i]) * 1099511628211u;
    }
    document_close(d);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned mode = fuzz_byte(&data, &size);
    const char *file = name[mode % NAMES];
    static int made;
    if (!made) made = mkdir(fuzz_path("folder"), 0777) == 0;
    const size_t length = strlen(file);
    const int packed = mode / NAMES % 2 && strcmp(file + length - 3, ".gz") == 0;
    const char *path = packed ? pack(file, data, size) : fuzz_file(file, data, size), *whole = path;
    if (strncmp(file, "folder/", 7) == 0) whole = fuzz_path("folder");
    corpus *c;
    pal_error err = {0};
    char digest[HASH_HEX];
    text_scan scan = {0};
    text_scan_mark(&scan, "<|endoftext|>", 13);
    int code = corpus_open(&c, whole, SPLIT_ALL, SPLIT_ALL, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK) {
        const int digested = corpus_digest(c, digest, &scan, &err);
        fuzz_check(digested, &err);
        for (size_t i = 0; i < corpus_count(c) && i < DOCUMENTS; i++) {
            int one, other;
            const uint64_t a = read_all(c, i, 4096, &one), b = read_all(c, i, 7, &other);
            FUZZ_ASSERT(one == other && (one != PAL_OK || a == b));
            FUZZ_ASSERT(digested != PAL_OK || one == PAL_OK);
        }
        corpus_close(c);
    }
    unlink(path);
    return 0;
}
