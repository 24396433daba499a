/* Texts and names at the doors of the binary: arguments, folders, weights, settings; splits of mixed corpora;
 * notes. PALIMPSEST names the binary; a small shipped model reads the texts. */
#include "tests/lib/corpus_fixture.h"

#include <sys/wait.h>

#define MODEL "model=models/weights/text-300k-local.safetensors"

static char *said; /* by the last run, both streams */

/* Run it with these words, as a shell reads them; returns its exit code. */
__attribute__((format(printf, 1, 2))) static int run(const char *format, ...)
{
    char words[1500], command[2500];
    size_t size;
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    const char *binary = getenv("PALIMPSEST") ? getenv("PALIMPSEST") : "build/palimpsest";
    snprintf(command, sizeof command, "'%s' %s >'%s/said' 2>&1", binary, words, dir);
    const int status = system(command);
    free(said);
    assert_int_equal(os_read_file(at("said"), &said, &size, &err), PAL_OK);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_run(int expected, int code, const char *words)
{
    if (code != expected || !strstr(said, words))
        fail_msg("exit code %d (expected %d), expected '%s' in:\n%s", code, expected, words, said);
}

static size_t times(const char *text, const char *words)
{
    size_t count = 0;
    for (const char *p = text; (p = strstr(p, words)); p++) count++;
    return count;
}

static void names_are_checked_at_every_door(void **state)
{
    (void)state;
    assert_run(PAL_USAGE, run("eval model=\xe9t"), "model=\\xe9t: the argument is not UTF-8");
    assert_run(PAL_USAGE, run("help \xff"), "\\xff: the argument is not UTF-8");
    put_text("d/a.txt", "some text");
    put_text("d/ol\xe9.txt", "other text");
    assert_run(PAL_DATA, run("eval task=perplexity " MODEL " data=%s results=%s", at("d"), at("r")),
               "d/ol\\xe9.txt: the file name is not UTF-8");
    assert_false(os_file_exists(at("r/perplexity-journal.jsonl")));
    put_text("w/m\xf6.safetensors", "no model");
    assert_run(PAL_USAGE, run("eval task=perplexity weights=%s results=%s", at("w"), at("r")),
               "m\\xf6.safetensors: the name of the weights is not UTF-8");
}

static void settings_may_have_a_byte_order_mark(void **state)
{
    (void)state;
    put_text("bom.conf", "\xEF\xBB\xBF"
                         "attention = nosuch\n");
    assert_run(PAL_USAGE, run("train config=%s out=%s", at("bom.conf"), at("x.safetensors")), "attention=nosuch");
    put_text("u16.conf", "\xFF\xFEt");
    assert_run(PAL_DATA, run("train config=%s out=%s", at("u16.conf"), at("x.safetensors")),
               "u16.conf: is UTF-16");
    char *json;
    size_t size;
    assert_int_equal(os_read_file("models/tokenizers/text-2k.json", &json, &size, &err), PAL_OK);
    char *marked = malloc(size + 3);
    memcpy(marked, "\xEF\xBB\xBF", 3);
    memcpy(marked + 3, json, size);
    put("marked.json", marked, size + 3);
    free(marked);
    free(json);
    put_text("t.txt", "A text.");
    assert_run(PAL_OK, run("tokenizer encode tokenizer=%s data=%s", at("marked.json"), at("t.txt")), "");
}

/* A PG19 folder and a plain one in one run: each has its own split, and its cells are those of runs of their own.
 */
static void layouts_go_in_one_run(void **state)
{
    (void)state;
    char *journal;
    size_t size;
    put_text("books/train/a.txt", "Never read here.");
    put_text("books/test/b.txt", "The test split is read.\r\nTwo lines.\r\n");
    put_text("notes/c.txt", "All of this folder is read. <|endoftext|> too.");
    put_text("notes/d.txt", "All of it.");
    const char *const common = "eval task=perplexity " MODEL " plots=0 references=0 results=";
    assert_run(PAL_OK, run("%s%s data=%s,%s", common, at("r"), at("books"), at("notes")), "samples to do 3");
    assert_non_null(strstr(said, "note: books/test: lines that end with CR LF: 2; both characters are scored\n"));
    assert_non_null(
        strstr(said, "note: notes/all: names of special tokens in the text, such as <|endoftext|>: 1;"));
    assert_int_equal(os_read_file(at("r/perplexity-journal.jsonl"), &journal, &size, &err), PAL_OK);
    assert_int_equal(times(journal, "\"settings\":\"split=test max_tokens=0\""), 1);
    assert_int_equal(times(journal, "\"settings\":\"split=all max_tokens=0\""), 1);
    free(journal);
    assert_run(PAL_OK, run("%s%s data=%s split=test", common, at("r"), at("books")), "samples to do 0");
    assert_run(PAL_OK, run("%s%s data=%s", common, at("r"), at("books")), "samples to do 0");
    assert_run(PAL_OK, run("%s%s data=%s split=all", common, at("r"), at("notes")), "samples to do 0");
    assert_run(PAL_DATA, run("%s%s data=%s split=test", common, at("r"), at("notes")), "leave split= out");
    assert_run(
        PAL_OK,
        run("eval task=passkey len=1K n=1 depths=0 haystack=prose prose=%s model=passkey-local plots=0 results=%s",
            at("books"), at("p")),
        "books: lines that end with CR LF: 2;");
    assert_run(PAL_OK, run("verify results=%s k=3", at("r")), "");
}

/* What is missing is named with the way to get that very corpus. */
static void a_missing_corpus_says_where_it_comes_from(void **state)
{
    (void)state;
    static const struct {
        const char *name, *said;
    } all[] = {{"books", "make datasets DATASETS=books"},
               {"math", "make datasets DATASETS=math"},
               {"code", "make datasets DATASETS=code"},
               {"novels", "ELTeC-eng"},
               {"stacks", "Stacks project"},
               {"summaries", "datasets/README.md"},
               {"nosuch", "give a path, or one of the names in datasets/README.md"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char path[64];
        snprintf(path, sizeof path, CORPUS_TEXTS "/%s", all[i].name);
        if (os_file_exists(path)) continue;
        assert_run(PAL_USAGE, run("eval task=perplexity " MODEL " data=%s results=%s", all[i].name, at("r")),
                   all[i].said);
        assert_non_null(strstr(said, all[i].name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(names_are_checked_at_every_door),
        WITH_DIR(settings_may_have_a_byte_order_mark),
        WITH_DIR(layouts_go_in_one_run),
        WITH_DIR(a_missing_corpus_says_where_it_comes_from),
    };
    const int failed = cmocka_run_group_tests_name("text_entries", tests, NULL, NULL);
    free(said);
    return failed;
}
