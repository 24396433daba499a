/* Reference rows: extracts of texts, and their scores in the journal. */
#include "tests/lib/booksum_lab.h"

#include "harness/eval/references.h"
#include "tasks/booksum/extracts.h"
#include "tasks/booksum/reference_summaries.h"
#include "tasks/rouge/rouge.h"

#include <math.h>

/* ---- Extracts ---- */

static void check_sentences(const char *text, const char *const *expected)
{
    extract_sentence *list;
    size_t count;
    succeed(extract_split(text, strlen(text), &list, &count, &err));
    for (size_t i = 0; i < count; i++) {
        assert_non_null(expected[i]);
        assert_int_equal(list[i].size, strlen(expected[i]));
        assert_memory_equal(text + list[i].at, expected[i], list[i].size);
    }
    assert_null(expected[count]);
    free(list);
}

static void test_sentences(void **state)
{
    (void)state;
    check_sentences("", (const char *const[]){NULL});
    check_sentences(" \n\n ", (const char *const[]){NULL});
    check_sentences("One", (const char *const[]){"One", NULL});
    check_sentences(" One. Two!  \"Three?\" (Four.)\nFive 5.5 x.y",
                    (const char *const[]){"One.", "Two!", "\"Three?\"", "(Four.)", "Five 5.5 x.y", NULL});
    check_sentences("A line\nand another\n \nA title\n\n\nText.",
                    (const char *const[]){"A line\nand another", "A title", "Text.", NULL});
    check_sentences("é. ü\n\n", (const char *const[]){"é.", "ü", NULL});
    check_sentences(". \" .", (const char *const[]){".", "\" .", NULL});
}

static void test_words(void **state)
{
    (void)state;
    assert_int_equal(extract_count_words("", 0), 0);
    assert_int_equal(extract_count_words(" a  bc\n\td ", 10), 3);
    static const char text[] = " One two.\nThree  four";
    static const char *const lead[] = {
        "", " One", " One two.", " One two.\nThree", " One two.\nThree  four", " One two.\nThree  four"};
    for (size_t n = 0; n < 6; n++) {
        booksum_string out;
        succeed(extract_lead(text, strlen(text), n, &out, &err));
        assert_string_equal(out.text, lead[n]);
        assert_int_equal(out.size, strlen(lead[n]));
        free(out.text);
    }
}

/* Enough of the sentences, in the order of the text, none twice; each as often as the others. */
static void test_random(void **state)
{
    (void)state;
    enum { SENTENCES = 8, TIMES = 4000 };
    char text[200] = "";
    int chosen[SENTENCES] = {0};
    for (int i = 0; i < SENTENCES; i++) sprintf(text + strlen(text), "s%d s s. ", i);
    for (int n = 0; n < TIMES; n++) {
        rng draws = rng_make(1, "test/rows", (uint64_t)n, 0);
        booksum_string out;
        succeed(extract_random(text, strlen(text), 7, &draws, &out, &err));
        assert_int_equal(extract_count_words(out.text, out.size), 9);
        int last = -1;
        for (char *line = strtok(out.text, "\n"); line; line = strtok(NULL, "\n")) {
            const int which = line[1] - '0';
            assert_true(which > last);
            last = which;
            chosen[which]++;
        }
        free(out.text);
    }
    const double p = 3.0 / SENTENCES;
    for (int i = 0; i < SENTENCES; i++) assert_true(fabs(chosen[i] - p * TIMES) < 5 * sqrt(TIMES * p * (1 - p)));
    booksum_string out;
    rng draws = rng_make(1, "test/rows", 0, 0);
    succeed(extract_random("A b. C.", 7, 100, &draws, &out, &err));
    assert_string_equal(out.text, "A b.\nC.");
    free(out.text);
    succeed(extract_random("", 0, 100, &draws, &out, &err));
    assert_string_equal(out.text, "");
    free(out.text);
}

static double rouge2(const char *ref, const char *hyp)
{
    rouge_result r;
    succeed(rouge_score(ref, strlen(ref), hyp, strlen(hyp), 1, &r, &err));
    return r.metric[ROUGE_2].f;
}

/* Bigrams of one-letter words within the chosen sentences, counted by hand: F of ROUGE-2. */
static double by_hand(const char *const *sentence, const int *chosen, int count, const char *ref)
{
    int wanted[128][128] = {{0}}, held[128][128] = {{0}}, total = 0, made = 0, both = 0;
    for (const char *c = ref; c[1] == ' '; c += 2, total++) wanted[(int)c[0]][(int)c[2]]++;
    for (int i = 0; i < count; i++)
        for (const char *c = sentence[i]; chosen[i] && c[1] == ' '; c += 2, made++) held[(int)c[0]][(int)c[2]]++;
    for (int a = 0; a < 128; a++)
        for (int b = 0; b < 128; b++) both += held[a][b] < wanted[a][b] ? held[a][b] : wanted[a][b];
    return total + made ? 2.0 * both / (total + made) : 0;
}

/* Random sentences of a few letters, against the greedy choice made by trying everything. */
static void test_oracle_by_hand(void **state)
{
    (void)state;
    enum { SENTENCES = 12, WORDS = 7, REF = 20 };
    rng r = rng_make(8, "test/oracle", 0, 0);
    int chose_some = 0;
    for (int n = 0; n < 300; n++) {
        char list[SENTENCES][2 * WORDS + 2], text[SENTENCES * (2 * WORDS + 3)] = "", ref[2 * REF] = "";
        const char *sentence[SENTENCES];
        int chosen[SENTENCES] = {0};
        for (int i = 0; i < SENTENCES; i++) {
            const int words = 1 + (int)rng_below(&r, WORDS);
            for (int k = 0; k < words; k++) {
                list[i][2 * k] =
                    (char)('b' + rng_below(&r, 4)); /* "a" and "s" would be words to the stemmer too */
                list[i][2 * k + 1] = k + 1 < words ? ' ' : '.';
            }
            list[i][2 * words] = '\0';
            sentence[i] = list[i];
            strcat(strcat(text, list[i]), " ");
        }
        for (int k = 0; k < REF; k++) {
            ref[2 * k] = (char)('b' + rng_below(&r, 4));
            if (k + 1 < REF) ref[2 * k + 1] = ' ';
        }
        for (double best = 0;;) {
            int at = -1;
            for (int i = 0; i < SENTENCES; i++) {
                if (chosen[i]) continue;
                chosen[i] = 1;
                const double f = by_hand(sentence, chosen, SENTENCES, ref);
                chosen[i] = 0;
                if (f <= best) continue;
                best = f;
                at = i;
            }
            if (at < 0) break;
            chosen[at] = 1;
        }
        char expected[sizeof text] = "";
        for (int i = 0; i < SENTENCES; i++)
            if (chosen[i]) strcat(strcat(expected, expected[0] ? "\n" : ""), list[i]);
        booksum_string out;
        succeed(extract_oracle(text, strlen(text), &(booksum_string){ref, strlen(ref)}, &out, &err));
        assert_string_equal(out.text, expected);
        chose_some += out.size > 0;
        free(out.text);
    }
    assert_true(chose_some > 250);
}

/* On stories the oracle finds the sentences that tell the facts, and is at least as good as any other extract. */
static void test_oracle_is_a_ceiling(void **state)
{
    (void)state;
    enum { LENGTH = 3000 };
    for (uint64_t i = 0; i < 10; i++) {
        story s;
        int32_t tokens[LENGTH];
        static char text[LENGTH * 8];
        char summary[STORY_SUMMARY];
        succeed(story_begin(&s, kind[1], &(story_key){2, STORY_TEST, i, 0}, LENGTH, STORY_SPAN, &err));
        story_read(&s, tokens, LENGTH);
        tokenizer_decode(kind[1], tokens, LENGTH, text, sizeof text);
        const booksum_string ref = {summary, story_summary(s.value, summary)};
        booksum_string out[3];
        rng draws = rng_make(1, "test", i, 0);
        succeed(extract_oracle(text, strlen(text), &ref, &out[0], &err));
        succeed(extract_lead(text, strlen(text), 60, &out[1], &err));
        succeed(extract_random(text, strlen(text), 60, &draws, &out[2], &err));
        for (int k = 0; k < STORY_SLOTS; k++) assert_non_null(strstr(out[0].text, story_cue(k)));
        assert_true(rouge2(summary, out[0].text) > rouge2(summary, out[1].text));
        assert_true(rouge2(summary, out[0].text) > rouge2(summary, out[2].text));
        for (int k = 0; k < 3; k++) free(out[k].text);
    }
    booksum_string out;
    succeed(extract_oracle("Nothing of it.", 14, &(booksum_string){"Other words", 11}, &out, &err));
    assert_string_equal(out.text, "");
    free(out.text);
}

/* ---- In the journal ---- */

typedef struct desk {
    eval_request request;
    results results;
    journal *journal;
    char path[256];
    int complete;
} desk;

static void on_complete(void *arg, const result_cell *cell, int64_t n)
{
    desk *d = arg;
    assert_int_equal(result_complete(cell), n);
    d->complete++;
}

static void open_desk(desk *d, const char *format, const char *name)
{
    char words[500];
    size_t cut;
    kv_pairs pairs = {0};
    memset(d, 0, sizeof *d);
    snprintf(words, sizeof words, format, at(name));
    d->request =
        (eval_request){.task = task, .tokenizer = kind[1], .task_request = calloc(1, task->eval->request_bytes)};
    succeed(kv_pairs_parse(&pairs, words, "test", &err));
    succeed(kv_defaults(task->eval->request_table, task->eval->request_count, d->request.task_request, &err));
    succeed(kv_apply(task->eval->request_table, task->eval->request_count, d->request.task_request, &pairs, &err));
    kv_pairs_free(&pairs);
    succeed(task->eval->begin(d->request.task_request, kind[1], &d->request.run, &err));
    d->request.cell_count = task->eval->cells(d->request.run, &d->request.cell);
    d->request.sample = calloc(d->request.cell_count, sizeof *d->request.sample);
    snprintf(d->path, sizeof d->path, "%s", at("journal.jsonl"));
    results_init(&d->results, task, d->path);
    succeed(journal_open(&d->journal, d->path, results_visit, &d->results, &cut, &err));
}

static void close_desk(desk *d)
{
    journal_close(d->journal);
    results_free(&d->results);
    d->request.tokenizer = NULL; /* the lab's */
    eval_request_free(&d->request);
}

static size_t journal_size(const desk *d)
{
    char *data;
    size_t size;
    succeed(os_read_file(d->path, &data, &size, &err));
    free(data);
    return size;
}

/* A value of a row's sample in the first cell of that row. */
static double value_of(const desk *d, const char *model, int64_t index, const char *name)
{
    size_t v = 0;
    while (strcmp(task->value[v], name) != 0) v++;
    for (size_t i = 0; i < d->results.count; i++)
        if (strcmp(d->results.cell[i].model, model) == 0) return d->results.cell[i].sample[index].value[v];
    fail_msg("there is no row %s", model);
    return 0;
}

/* Five rows of each cell; asked again, everything is there. */
static void test_rows(void **state)
{
    (void)state;
    desk d;
    open_desk(&d, "len = 2K, 3K\nn = 3 #%s", "");
    for (int again = 0; again < 2; again++) {
        d.complete = 0;
        succeed(references_run(&d.request, &d.results, d.journal, on_complete, &d, &err));
        assert_int_equal(d.complete, 10);
        assert_int_equal(d.results.count, 10);
        const size_t size = journal_size(&d);
        close_desk(&d);
        open_desk(&d, "len = 2K, 3K\nn = 3 #%s", "");
        succeed(references_run(&d.request, &d.results, d.journal, NULL, NULL, &err));
        assert_int_equal(journal_size(&d), size);
    }
    for (int64_t i = 0; i < 3; i++) {
        const double oracle = value_of(&d, "oracle", i, "rouge2");
        assert_true(value_of(&d, "oracle", i, "facts_right") == STORY_SLOTS);
        assert_true(oracle > value_of(&d, "lead-34", i, "rouge2"));
        assert_true(oracle > value_of(&d, "random-34", i, "rouge2"));
        assert_true(value_of(&d, "copy-mean", i, "rouge1") > 0.7 && value_of(&d, "copy-first", i, "rouge1") > 0.7);
        assert_true(value_of(&d, "oracle", i, "tokens") == 0); /* no loss was measured */
    }
    close_desk(&d);
    remove(at("journal.jsonl"));
}

/* The rows of a book are what their texts score; without a training split there is nothing to copy. */
static void test_rows_of_books(void **state)
{
    (void)state;
    desk d;
    open_desk(&d, "data = %s", "fox");
    succeed(references_run(&d.request, &d.results, d.journal, NULL, NULL, &err));
    assert_int_equal(d.results.count, 5);
    rouge_result first, second;
    static const char war[] = "war", lead[] = "Once",
                      *const refs[] = {"A fox escapes.\nA hound is late.", "The fox ran over a hill."};
    succeed(rouge_score(refs[0], strlen(refs[0]), lead, strlen(lead), 1, &first, &err));
    succeed(rouge_score(refs[1], strlen(refs[1]), war, strlen(war), 1, &second, &err));
    assert_true(value_of(&d, "lead-1", 0, "rouge1") == first.metric[ROUGE_1].f);
    assert_true(value_of(&d, "copy-first", 0, "rouge1") == second.metric[ROUGE_1].f);
    /* The second summary is the one that sentences of the text can tell. */
    const double best = value_of(&d, "oracle", 0, "rouge2");
    assert_true(best == rouge2(refs[1], "It ran over the hill and slept."));
    assert_true(best > 0);
    close_desk(&d);
    remove(at("journal.jsonl"));

    open_desk(&d, "data = %s", "set/validation.jsonl");
    succeed(references_run(&d.request, &d.results, d.journal, NULL, NULL, &err));
    assert_int_equal(d.results.count, 3);
    assert_true(value_of(&d, "lead-1", 0, "rouge1") == 1);
    close_desk(&d);
}

/* In a script without a-z no summary has a token: every row is undefined and counted, the oracle too. */
static void test_rows_without_tokens(void **state)
{
    (void)state;
    desk d;
    put_text("ru.jsonl",
             "{\"bid\":\"a\",\"chapter\":\"Жил был лис. Он убежал.\",\"summary_text\":\"Лис убежал.\"}\n"
             "{\"bid\":\"b\",\"chapter\":\"The fox ran.\",\"summary_text\":\"The fox ran.\"}\n");
    remove(at("journal.jsonl"));
    open_desk(&d, "data = %s", "ru.jsonl");
    succeed(references_run(&d.request, &d.results, d.journal, NULL, NULL, &err));
    assert_int_equal(d.results.count, 3);
    const size_t last = task->metric_count - 1;
    assert_int_equal(task->metric[last].kind, METRIC_MISSING);
    for (size_t i = 0; i < d.results.count; i++) {
        double num[2], den[2];
        assert_true(isnan(d.results.cell[i].sample[0].value[0])); /* null in the journal, never 0 */
        assert_true(isfinite(d.results.cell[i].sample[1].value[0]));
        assert_int_equal(result_columns(&task->metric[last], &d.results.cell[i], 2, num, den), 2);
        assert_true(num[0] == 1 && num[1] == 0);
        assert_int_equal(result_columns(&task->metric[0], &d.results.cell[i], 2, num, den), 2);
        assert_true(den[0] == 0 && num[0] == 0 && den[1] == 1); /* left out of the mean */
    }
    assert_true(value_of(&d, "oracle", 1, "rouge1") == 1);
    close_desk(&d);
    remove(at("journal.jsonl"));
}

/* A book with very many summaries takes time in proportion to them: were all compared with all, the suite would
 * meet its time limit. */
static void test_rows_of_many_summaries(void **state)
{
    (void)state;
    enum { SUMMARIES = 8000 };
    desk d;
    char *line = NULL;
    size_t size;
    FILE *out = open_memstream(&line, &size);
    fputs("{\"bid\":\"a\",\"text\":\"The fox ran over the hill. The hound came late.\",\"summary\":[", out);
    for (int i = 0; i < SUMMARIES; i++) fprintf(out, "%s{\"text\":\"The fox ran %d times.\"}", i ? "," : "", i);
    fputs("]}\n", out);
    fclose(out);
    put("many.jsonl", line, size);
    free(line);
    open_desk(&d, "data = %s", "many.jsonl");
    succeed(references_run(&d.request, &d.results, d.journal, NULL, NULL, &err));
    assert_true(value_of(&d, "oracle", 0, "rouge1") > 0.4);
    close_desk(&d);
    remove(at("journal.jsonl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_oracle_by_hand),
        cmocka_unit_test(test_oracle_is_a_ceiling),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rows_of_books),
        cmocka_unit_test(test_rows_without_tokens),
        cmocka_unit_test(test_rows_of_many_summaries),
    };
    return cmocka_run_group_tests(tests, open_lab, close_lab);
}
