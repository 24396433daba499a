/* What documents hold: JSON lines, texts of every encoding, packed files, and what is refused in them. */
#include "tests/lib/corpus_fixture.h"

#include "datasets/corpus/packed_file.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(json_lines),
        WITH_DIR(bad_json_lines_name_the_line),
        WITH_DIR(long_json_lines),
        WITH_DIR(a_file_that_shrank_is_noticed),
        WITH_DIR(pieces_of_any_size_make_the_same_text),
        cmocka_unit_test(validity_agrees_with_a_naive_decoder),
        cmocka_unit_test(every_cut_of_a_character_is_its_beginning),
        WITH_DIR(what_is_not_utf8_is_named_with_its_offset),
        WITH_DIR(broken_gzip_is_noticed),
        WITH_DIR(json_lines_are_read_in_linear_time),
        WITH_DIR(random_places_of_a_packed_file_cost_little),
        WITH_DIR(a_line_has_a_limit),
        WITH_DIR(a_byte_order_mark_is_left_out),
        cmocka_unit_test(a_scan_does_not_hang_on_pieces),
        WITH_DIR(every_byte_of_a_packed_file_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
