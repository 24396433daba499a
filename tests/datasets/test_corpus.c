#include "tests/lib/corpus_fixture.h"

#include "datasets/corpus/packed_file.h"
#include "harness/base/utf8.h"

static void assert_refused(const char *name, const char *split, const char *words)
{
    corpus *c;
    assert_int_equal(corpus_open(&c, at(name), split, "test", &err), PAL_DATA);
    assert_null(c);
    assert_said(words);
}

/* A document read in pieces of at most `max` bytes, each of whole characters. */
static int read_document(const corpus *c, size_t index, size_t max, char **text, size_t *size)
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

static void assert_document(const corpus *c, size_t index, const char *name, const char *text)
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
static void assert_unreadable(const char *name, const char *words)
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

/* ---- Layouts ---- */

static void splits_of_a_pg19_folder(void **state)
{
    (void)state;
    put_text("metadata.csv", "10,Title,1850,http://x\n");
    put_text("train/10.txt", "ten");
    put_text("train/9.txt.gz", "nine");
    put_text("train/.hidden", "none of the corpus");
    put_text("test/b-c.txt", "b-c");
    put_text("test/b.txt", "b");
    put_text("test/a.1.tex.gz", "a");
    corpus *c = open_corpus("", "train");
    assert_int_equal(corpus_count(c), 2);
    assert_document(c, 0, "10", "ten");
    assert_document(c, 1, "9", "nine");
    corpus_close(c);

    c = open_corpus("", "test");
    assert_int_equal(corpus_count(c), 3);
    assert_document(c, 0, "a.1", "a");
    assert_document(c, 1, "b", "b");
    assert_document(c, 2, "b-c", "b-c");
    corpus_close(c);
}

static void a_missing_split_lists_those_there_are(void **state)
{
    (void)state;
    put_text("train/a.txt", "a");
    put_text("test/a.txt", "a");
    put_text("other/a.txt", "a");
    assert_refused("", "validation", "no split 'validation'; there are: train, test");
    assert_refused("", "all", "there are: train, test");
    assert_refused("", "other", "there are: train, test");
    put_text("file.txt", "a");
    assert_refused("file.txt", "test", "no split 'test'; there is only: all");
    assert_refused("other", "test", "no split 'test'; there is only: all");
}

static void a_folder_of_texts(void **state)
{
    (void)state;
    put_text("d/z.txt", "last");
    put_text("d/a.tex", "first");
    put_text("d/m", "middle");
    corpus *c = open_corpus("d", "all");
    assert_int_equal(corpus_count(c), 3);
    assert_document(c, 0, "a", "first");
    assert_document(c, 1, "m", "middle");
    assert_document(c, 2, "z", "last");
    corpus_close(c);
}

static void one_text_file(void **state)
{
    (void)state;
    put_text("Moby Dick.txt.gz", "Call me Ishmael.");
    corpus *c = open_corpus("Moby Dick.txt.gz", "all");
    assert_int_equal(corpus_count(c), 1);
    assert_document(c, 0, "Moby Dick", "Call me Ishmael.");
    corpus_close(c);
}

static void folders_that_are_no_corpus(void **state)
{
    (void)state;
    assert_refused("nowhere", "all", "No such file or directory; a corpus is");
    assert_int_equal(os_make_dirs(at("empty"), &err), PAL_OK);
    assert_refused("empty", "all", "no document");
    assert_int_equal(os_make_dirs(at("pg19/test"), &err), PAL_OK);
    assert_refused("pg19", "test", "no document in split 'test'");
    put_text("nested/a.txt", "a");
    put_text("nested/more/b.txt", "b");
    assert_refused("nested", "all", "nested/more: a folder among the documents");
    put_text("lines/books.jsonl.gz", "{\"text\":\"a\"}\n");
    assert_refused("lines", "all", "books.jsonl.gz: JSON lines among the documents; name this file");
    put_text("twice/a.txt", "a");
    put_text("twice/a.txt.gz", "a");
    assert_refused("twice", "all", "both documents are named 'a'");
    put("hollow/a.txt", "", 0);
    assert_refused("hollow", "all", "hollow/a.txt: the document is empty");
}

/* An unset split is the layout's own: the usual one where there are splits, else everything. */
static void an_unset_split_is_the_layouts_own(void **state)
{
    (void)state;
    put_text("pg19/train/a.txt", "train");
    put_text("pg19/test/b.txt", "test");
    put_text("folder/c.txt", "all");
    put_text("lines.jsonl", "{\"text\":\"all\"}\n");
    static const struct {
        const char *name, *split, *text;
    } right[] = {{"pg19", "test", "test"}, {"folder", "all", "all"}, {"lines.jsonl", "all", "all"}};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        corpus *c = open_corpus(right[i].name, "");
        assert_string_equal(corpus_split(c), right[i].split);
        assert_document(c, 0, corpus_name(c, 0), right[i].text);
        corpus_close(c);
    }
    put_text("only/train/a.txt", "train");
    assert_refused("only", "", "no split 'test'; there are: train");
}

/* validation under its other names, as a folder and as a file of JSON lines, asked for by any of them. */
static void validation_has_other_names(void **state)
{
    (void)state;
    static const char *const file[] = {"validation/x.txt", "valid/x.txt.gz", "val/x.txt",       "dev/x.txt",
                                       "val.jsonl",        "valid.jsonl.gz", "validation.jsonl"},
                             *const asked[] = {"validation", "valid", "val", "dev"};
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        char name[40], path[80];
        snprintf(name, sizeof name, "c%zu", i);
        snprintf(path, sizeof path, "%s/%s", name, file[i]);
        put_text(path, strstr(file[i], "json") ? "{\"text\":\"held out\"}\n" : "held out");
        snprintf(path, sizeof path, "%s/test/x.txt", name);
        put_text(path, "test");
        for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
            corpus *c = open_corpus(name, asked[k]);
            assert_string_equal(corpus_split(c), "validation");
            assert_document(c, 0, corpus_name(c, 0), "held out");
            corpus_close(c);
        }
        assert_refused(name, "train", "there are: validation, test");
    }
}

static void names_that_are_not_utf8_are_refused_escaped(void **state)
{
    (void)state;
    put_text("latin/ok.txt", "a");
    put_text("latin/ol\xe9.txt", "a");
    assert_refused("latin", "all", "latin/ol\\xe9.txt: the file name is not UTF-8");
    put_text("deep/test/\xff.txt", "a");
    assert_refused("deep", "test", "deep/test/\\xff.txt: the file name is not UTF-8");
    put_text("\xe9.jsonl", "{\"text\":\"a\"}\n");
    assert_refused("\xe9.jsonl", "all", "\\xe9.jsonl: the path is not UTF-8");
    char line[700];
    snprintf(line, sizeof line, "{\"text\":\"a\",\"id\":\"%0300d\"}", 7);
    put_text("long.jsonl", line);
    assert_refused("long.jsonl", "all", "has 300 bytes; 255 is the most");
}

/* ---- JSON lines ---- */

static const char lines[] = "{\"id\":\"b\",\"text\":\"one\\ntwo é 𝕏 \\u00e9 \\ud83d\\ude00\"}\n"
                            "\n"
                            "{\"text\":\"no id\"}\r\n"
                            " \t\n"
                            "{\"text\":\"a number\",\"id\":77,\"other\":[1,2]}";

static void json_lines(void **state)
{
    (void)state;
    put_text("x.jsonl", lines);
    put_text("x.jsonl.gz", lines);
    for (int packed = 0; packed < 2; packed++) {
        corpus *c = open_corpus(packed ? "x.jsonl.gz" : "x.jsonl", "all");
        assert_int_equal(corpus_count(c), 3);
        assert_document(c, 2, "77", "a number"); /* out of order on purpose */
        assert_document(c, 0, "b", "one\ntwo é 𝕏 é 😀");
        assert_document(c, 1, "3", "no id");
        corpus_close(c);
    }
}

static void bad_json_lines_name_the_line(void **state)
{
    (void)state;
    put_text("a.jsonl", "{\"text\":\"x\"}\n\n{\"text\":\"x\"\n{\"text\":\"y\"}\n");
    assert_refused("a.jsonl", "all", "a.jsonl:3: not JSON");
    put_text("b.jsonl.gz", "{\"text\":\"x\"}\n{\"chapter\":\"x\"}\n");
    assert_refused("b.jsonl.gz", "all", "b.jsonl.gz:2: each line must be an object with a string \"text\"");
    put_text("c.jsonl", "[1]\n");
    assert_refused("c.jsonl", "all", "c.jsonl:1: each line");
    put_text("d.jsonl", "{\"text\":\"x\"}\n{\"text\":\"\"}\n");
    assert_refused("d.jsonl", "all", "d.jsonl:2: the document is empty");
    put_text("e.jsonl",
             "{\"text\":\"x\",\"id\":\"k\"}\n{\"text\":\"y\",\"id\":\"j\"}\n{\"text\":\"z\",\"id\":\"k\"}\n");
    assert_refused("e.jsonl", "all", "e.jsonl:3: id 'k' is also that of line 1");
    put_text("f.jsonl", "{\"text\":\"\\ud800\"}\n");
    assert_refused("f.jsonl", "all", "f.jsonl:1: not JSON");
    put_text("g.jsonl", "{\"text\":\"x\"}\n{\"text\":\"\xFF\"}\n");
    assert_refused("g.jsonl", "all", "g.jsonl: byte offset 22: not UTF-8");
    put_text("h.jsonl", "\n\n");
    assert_refused("h.jsonl", "all", "no document");
}

/* Lines longer than the reader's buffer, of sizes that put their ends everywhere in it. */
static void long_json_lines(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    char *file = NULL, *read;
    size_t size, got;
    FILE *out = open_memstream(&file, &size);
    for (int i = 0; i < COUNT; i++) {
        fprintf(out, "{\"id\":%d,\"text\":\"", i);
        for (int k = 0; k < 1 + i * 9973; k++) fputs(k % 7 ? "x" : "é", out);
        fputs("\"}\n", out);
    }
    fclose(out);
    put("x.jsonl.gz", file, size);
    free(file);
    corpus *c = open_corpus("x.jsonl.gz", "all");
    assert_int_equal(corpus_count(c), COUNT);
    for (size_t i = 0; i < COUNT; i += 13) {
        const size_t characters = 1 + i * 9973;
        assert_int_equal(atoi(corpus_name(c, i)), i);
        assert_int_equal(read_document(c, i, 5000, &read, &got), PAL_OK);
        assert_int_equal(got, characters + (characters + 6) / 7);
        free(read);
    }
    corpus_close(c);
}

static void a_file_that_shrank_is_noticed(void **state)
{
    (void)state;
    put_text("x.jsonl", "{\"text\":\"first\"}\n{\"text\":\"second\"}\n");
    corpus *c = open_corpus("x.jsonl", "all");
    put_text("x.jsonl", "{\"text\":\"first\"}\n{\"text\"");
    document *d;
    assert_int_equal(document_open(c, 1, &d, &err), PAL_DATA);
    assert_null(d);
    assert_said("x.jsonl:2: the file was cut");
    corpus_close(c);
}

/* Documents read once each cost one pass in any layout, packed or plain; at random places at most about a MiB. */
static void json_lines_are_read_in_linear_time(void **state)
{
    (void)state;
    double work[2][2];
    for (int packed = 0; packed < 2; packed++)
        for (int twice = 0; twice < 2; twice++) {
            const size_t count = twice ? 8000 : 4000;
            char *text = NULL, *read;
            size_t size, got;
            FILE *out = open_memstream(&text, &size);
            for (size_t i = 0; i < count; i++) fprintf(out, "{\"text\":\"%zu %0300zu\"}\n", i, i * i);
            fclose(out);
            put(packed ? "n.jsonl.gz" : "n.jsonl", text, size);
            free(text);
            corpus *c = open_corpus(packed ? "n.jsonl.gz" : "n.jsonl", "");
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(read_document(c, i, 1000, &read, &got), PAL_OK);
                assert_int_equal(atoi(read), i);
                free(read);
            }
            work[packed][twice] = (double)corpus_work(c);
            assert_true(work[packed][twice] < 4.5 * (double)size);
            corpus_close(c);
        }
    for (int packed = 0; packed < 2; packed++) assert_true(work[packed][1] < 2.2 * work[packed][0]);
}

static void random_places_of_a_packed_file_cost_little(void **state)
{
    (void)state;
    enum { COUNT = 20000, DRAWS = 50 };
    char *text = NULL, *read;
    size_t size, got;
    FILE *out = open_memstream(&text, &size);
    rng r = rng_make(9, "test/corpus", 0, 0);
    for (size_t i = 0; i < COUNT; i++) {
        fprintf(out, "{\"text\":\"%zu ", i);
        for (int k = 0; k < 100; k++) fprintf(out, "%08x", rng_u32(&r));
        fputs("\"}\n", out);
    }
    fclose(out);
    put("far.jsonl.gz", text, size);
    free(text);
    corpus *c = open_corpus("far.jsonl.gz", "");
    const uint64_t before = corpus_work(c);
    for (int k = 0; k < DRAWS; k++) {
        const size_t i = rng_below(&r, COUNT);
        assert_int_equal(read_document(c, i, 5000, &read, &got), PAL_OK);
        assert_int_equal(atoi(read), i);
        free(read);
    }
    assert_true(corpus_work(c) - before < (uint64_t)DRAWS * (3 << 20));
    corpus_close(c);
}

static void a_line_has_a_limit(void **state)
{
    (void)state;
    gzFile gz = gzopen(at("wide.jsonl.gz"), "wb1");
    char *block = malloc(1 << 20);
    memset(block, 'x', 1 << 20);
    gzputs(gz, "{\"text\":\"a\"}\n{\"text\":\"");
    for (int i = 0; i < 70; i++) gzwrite(gz, block, 1 << 20);
    gzputs(gz, "\"}\n");
    gzclose(gz);
    free(block);
    assert_refused("wide.jsonl.gz", "", "wide.jsonl.gz:2: the line is longer than 64 MiB");
}

/* ---- Texts ---- */

/* A byte order mark is no part of a text, of any file that is read; UTF-16 is refused. */
static void a_byte_order_mark_is_left_out(void **state)
{
    (void)state;
    char marked[HASH_HEX], plain[HASH_HEX];
    static const char *const name[] = {"m.txt", "m.txt.gz", "m.jsonl", "m.jsonl.gz"};
    for (size_t i = 0; i < 4; i++) {
        for (int mark = 0; mark < 2; mark++) {
            char text[100];
            snprintf(text, sizeof text, "%s%s", mark ? "\xEF\xBB\xBF" : "",
                     i < 2 ? "\xEF\xBB\xBFé" : "{\"id\":\"m\",\"text\":\"x\"}\n{\"text\":\"\xEF\xBB\xBFy\"}\n");
            if (i < 2 && !mark) memmove(text, text + 3, strlen(text) - 2); /* only the first mark is none of it */
            put_text(name[i], text);
            corpus *c = open_corpus(name[i], "");
            if (i >= 2) assert_document(c, 1, "2", "\xEF\xBB\xBFy");
            if (i >= 2) assert_document(c, 0, "m", "x");
            if (i < 2) assert_document(c, 0, "m", mark ? "\xEF\xBB\xBFé" : "é");
            assert_int_equal(corpus_digest(c, mark ? marked : plain, NULL, &err), PAL_OK);
            corpus_close(c);
        }
        if (i >= 2) assert_string_equal(marked, plain);
    }
    put("only.txt", "\xEF\xBB\xBF", 3);
    assert_unreadable("only.txt", "the document is empty");
    put("late.txt", "\xEF\xBB\xBFok\xFF", 6);
    assert_unreadable("late.txt", "byte offset 5: not UTF-8"); /* of the file */
    put("u16.txt", "\xFF\xFEh\0", 4);
    assert_unreadable("u16.txt", "is UTF-16");
    put("u16.txt.gz", "\xFE\xFF\0h", 4);
    assert_unreadable("u16.txt.gz", "is UTF-16");
    static const char *const tiny[] = {"a", "é", "ab", "abc", "abcd"};
    for (size_t i = 0; i < sizeof tiny / sizeof *tiny; i++) {
        put_text("tiny.txt", tiny[i]);
        corpus *c = open_corpus("tiny.txt", "");
        assert_document(c, 0, "tiny", tiny[i]);
        corpus_close(c);
    }
}

/* Line ends and markers are found wherever a text is cut into pieces. */
static void a_scan_does_not_hang_on_pieces(void **state)
{
    (void)state;
    static const char text[] = "a\r\nb\r\r\n<|endoftext|><|end<|endoftext|>\n\r<|endoftext|\r\n><|pad|>x<|pad|>\r";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        text_scan scan = {0};
        char note[200];
        assert_int_equal(text_scan_mark(&scan, "<|endoftext|>", 13), 1);
        assert_int_equal(text_scan_mark(&scan, "<|pad|>", 7), 1);
        assert_int_equal(text_scan_mark(&scan, "", 0), 0);
        text_scan_start(&scan);
        for (size_t i = 0; i < sizeof text - 1; i += piece)
            text_scan_feed(&scan, text + i, sizeof text - 1 - i < piece ? sizeof text - 1 - i : piece);
        text_scan_start(&scan);
        text_scan_feed(&scan, "\n", 1); /* another text: no pair with the \r before */
        assert_int_equal(scan.crlf, 3);
        assert_int_equal(scan.marked, 4);
        assert_int_equal(text_scan_note(&scan, "t", 0, note, sizeof note), 1);
        assert_string_equal(note, "t: lines that end with CR LF: 3; both characters are scored");
        assert_int_equal(text_scan_note(&scan, "t", 1, note, sizeof note), 1);
        assert_non_null(strstr(note, "such as <|endoftext|>: 4;"));
        assert_int_equal(text_scan_note(&scan, "t", 2, note, sizeof note), 0);
    }
}

static void pieces_of_any_size_make_the_same_text(void **state)
{
    (void)state;
    size_t size, got;
    char *text = random_text(60000, 1, &size), *read;
    put("t/plain.txt", text, size);
    put("t/packed.txt.gz", text, size);
    char *line = malloc(6 * size + 64);
    size_t used = (size_t)sprintf(line, "{\"text\":\"");
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < ' ')
            used += (size_t)sprintf(line + used, "\\u%04x", text[i]);
        else
            line[used++] = text[i];
    }
    strcpy(line + used, "\"}");
    put_text("t.jsonl", line);
    free(line);
    static const size_t pieces[] = {4, 5, 6, 7, 13, 1000, 65536, 1 << 20};
    corpus *folder = open_corpus("t", "all"), *json = open_corpus("t.jsonl", "all");
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++)
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(read_document(i < 2 ? folder : json, i % 2, pieces[p], &read, &got), PAL_OK);
            assert_int_equal(got, size);
            assert_memory_equal(read, text, size);
            free(read);
        }
    corpus_close(folder);
    corpus_close(json);
    free(text);
}

/* A decoder of the textbook kind: value first, then its rules. */
static int naive_character(const unsigned char *s, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const int count = s[0] < 0x80             ? 1
                      : (s[0] & 0xE0) == 0xC0 ? 2
                      : (s[0] & 0xF0) == 0xE0 ? 3
                      : (s[0] & 0xF8) == 0xF0 ? 4
                                              : 0;
    if (count == 0 || (size_t)count > size) return 0;
    uint32_t value = count == 1 ? s[0] : s[0] & (0x7Fu >> count);
    for (int i = 1; i < count; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
        value = value << 6 | (s[i] & 0x3F);
    }
    return value >= least[count] && value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF) ? count : 0;
}

/* All strings of two bytes and many of four, in a text that ends with letters. */
static void validity_agrees_with_a_naive_decoder(void **state)
{
    (void)state;
    rng r = rng_make(2, "test/corpus", 0, 0);
    for (uint32_t i = 0; i < 65536 * 6; i++) {
        static const unsigned char edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
        unsigned char s[16] = "....wxyz01234";
        s[0] = (unsigned char)(i >> 8);
        s[1] = (unsigned char)i;
        s[2] = edges[rng_below(&r, sizeof edges)];
        s[3] = edges[rng_below(&r, sizeof edges)];
        size_t good = 0;
        int count;
        while (good < 13 && (count = naive_character(s + good, 13 - good)) > 0) good += (size_t)count;
        int broken;
        assert_int_equal(utf8_valid((const char *)s, 13, &broken), good);
        assert_int_equal(broken, good < 13);
    }
}

static void every_cut_of_a_character_is_its_beginning(void **state)
{
    (void)state;
    static const char *const characters[] = {"é", "\xE0\xA0\x80", "…", "\xED\x9F\xBF", "𝕏", "\xF4\x8F\xBF\xBF"};
    for (size_t i = 0; i < sizeof characters / sizeof *characters; i++)
        for (size_t size = 1; size < strlen(characters[i]); size++) {
            int broken;
            assert_int_equal(utf8_valid(characters[i], size, &broken), 0);
            assert_false(broken);
        }
}

static void what_is_not_utf8_is_named_with_its_offset(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xFF",
                                      "\x80",
                                      "\xC0\xAF",
                                      "\xC3(",
                                      "\xE0\x80\xAF",
                                      "\xED\xA0\x80",
                                      "\xF0\x80\x80\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80"};
    static const size_t offsets[] = {0, 1, 4094, 4095, 4096, 10000}; /* around the pieces of assert_unreadable */
    char *text = malloc(20000);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t k = 0; k < sizeof offsets / sizeof *offsets; k++) {
            const size_t size = strlen(bad[i]);
            char words[64];
            memset(text, 'x', 20000);
            memcpy(text + offsets[k], bad[i], size);
            put("bad.txt", text, offsets[k] + size + 5000);
            snprintf(words, sizeof words, "byte offset %zu: not UTF-8", offsets[k]);
            assert_unreadable("bad.txt", words);
        }
    put("cut.txt.gz", text, 20000);
    memset(text, 'x', 20000);
    memcpy(text + 9998, "\xE2\x80", 2);
    put("cut.txt.gz", text, 10000);
    assert_unreadable("cut.txt.gz", "byte offset 9998: the file ends within a character");
    put("short.txt", "\xE2\x80", 2);
    assert_unreadable("short.txt", "byte offset 0: the file ends within a character");
    free(text);
}

static void broken_gzip_is_noticed(void **state)
{
    (void)state;
    size_t size, packed_size;
    char *text = random_text(100000, 3, &size), *packed;
    put("x.txt.gz", text, size);
    assert_int_equal(os_read_file(at("x.txt.gz"), &packed, &packed_size, &err), PAL_OK);

    for (size_t cut = 1; cut <= packed_size / 2; cut += packed_size / 7) { /* 1: only the checksum suffers */
        put_raw(at("cut.txt.gz"), packed, packed_size - cut);
        assert_unreadable("cut.txt.gz", "gzip stream is cut short");
    }
    packed[packed_size / 2] ^= 0x55;
    put_raw(at("bad.txt.gz"), packed, packed_size);
    assert_unreadable("bad.txt.gz", "bad.txt.gz: ");
    free(packed);

    put_raw(at("plain.txt.gz"), text, size);
    assert_unreadable("plain.txt.gz", "is not gzip, though named so");
    put("void.txt.gz", "", 0);
    assert_unreadable("void.txt.gz", "the document is empty");
    free(text);
}

/* Four members, as many tools write them: every bit counts, and every byte behind them. */
static void every_byte_of_a_packed_file_counts(void **state)
{
    (void)state;
    static const char *const part[] = {"{\"text\":\"one\"}\n", "{\"text\":\"two\"}\n", "{\"text\":\"three\"}\n",
                                       "{\"text\":\"four\"}\n"};
    char all[200] = "", *packed;
    size_t size, border[5] = {0};
    for (size_t i = 0; i < 4; i++) {
        gzFile gz = gzopen(at("four.jsonl.gz"), i ? "ab" : "wb");
        gzputs(gz, part[i]);
        gzclose(gz);
        strcat(all, part[i]);
        assert_int_equal(os_read_file(at("four.jsonl.gz"), &packed, &size, &err), PAL_OK);
        border[i + 1] = size;
        if (i < 3) free(packed);
    }
    corpus *c = open_corpus("four.jsonl.gz", "");
    assert_int_equal(corpus_count(c), 4);
    assert_document(c, 3, "4", "four");
    assert_document(c, 1, "2", "two");
    corpus_close(c);
    size_t refused = 0;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        packed_file *f = NULL;
        char text[400];
        size_t used = 0, got = 1;
        packed[bit / 8] ^= (char)(1 << bit % 8);
        put_raw(at("flip.gz"), packed, size);
        packed[bit / 8] ^= (char)(1 << bit % 8);
        int code = packed_open(&f, at("flip.gz"), PACKED_FORWARD, &err);
        while (code == PAL_OK && got > 0) {
            code = packed_read(f, text + used, sizeof text - used, &got, &err);
            used += got;
        }
        packed_close(f);
        refused += code == PAL_DATA;
        if (code != PAL_DATA) { /* a time stamp or the like */
            assert_int_equal(code, PAL_OK);
            assert_int_equal(used, strlen(all));
            assert_memory_equal(text, all, used);
        } else {
            assert_said("flip.gz: ");
        }
    }
    assert_true(refused > 6 * size);
    for (size_t cut = 2; cut < size; cut++) {
        corpus *cutted;
        put_raw(at("cut.jsonl.gz"), packed, cut);
        const int whole = cut == border[1] || cut == border[2] || cut == border[3];
        assert_int_equal(corpus_open(&cutted, at("cut.jsonl.gz"), "", "test", &err), whole ? PAL_OK : PAL_DATA);
        corpus_close(cutted);
    }
    char *longer = malloc(size + 1);
    memcpy(longer, packed, size);
    for (int byte = 0; byte < 256; byte++) {
        longer[size] = (char)byte;
        put_raw(at("more.jsonl.gz"), longer, size + 1);
        assert_refused("more.jsonl.gz", "", "followed by something that is no gzip at byte");
    }
    free(longer);
    free(packed);
}

/* ---- Lists ---- */

static int note_path(void *arg, corpus *c, const char *path, pal_error *error)
{
    char *seen = arg;
    (void)error;
    snprintf(seen + strlen(seen), 300 - strlen(seen), "%s:%zu ", strrchr(path, '/') + 1, corpus_count(c));
    corpus_close(c);
    return PAL_OK;
}

static int refuse(void *arg, corpus *c, const char *path, pal_error *error)
{
    (void)arg, (void)path;
    corpus_close(c);
    return pal_fail(error, PAL_INTERNAL, "refused");
}

static void a_list_opens_each_in_turn(void **state)
{
    (void)state;
    char list[600], seen[300] = "";
    put_text("one/a.txt", "abc");
    put_text("two/a.txt", "abc");
    put_text("two/b.txt", "abc");
    snprintf(list, sizeof list, "%s, %s", at("two"), at("one"));
    assert_int_equal(corpus_open_list(list, "all", "test", note_path, seen, &err), PAL_OK);
    assert_string_equal(seen, "two:2 one:1 ");
    assert_int_equal(corpus_open_list(list, "all", "test", refuse, NULL, &err), PAL_INTERNAL);
    static const char *const bad[] = {"", "%s,", ",%s", "%s,,%s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(list, sizeof list, bad[i], at("one"), at("one"));
        assert_int_equal(corpus_open_list(list, "all", "test", note_path, seen, &err), PAL_USAGE);
        assert_non_null(strstr(err.text, "empty name"));
    }
    assert_int_equal(corpus_open_list("no-such-corpus", "all", "test", note_path, seen, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, CORPUS_TEXTS "/no-such-corpus"));
}

/* ---- Digest ---- */

static void digest_of(const char *name, const char *split, char hex[HASH_HEX])
{
    corpus *c = open_corpus(name, split);
    assert_int_equal(corpus_digest(c, hex, NULL, &err), PAL_OK);
    corpus_close(c);
}

static void digest_knows_texts_and_names(void **state)
{
    (void)state;
    char plain[HASH_HEX], other[HASH_HEX], expected[HASH_HEX], list[300];
    put_text("p/a.txt", "abc");
    put_text("p/b.txt", "defg");
    digest_of("p", "all", plain);
    hash_hex("abc", 3, expected);
    snprintf(list, sizeof list, "%s  a\n", expected);
    hash_hex("defg", 4, expected);
    snprintf(list + strlen(list), sizeof list - strlen(list), "%s  b\n", expected);
    hash_hex(list, strlen(list), expected);
    assert_string_equal(plain, expected);

    put_text("gz/test/a.txt.gz", "abc");
    put_text("gz/test/b.tex.gz", "defg");
    digest_of("gz", "test", other);
    assert_string_equal(plain, other);
    put_text("x.jsonl", "{\"id\":\"a\",\"text\":\"abc\"}\n{\"id\":\"b\",\"text\":\"defg\"}\n");
    digest_of("x.jsonl", "all", other);
    assert_string_equal(plain, other);

    put_text("p/b.txt", "defG");
    digest_of("p", "all", other);
    assert_string_not_equal(plain, other);
    put_text("named/a.txt", "abc");
    put_text("named/c.txt", "defg");
    digest_of("named", "all", other);
    assert_string_not_equal(plain, other);
    put_text("moved/a.txt", "abcd"); /* the same bytes in all */
    put_text("moved/b.txt", "efg");
    digest_of("moved", "all", other);
    assert_string_not_equal(plain, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(splits_of_a_pg19_folder),
        WITH_DIR(a_missing_split_lists_those_there_are),
        WITH_DIR(a_folder_of_texts),
        WITH_DIR(one_text_file),
        WITH_DIR(folders_that_are_no_corpus),
        WITH_DIR(json_lines),
        WITH_DIR(bad_json_lines_name_the_line),
        WITH_DIR(long_json_lines),
        WITH_DIR(a_file_that_shrank_is_noticed),
        WITH_DIR(pieces_of_any_size_make_the_same_text),
        cmocka_unit_test(validity_agrees_with_a_naive_decoder),
        cmocka_unit_test(every_cut_of_a_character_is_its_beginning),
        WITH_DIR(what_is_not_utf8_is_named_with_its_offset),
        WITH_DIR(broken_gzip_is_noticed),
        WITH_DIR(an_unset_split_is_the_layouts_own),
        WITH_DIR(validation_has_other_names),
        WITH_DIR(names_that_are_not_utf8_are_refused_escaped),
        WITH_DIR(json_lines_are_read_in_linear_time),
        WITH_DIR(random_places_of_a_packed_file_cost_little),
        WITH_DIR(a_line_has_a_limit),
        WITH_DIR(a_byte_order_mark_is_left_out),
        cmocka_unit_test(a_scan_does_not_hang_on_pieces),
        WITH_DIR(every_byte_of_a_packed_file_counts),
        WITH_DIR(a_list_opens_each_in_turn),
        WITH_DIR(digest_knows_texts_and_names),
    };
    return cmocka_run_group_tests_name("corpus", tests, NULL, NULL);
}
