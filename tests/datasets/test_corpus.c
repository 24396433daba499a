/* Corpora: which documents a path holds, their splits, lists of them, and what their digest covers. */
#include "tests/lib/corpus_fixture.h"

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
        WITH_DIR(splits_of_a_pg19_folder),    WITH_DIR(a_missing_split_lists_those_there_are),
        WITH_DIR(a_folder_of_texts),          WITH_DIR(one_text_file),
        WITH_DIR(folders_that_are_no_corpus), WITH_DIR(an_unset_split_is_the_layouts_own),
        WITH_DIR(validation_has_other_names), WITH_DIR(names_that_are_not_utf8_are_refused_escaped),
        WITH_DIR(a_list_opens_each_in_turn),  WITH_DIR(digest_knows_texts_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
