/* Files of texts with summaries: any bytes. First byte: plain or gzip. Every record of a file that opens must be
 * readable, and hold a text and a summary. */
#include "tests/fuzz/fuzz.h"

#include "datasets/corpus/summary_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const name[] = {"a.jsonl", "a.jsonl.gz", "a.csv"};
    const unsigned mode = fuzz_byte(&data, &size);
    const char *path = fuzz_file(name[mode % 3], data, size);
    booksum_file *f;
    pal_error err = {0};
    const int code = booksum_file_open(&f, path, &err);
    fuzz_check(code, &err);
    if (code != PAL_OK) return 0;
    for (size_t i = 0; i < booksum_file_count(f); i++) {
        booksum_book book;
        const int read = booksum_file_read(f, i, &book, &err);
        fuzz_check(read, &err);
        FUZZ_ASSERT(read == PAL_OK);
        FUZZ_ASSERT(book.text.size > 0 && book.summaries > 0);
        FUZZ_ASSERT(booksum_file_bid(f, i) && booksum_file_id(f, i));
        booksum_book_free(&book);
    }
    booksum_file_close(f);
    return 0;
}
