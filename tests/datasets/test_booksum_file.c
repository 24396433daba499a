/* Files of books with summaries: both layouts, plain and packed, and what is wrong with a line. */
#include "tests/lib/corpus_fixture.h"

#include "datasets/corpus/line_reader.h"
#include "datasets/corpus/summary_file.h"

static const char books[] =
    "{\"bid\":\"a\",\"title\":\"A\",\"text\":\"One day.\\nTwo "
    "days.\",\"summary\":[{\"source\":\"s\",\"text\":\"Days.\","
    "\"analysis\":null},{\"text\":\"Two of them.\"}]}\n"
    "\n"
    "{\"bid\":17,\"text\":\"\\u00e9t\\u00e9\",\"summary\":[{\"text\":\"summer\"}],\"more\":[1,2]}";
static const char chapters[] =
    "{\"bid\":\"x\",\"chapter_id\":\"x_1\",\"chapter\":\"first\",\"summary_text\":\"1\"}\n"
    "{\"bid\":\"x\",\"book_id\":\"x.2\",\"chapter\":\"second\",\"summary_text\":\"2\"}\n"
    "{\"bid\":\"x\",\"chapter\":\"third\",\"summary_text\":\"3\",\"summary\":{\"not\":\"looked at\"}}\n";

static booksum_file *opened(const char *name)
{
    booksum_file *f = NULL;
    if (booksum_file_open(&f, at(name), &err) != PAL_OK) fail_msg("%s", err.text);
    return f;
}

/* Books can be read in any order, as often as one likes. */
static void check_book(const booksum_file *f, size_t index, const char *bid, const char *id, const char *text,
                       const char *const *summary)
{
    booksum_book book;
    assert_string_equal(booksum_file_bid(f, index), bid);
    assert_string_equal(booksum_file_id(f, index), id);
    if (booksum_file_read(f, index, &book, &err) != PAL_OK) fail_msg("%s", err.text);
    assert_string_equal(book.text.text, text);
    assert_int_equal(book.text.size, strlen(text));
    for (size_t i = 0; i < book.summaries; i++) {
        assert_string_equal(book.summary[i].text, summary[i]);
        assert_int_equal(book.summary[i].size, strlen(summary[i]));
    }
    assert_null(summary[book.summaries]);
    booksum_book_free(&book);
}

static void test_books(void **state)
{
    (void)state;
    static const char *const first[] = {"Days.", "Two of them.", NULL}, *const second[] = {"summer", NULL};
    put_text("b.jsonl", books);
    put_text("b.jsonl.gz", books);
    char digest[HASH_HEX] = "";
    for (int packed = 0; packed < 2; packed++) {
        booksum_file *f = opened(packed ? "b.jsonl.gz" : "b.jsonl");
        assert_int_equal(booksum_file_count(f), 2);
        for (int again = 0; again < 2; again++) {
            check_book(f, 1, "17", "17", "été", second);
            check_book(f, 0, "a", "a", "One day.\nTwo days.", first);
        }
        if (packed) assert_string_equal(digest, booksum_file_digest(f));
        strcpy(digest, booksum_file_digest(f));
        booksum_file_close(f);
    }
}

static void test_chapters(void **state)
{
    (void)state;
    static const char *const id[] = {"x_1", "x.2", ""}, *const text[] = {"first", "second", "third"},
                             *const summary[] = {"1", NULL, "2", NULL, "3", NULL};
    put_text("c.jsonl.gz", chapters);
    booksum_file *f = opened("c.jsonl.gz");
    assert_int_equal(booksum_file_count(f), 3);
    for (size_t i = 3; i-- > 0;) check_book(f, i, "x", id[i], text[i], &summary[2 * i]);
    booksum_file_close(f);
}

/* Whatever a score can depend on changes the digest. */
static void test_digest(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"bid\":\"a\",\"text\":\"t\",\"summary\":[{\"text\":\"s\"}]}",
        "{\"bid\":\"b\",\"text\":\"t\",\"summary\":[{\"text\":\"s\"}]}",
        "{\"bid\":\"a\",\"text\":\"u\",\"summary\":[{\"text\":\"s\"}]}",
        "{\"bid\":\"a\",\"text\":\"t\",\"summary\":[{\"text\":\"r\"}]}",
        "{\"bid\":\"a\",\"text\":\"t\",\"summary\":[{\"text\":\"s\"},{\"text\":\"s\"}]}",
        "{\"bid\":\"a\",\"text\":\"t\",\"summary\":[{\"text\":\"s\"}]}\n"
        "{\"bid\":\"a\",\"text\":\"t\",\"summary\":[{\"text\":\"s\"}]}",
        "{\"bid\":\"a\",\"chapter\":\"t\",\"chapter_id\":\"c\",\"summary_text\":\"s\"}",
    };
    char digest[8][HASH_HEX];
    const size_t count = sizeof lines / sizeof *lines;
    for (size_t i = 0; i < count; i++) {
        put_text("d.jsonl", lines[i]);
        booksum_file *f = opened("d.jsonl");
        strcpy(digest[i], booksum_file_digest(f));
        for (size_t k = 0; k < i; k++) assert_string_not_equal(digest[i], digest[k]);
        booksum_file_close(f);
    }
}

/* A bad second line: the message has its place and what is wrong. */
static void test_errors(void **state)
{
    (void)state;
    static const char good[] = "{\"bid\":\"a\",\"text\":\"t\",\"summary\":[{\"text\":\"s\"}]}\n";
    static const struct {
        const char *line, *said;
    } bad[] = {
        {"{\"bid\":\"a\",\"text\":", "not JSON"},
        {"not json", "not JSON"},
        {"[1]", "object"},
        {"{\"text\":\"t\",\"summary\":[{\"text\":\"s\"}]}", "\"bid\""},
        {"{\"bid\":[],\"text\":\"t\",\"summary\":[{\"text\":\"s\"}]}", "\"bid\""},
        {"{\"bid\":\"a\",\"summary\":[{\"text\":\"s\"}]}", "neither"},
        {"{\"bid\":\"a\",\"text\":7,\"summary\":[{\"text\":\"s\"}]}", "\"text\" is no string"},
        {"{\"bid\":\"a\",\"text\":\"t\"}", "no list \"summary\""},
        {"{\"bid\":\"a\",\"text\":\"t\",\"summary\":\"s\"}", "no list \"summary\""},
        {"{\"bid\":\"a\",\"text\":\"t\",\"summary\":[{\"source\":\"s\"}]}", "no \"summary[0].text\""},
        {"{\"bid\":\"a\",\"text\":\"t\",\"summary\":[\"s\"]}", "no \"summary[0].text\""},
        {"{\"bid\":\"a\",\"chapter\":\"t\"}", "no \"summary_text\""},
        {"{\"bid\":\"a\",\"chapter\":[],\"summary_text\":\"s\"}", "\"chapter\" is no string"},
    };
    char text[400];
    booksum_file *f;
    for (size_t i = 0; i < 2 * sizeof bad / sizeof *bad; i++) {
        const char *name = i % 2 ? "bad.jsonl.gz" : "bad.jsonl";
        snprintf(text, sizeof text, "%s%s\n%s", good, bad[i / 2].line, good);
        put_text(name, text);
        assert_int_equal(booksum_file_open(&f, at(name), &err), PAL_DATA);
        assert_null(f);
        assert_said(bad[i / 2].said);
        snprintf(text, sizeof text, "%s:2: ", at(name));
        assert_said(text);
    }
    put_text("empty.jsonl", "\n \n");
    assert_int_equal(booksum_file_open(&f, at("empty.jsonl"), &err), PAL_DATA);
    assert_said("no line");
    assert_int_equal(booksum_file_open(&f, at("absent.jsonl"), &err), PAL_DATA);
    assert_said("absent.jsonl: cannot open");
    put("latin.jsonl", "{\"bid\":\"\xe9\"}\n", 12);
    assert_int_equal(booksum_file_open(&f, at("latin.jsonl"), &err), PAL_DATA);
    assert_said("not UTF-8");
}

/* Blank summaries and texts are left out, counted and said; what is left is as if they had never been there. */
static void test_blanks(void **state)
{
    (void)state;
    static const char *const summary[] = {"s", NULL}, *const other[] = {"2", NULL};
    char digest[HASH_HEX], note[200];
    put_text("clean.jsonl", "{\"bid\":\"a\",\"text\":\"t\",\"summary\":[{\"text\":\"s\"}]}\n"
                            "{\"bid\":\"x\",\"chapter\":\"c\",\"summary_text\":\"2\"}\n");
    put_text("blank.jsonl",
             "{\"bid\":\"a\",\"text\":\"t\",\"summary\":[{\"text\":\" \\n\"},{\"text\":\"s\"},{\"text\":null}]}\n"
             "{\"bid\":\"b\",\"text\":\" \",\"summary\":[{\"text\":\"s\"}]}\n"
             "{\"bid\":\"c\",\"text\":\"t\",\"summary\":[]}\n"
             "{\"bid\":\"x\",\"chapter\":\"c\",\"summary_text\":\"\"}\n"
             "{\"bid\":\"x\",\"chapter\":\"c\",\"summary_text\":\"2\"}\n");
    booksum_file *f = opened("clean.jsonl");
    strcpy(digest, booksum_file_digest(f));
    assert_int_equal(booksum_file_note(f, note, sizeof note), 0);
    booksum_file_close(f);
    f = opened("blank.jsonl");
    assert_int_equal(booksum_file_count(f), 2);
    assert_string_equal(booksum_file_digest(f), digest);
    check_book(f, 0, "a", "a", "t", summary);
    check_book(f, 1, "x", "", "c", other);
    assert_int_equal(booksum_file_note(f, note, sizeof note), 1);
    assert_string_equal(note, "blank summaries left out: 3; texts left out for it or as blank: 3 (first: line 1)");
    booksum_file_close(f);
    put_text("all.jsonl", "{\"bid\":\"x\",\"chapter\":\"c\",\"summary_text\":\" \"}\n");
    assert_int_equal(booksum_file_open(&f, at("all.jsonl"), &err), PAL_DATA);
    assert_said("all.jsonl: each of its 1 texts or their summaries are blank");
}

/* The columns of kmfoda/booksum, in its order; fields with commas, quotes and line ends. */
static const char csv_head[] =
    "bid,is_aggregate,source,chapter_path,summary_path,book_id,summary_id,content,summary,chapter,chapter_length,"
    "summary_name,summary_url,summary_text,summary_analysis,summary_length,analysis_length";

static void test_csv(void **state)
{
    (void)state;
    static const char *const first[] = {"It says \"no\",\ntwice.", NULL}, *const second[] = {"short", NULL};
    char text[2000], digest[HASH_HEX] = "";
    for (int form = 0; form < 4; form++) {
        const char *end = form % 2 ? "\r\n" : "\n", *name = form < 2 ? "c.csv" : "c.csv.gz";
        snprintf(text, sizeof text,
                 "%s%s%s27681,True,gradesaver,p,q,\"Book, The.1\",s,c,m,\"One, two.\n\nThree.\",12,n,u,"
                 "\"It says \"\"no\"\",\ntwice.\",,3.0,0%s27681,False,s,p,q,Book.2,s,c,m,été,3,n,u,short,,1,%s"
                 "9,False,s,p,q,Other.1,s,c,m,text,3,n,u,,,1,%s",
                 form ? "\xEF\xBB\xBF" : "", csv_head, end, end, end, form == 3 ? "" : end);
        put_text(name, text);
        booksum_file *f = opened(name);
        assert_int_equal(booksum_file_count(f), 2);
        check_book(f, 1, "27681", "Book.2", "été", second);
        check_book(f, 0, "27681", "Book, The.1", "One, two.\n\nThree.", first);
        char note[200];
        assert_int_equal(booksum_file_note(f, note, sizeof note), 1);
        if (digest[0]) assert_string_equal(booksum_file_digest(f), digest);
        strcpy(digest, booksum_file_digest(f));
        booksum_file_close(f);
    }
    /* The same texts as JSON lines have the same digest. */
    put_text("c.jsonl", "{\"bid\":\"27681\",\"book_id\":\"Book, The.1\",\"chapter\":\"One, two.\\n\\nThree.\","
                        "\"summary_text\":\"It says \\\"no\\\",\\ntwice.\"}\n"
                        "{\"bid\":27681,\"book_id\":\"Book.2\",\"chapter\":\"été\",\"summary_text\":\"short\"}\n");
    booksum_file *f = opened("c.jsonl");
    assert_string_equal(booksum_file_digest(f), digest);
    booksum_file_close(f);
}

static void test_bad_csv(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"bid,chapter\n1,2\n", "bad.csv:1: there is no column \"summary_text\""},
        {"bid,chapter,summary_text\n1,a,b\n1,\"a\nb,c\n", "bad.csv:3: a quote is opened here"},
        {"bid,chapter,summary_text\n1,\"a\"x,b\n", "bad.csv:2: there is text behind a closing quote"},
        {"bid,chapter,summary_text\n1,a,b\n1,a\n", "bad.csv:3: the record has 2 fields, the header 3"},
        {"bid,chapter,summary_text\n1,\"a\n\",b\n,a,b\n", "bad.csv:4: there is no \"bid\""},
        {"bid,chapter,summary_text\n", "there is no line in it"},
    };
    booksum_file *f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_text("bad.csv", bad[i].text);
        assert_int_equal(booksum_file_open(&f, at("bad.csv"), &err), PAL_DATA);
        assert_said(bad[i].said);
    }
}

/* Reading all texts once costs one pass over the file, whatever the order, in time linear in their number. */
static void test_linear(void **state)
{
    (void)state;
    static const char *const name[] = {"n.jsonl", "n.jsonl.gz", "n.csv.gz"};
    double work[3][2];
    for (int k = 0; k < 3; k++)
        for (int twice = 0; twice < 2; twice++) {
            const size_t count = twice ? 6000 : 3000;
            char *text = NULL;
            size_t size;
            FILE *out = open_memstream(&text, &size);
            if (k == 2) fputs("bid,chapter,summary_text\n", out);
            for (size_t i = 0; i < count; i++)
                fprintf(out,
                        k == 2 ? "b,%zu %0400zu,sum\n"
                               : "{\"bid\":\"b\",\"chapter\":\"%zu %0400zu\",\"summary_text\":\"sum\"}\n",
                        i, i);
            fclose(out);
            put(name[k], text, size);
            free(text);
            booksum_file *f = opened(name[k]);
            for (size_t i = 0; i < count; i++) {
                booksum_book book;
                assert_int_equal(booksum_file_read(f, i, &book, &err), PAL_OK);
                assert_int_equal(atoi(book.text.text), i);
                booksum_book_free(&book);
            }
            work[k][twice] = (double)booksum_file_work(f);
            assert_true(work[k][twice] < 4.5 * (double)size); /* two passes, each read and perhaps unpacked */
            booksum_file_close(f);
        }
    for (int k = 0; k < 3; k++) assert_true(work[k][1] < 2.2 * work[k][0]);
}

/* A file that became another one is noticed, not misread. */
static void test_changed_file(void **state)
{
    (void)state;
    booksum_book book;
    put_text("b.jsonl", books);
    booksum_file *f = opened("b.jsonl");
    put_text("b.jsonl", "{}");
    assert_int_equal(booksum_file_read(f, 0, &book, &err), PAL_DATA);
    assert_said("b.jsonl:1: ");
    assert_int_equal(booksum_file_read(f, 1, &book, &err), PAL_DATA);
    booksum_file_close(f);
}

/* Lines of all sizes, longer than any buffer among them, against the text they were cut from. */
static void test_lines(void **state)
{
    (void)state;
    enum { SIZE = 400000 };
    char *text = malloc(SIZE);
    rng r = rng_make(4, "test/lines", 0, 0);
    for (size_t i = 0; i < SIZE; i++) text[i] = (char)('a' + rng_below(&r, 26));
    for (size_t i = 0; i < SIZE; i += rng_below(&r, i < SIZE / 2 ? 30 : 150000)) text[i] = '\n';
    for (int ended = 0; ended < 2; ended++) {
        text[SIZE - 1] = ended ? '\n' : 'x';
        put("lines.gz", text, SIZE);
        line_reader reader;
        if (line_reader_open(&reader, at("lines.gz"), PACKED_RANDOM, &err) != PAL_OK) fail_msg("%s", err.text);
        uint64_t number = 1, offset[2] = {0}, numbered[2] = {0};
        size_t used = 0;
        for (;; number++) {
            const char *line;
            size_t size;
            int found;
            assert_int_equal(line_reader_next(&reader, &found, &line, &size, &err), PAL_OK);
            if (!found) break;
            assert_int_equal(reader.number, number);
            assert_int_equal(reader.offset, used);
            assert_memory_equal(line, text + used, size);
            assert_true(used + size == SIZE || text[used + size] == '\n');
            used += size + 1;
            if (number == 5 || number == 700) {
                offset[number == 700] = reader.offset;
                numbered[number == 700] = number;
            }
        }
        assert_int_equal(used, ended ? SIZE : SIZE + 1);
        for (int i = 1; i >= 0; i--) {
            const char *line;
            size_t size;
            int found;
            assert_true(offset[i] > 0);
            assert_int_equal(line_reader_seek(&reader, offset[i], numbered[i], &err), PAL_OK);
            assert_int_equal(line_reader_next(&reader, &found, &line, &size, &err), PAL_OK);
            assert_int_equal(found, 1);
            assert_int_equal(reader.number, numbered[i]);
            assert_memory_equal(line, text + offset[i], size);
        }
        line_reader_close(&reader);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_DIR(test_books),  WITH_DIR(test_chapters),     WITH_DIR(test_digest),
                                       WITH_DIR(test_errors), WITH_DIR(test_changed_file), WITH_DIR(test_blanks),
                                       WITH_DIR(test_csv),    WITH_DIR(test_bad_csv),      WITH_DIR(test_linear),
                                       WITH_DIR(test_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
