/* A temporary folder of small corpora for a test, and checks of what was said. */
#ifndef PAL_CORPUS_FIXTURE_H
#define PAL_CORPUS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/corpus/corpus.h"
#include "harness/base/os.h"
#include "harness/base/rng.h"
#include "harness/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static char dir[64];
static pal_error err;

static inline int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/palimpsest-corpus-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static inline int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    return system(command);
}

/* The path of `name` below the fixture's folder; four may be in use at once. */
static inline const char *at(const char *name)
{
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

/* Write a file as it is (without a wait for the disk, as os_write_file would). */
static inline void put_raw(const char *path, const char *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Write a file, packed when its name ends in .gz, and the folder it is in. */
static inline void put(const char *name, const char *text, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s", at(name));
    *strrchr(path, '/') = '\0';
    assert_int_equal(os_make_dirs(path, &err), PAL_OK);
    snprintf(path, sizeof path, "%s", at(name));
    if (strcmp(path + strlen(path) - 3, ".gz") != 0) {
        put_raw(path, text, size);
        return;
    }
    gzFile gz = gzopen(path, "wb");
    assert_non_null(gz);
    assert_int_equal(size ? gzwrite(gz, text, (unsigned)size) : 0, size);
    assert_int_equal(gzclose(gz), Z_OK);
}

static inline void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static inline corpus *open_corpus(const char *name, const char *split)
{
    corpus *c;
    if (corpus_open(&c, at(name), split, "test", &err) != PAL_OK) fail_msg("%s", err.text);
    return c;
}

static inline void assert_said(const char *words)
{
    if (!strstr(err.text, words)) fail_msg("expected '%s' in '%s'", words, err.text);
    assert_null(strchr(err.text, '\n'));
}

/* Opening it is refused with these words. */
static inline void assert_refused(const char *name, const char *split, const char *words)
{
    corpus *c;
    assert_int_equal(corpus_open(&c, at(name), split, "test", &err), PAL_DATA);
    assert_null(c);
    assert_said(words);
}

/* A document read in pieces of at most `max` bytes, each of whole characters. */
static inline int read_document(const corpus *c, size_t index, size_t max, char **text, size_t *size)
{
    document *d;
    *text = NULL;
    *size = 0;
    int code = document_open(c, index, &d, &err);
    size_t got = 1;
    while (code == PAL_OK && got > 0) {
        *text = realloc(*text, *size + max);
        assert_non_null(*text);
        code = document_read(d, *text + *size, max, &got, &err);
        assert_true(got <= max);
        if (code != PAL_OK) break;
        int broken;
        assert_int_equal(utf8_valid(*text + *size, got, &broken), got);
        *size += got;
    }
    document_close(d);
    return code;
}

static inline void assert_document(const corpus *c, size_t index, const char *name, const char *text)
{
    char *read;
    size_t size;
    assert_string_equal(corpus_name(c, index), name);
    assert_int_equal(read_document(c, index, 1000, &read, &size), PAL_OK);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(read, text, size);
    free(read);
}

/* Reading the only document fails with these words. */
static inline void assert_unreadable(const char *name, const char *words)
{
    corpus *c = open_corpus(name, "all");
    char *text, digest[HASH_HEX];
    size_t size;
    assert_int_equal(read_document(c, 0, 4096, &text, &size), PAL_DATA);
    free(text);
    assert_said(words);
    assert_said(at(name));
    assert_int_equal(corpus_digest(c, digest, NULL, &err), PAL_DATA);
    corpus_close(c);
}

/* Characters of 1 to 4 bytes and all kinds of white space; malloc'ed. */
static inline char *random_text(size_t characters, uint64_t seed, size_t *size)
{
    static const char *const alphabet[] = {"a",  "b", " ", "\n", "\t", "\r",      "\v",
                                           "\f", "é", "…", "𝕏",  "0",  "\xC2\xA0"};
    char *text = malloc(4 * characters + 1);
    assert_non_null(text);
    rng r = rng_make(seed, "test/corpus", 0, 0);
    size_t used = 0;
    for (size_t i = 0; i < characters; i++) {
        const char *c = alphabet[rng_below(&r, sizeof alphabet / sizeof *alphabet)];
        memcpy(text + used, c, strlen(c));
        used += strlen(c);
    }
    *size = used;
    text[used] = '\0';
    return text;
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

#endif
