/* The passkey evaluation: text built to the token, needle depth, keys, scores and records. */
#include "tests/lib/passkey_lab.h"
#include "tests/lib/shape_of.h"

#include <math.h>

static sample_text got; /* too large for the stack */
static parsed found;

/* "len=" with 32 lengths from `first` on. */
static void lengths_from(int64_t first, char word[512])
{
    size_t used = (size_t)snprintf(word, 512, "len=%lld", (long long)first);
    for (int64_t i = 1; i < 32; i++)
        used += (size_t)snprintf(word + used, 512 - used, ",%lld", (long long)(first + i));
}

static void check_sample(const planned *p, const task_cell *cell, task_sample *s)
{
    const tokenizer *t = p->tokenizer;
    read_sample(p, s, 100, &got);
    assert_int_equal(got.count, cell->length);
    parse_passkey(got.text, got.size, 0, &found);
    assert_true(found.header && found.phase == 0);
    assert_true(found.needles == 1 && found.questions == 1 && !found.name[0][0]);

    const int64_t needle = token_at(t, got.token, found.needle[0]),
                  header = token_at(t, got.token, strlen(HEADER));
    const int64_t question = token_at(t, got.token, found.question[0]);
    const int64_t after = question - token_at(t, got.token, found.question[0] - found.gap[0]);
    assert_int_equal(token_at(t, got.token, found.answer[0]), cell->length - 5);
    assert_int_equal(shape_of(task(), s).score_from, cell->length - 5);
    assert_int_equal(shape_of(task(), s).prompt, token_at(t, got.token, found.answer[0] - 1));
    assert_int_equal(shape_of(task(), s).forget, question);

    const double before = (double)(needle - header), room = before + (double)after, depth = cell->depth;
    const double jitter = depth > 0 && depth < 100 ? 0.02 * room : 0;
    /* Whole sentences move it by less than one, and by no more than 5 % of the room for it. */
    const double moved = room / 20 + 1 < 22 ? room / 20 + 1 : 22;
    assert_true(fabs(before - room * depth / 100) <= jitter + moved);
    if (depth == 100) assert_int_equal(after, 0);

    char record[RECORD];
    double value[VALUES];
    score(p, s, found.key[0], found.key[0], value, record);
    assert_true(record_number(record, "needle_offset") == (double)needle);
    assert_true(record_number(record, "depth") == depth);
    assert_true(room == 0 || fabs(record_number(record, "depth_actual") - 100 * before / room) < 1e-6);
}

static void check_lengths(const tokenizer *t, int64_t first, int64_t last)
{
    for (int64_t length = first; length <= last; length += 32) {
        char word[512];
        lengths_from(length, word);
        planned p = plan(t, WORDS(word, "depths=0,10,50,90,100", "n=2"));
        assert_int_equal(p.count, 32 * 5); /* the shortest have no room at all */
        for (size_t c = 0; c < p.count; c++) {
            assert_string_equal(p.cells[c].data, "");
            task_sample *s = open_sample(&p, c, (int64_t)c % 2);
            check_sample(&p, &p.cells[c], s);
            task()->eval->close(s);
        }
        drop(&p);
    }
}

static void exact_length_and_paper_text(void **state)
{
    (void)state;
    check_lengths(bytes, 251, 1000);
}

static void exact_length_in_tokens_of_bpe(void **state)
{
    (void)state;
    tokenizer *t = bpe_tokenizer_of_passkey();
    check_lengths(t, 120, 300);
    tokenizer_destroy(t);
}

static void long_samples_have_their_length(void **state)
{
    (void)state;
    static int32_t tokens[4096];
    planned p = plan(bytes, WORDS("len=32K,1M", "depths=50", "n=1"));
    const int64_t lengths[] = {32768, 1048576};
    for (size_t c = 0; c < 2; c++) {
        task_sample *s = open_sample(&p, c, 0);
        int64_t size = 0, keys = 0;
        pal_error err = {0};
        for (size_t more; task()->eval->read(s, tokens, 4096, &more, &err) == PAL_OK && more > 0;
             size += (int64_t)more)
            for (size_t i = 0; i < more; i++) keys += tokens[i] == '?' || (tokens[i] >= '0' && tokens[i] <= '9');
        assert_int_equal(size, lengths[c]);
        assert_int_equal(keys, 1 + 3 * 5); /* one question, the key three times */
        task()->eval->close(s);
    }
    drop(&p);
}

static void chunked_reads_agree(void **state)
{
    (void)state;
    static sample_text whole;
    planned p = plan(bytes, WORDS("len=777", "depths=33"));
    const size_t chunks[] = {1, 2, 3, 7, 64, 151, 776, 777, 5000};
    read_index(&p, 0, 4, &whole);
    assert_int_equal(whole.count, 777);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        task_sample *s = open_sample(&p, 0, 4);
        read_sample(&p, s, chunks[i], &got);
        assert_int_equal(got.count, 777);
        assert_memory_equal(whole.token, got.token, 777 * sizeof *got.token);
        task()->eval->close(s);
    }
    drop(&p);
}

static void interior_depths_vary(void **state)
{
    (void)state;
    for (int with = 0; with < 2; with++) {
        planned p = plan(bytes, WORDS("len=32K", "depths=50", "n=60", with ? "jitter=2" : "jitter=0"));
        int seen[128] = {0}, distinct = 0;
        for (int64_t i = 0; i < 60; i++) {
            read_index(&p, 0, i, &got);
            parse_passkey(got.text, got.size, 0, &found);
            const double room = (double)(got.size - 251);
            assert_true(fabs((double)found.before - room / 2) <= 0.02 * room * with + 22);
            distinct += !seen[found.needle[0] % 128]++;
        }
        assert_true(with ? distinct > 30 : distinct == 1);
        drop(&p);
    }
}

static void keys_unique_and_apart_from_training(void **state)
{
    (void)state;
    static char used[PASSKEY_KEYS];
    memset(used, 0, sizeof used);
    int all = 0, digit[5][10] = {{0}};
    for (int key = 0; key < PASSKEY_KEYS; key++) all += passkey_is_eval_key(key);
    assert_int_equal(all, PASSKEY_EVAL_KEYS);

    planned p = plan(bytes, WORDS("len=251,252", "depths=0", "n=10000"));
    planned other = plan(bytes, WORDS("len=251", "depths=0", "n=10000", "seed=2"));
    int same_cell = 0, same_seed = 0;
    for (int64_t i = 0; i < 10000; i++) {
        const int key = sample_key(&p, 0, i);
        assert_true(passkey_is_eval_key(key));
        assert_false(used[key]);
        used[key] = 1;
        for (int d = 0, rest = key; d < 5; d++, rest /= 10) digit[d][rest % 10]++;
        same_cell += key == sample_key(&p, 1, i);
        same_seed += key == sample_key(&other, 0, i);
    }
    /* about 1000 of each digit in each place, standard deviation 30 */
    for (int d = 0; d < 5; d++)
        for (int v = 0; v < 10; v++) assert_in_range(digit[d][v], 850, 1150);
    assert_true(same_cell < 10 && same_seed < 10); /* 1 expected */
    drop(&p);
    drop(&other);
}

static void first_keys_of_a_cell_look_random(void **state)
{
    (void)state;
    /* Independent of the 10000 together: the first 20 of each of 50 seeds. */
    int digit[5][10] = {{0}};
    for (int seed = 0; seed < 50; seed++) {
        char word[32];
        snprintf(word, sizeof word, "seed=%d", seed);
        planned p = plan(bytes, WORDS("len=400", "depths=50", "n=20", word));
        for (int64_t i = 0; i < 20; i++)
            for (int d = 0, rest = sample_key(&p, 0, i); d < 5; d++, rest /= 10) digit[d][rest % 10]++;
        drop(&p);
    }
    for (int d = 0; d < 5; d++)
        for (int v = 0; v < 10; v++) assert_in_range(digit[d][v], 60, 145);
}

static void samples_depend_on_their_index_only(void **state)
{
    (void)state;
    planned p = plan(bytes, WORDS("len=600,700", "depths=0,50", "n=10"));
    planned more = plan(bytes, WORDS("len=700", "depths=50,100", "n=500"));
    int forward[10];
    for (int64_t i = 0; i < 10; i++) forward[i] = sample_key(&p, 3, i);
    for (int64_t i = 9; i >= 0; i--) {
        assert_int_equal(sample_key(&p, 3, i), forward[i]);
        assert_int_equal(sample_key(&more, 0, i), forward[i]); /* same cell of a larger request */
    }
    drop(&p);
    drop(&more);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    const kv_spec *table = task()->eval->request_table;
    pal_error err = {0};
    task_run *run = NULL;
    char *request = request_of(WORDS("n=1"));
    kv_list *length = (kv_list *)(request + kv_find(table, task()->eval->request_count, "len")->offset);
    kv_list *depths = (kv_list *)(request + kv_find(table, task()->eval->request_count, "depths")->offset);
    int64_t *samples = (int64_t *)(request + kv_find(table, task()->eval->request_count, "n")->offset);

    length->value[0] = 250;
    assert_int_equal(task()->eval->begin(request, bytes, &run, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "250"));
    assert_non_null(strstr(err.text, "251"));
    length->value[0] = 251;
    assert_int_equal(task()->eval->begin(request, bytes, &run, &err), PAL_OK);
    const task_cell *cells;
    assert_int_equal(task()->eval->cells(run, &cells), 3);
    assert_string_equal(cells[1].name, "len=251,depth=50");
    task_sample *s = NULL;
    assert_int_equal(task()->eval->open(run, &cells[0], 1, &s, &err), PAL_USAGE);
    assert_int_equal(task()->eval->open(run, &cells[0], -1, &s, &err), PAL_USAGE);
    task()->eval->end(run);

    depths->value[1] = 100;
    assert_int_equal(task()->eval->begin(request, bytes, &run, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "len=251,depth=100"));
    depths->value[1] = 101;
    assert_int_equal(task()->eval->begin(request, bytes, &run, &err), PAL_USAGE);
    depths->value[1] = NAN;
    assert_int_equal(task()->eval->begin(request, bytes, &run, &err), PAL_USAGE);
    depths->count = 0;
    assert_int_equal(task()->eval->begin(request, bytes, &run, &err), PAL_USAGE);
    depths->count = 1;
    *samples = 10001;
    assert_int_equal(task()->eval->begin(request, bytes, &run, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "10000"));
    *samples = -1;
    assert_int_equal(task()->eval->begin(request, bytes, &run, &err), PAL_USAGE);
    free(request);
}

/* Tokenizers that join digits, or a digit and the space before it: every sample has its length to the token, and
 * its tokens are those of its text. */
static void digits_may_come_in_groups(void **state)
{
    (void)state;
    static sample_text sample;
    static int32_t again[TEXT_MAX];
    const char merges[][3] = {"12", " 1", "90", "Th"};
    for (int i = 0; i < 4; i++) {
        tokenizer *t = bpe_of_one_merge(merges[i][0], merges[i][1]);
        planned p = plan(t, WORDS("len=400", "depths=50", "n=300"));
        char note[200];
        const int grouped = task()->eval->note(p.run, 0, note, sizeof note);
        int64_t least = 5, most = 1;
        assert_int_equal(grouped, i < 3);
        if (grouped)
            assert_non_null(strstr(note, i == 1   ? "are 5 to 5 tokens"
                                         : i == 0 ? "are 3 to 5 tokens"
                                                  : "are 3 to 5 tokens"));
        for (int64_t index = 0; index < 300; index++) {
            task_sample *s = open_sample(&p, 0, index);
            const sample_shape shape = shape_of(task(), s);
            read_sample(&p, s, 4096, &sample);
            assert_int_equal(sample.count, 400);
            const size_t count = tokenizer_encode(t, sample.text, (size_t)sample.size, again);
            assert_int_equal(count, 400);
            assert_memory_equal(again, sample.token, sizeof *again * count);
            char digits[16];
            const int64_t scored = (int64_t)(shape.tokens - shape.score_from);
            const size_t size =
                tokenizer_decode(t, sample.token + shape.score_from, (size_t)scored, digits, sizeof digits);
            assert_true(size == 5 || (size == 6 && digits[0] == ' '));
            assert_memory_equal(digits + size - 5, sample.text + sample.size - 5, 5);
            least = scored < least ? scored : least;
            most = scored > most ? scored : most;
            task()->eval->close(s);
        }
        assert_true(most == 5 && least == (i == 0 || i == 2 ? 4 : 5)); /* " 1" holds one digit */
        drop(&p);
        tokenizer_destroy(t);
    }
}

static void values_of_the_paper(void **state)
{
    (void)state;
    const char *row = NULL;
    const model_facts linear = {.attention = "infini-linear", .trained_on = "passkey"},
                      delta = {.attention = "infini-delta", .trained_on = "passkey"},
                      text = {.attention = "infini-delta", .trained_on = "perplexity"},
                      knn = {.attention = "memorizing", .trained_on = "passkey"};
    planned p = plan(bytes, WORDS("len=32K,128K,1M,8K", "depths=0,50,100,25", "n=1"));
    assert_true(task_paper(task(), &p.cells[0], "token_accuracy", &linear, &row) == 1);
    assert_string_equal(row, "Infini FT Linear");
    assert_true(task_paper(task(), &p.cells[8], "token_accuracy", &linear, &row) == 0.96);
    assert_true(task_paper(task(), &p.cells[9], "token_accuracy", &linear, &row) == 0.94);
    assert_true(task_paper(task(), &p.cells[6], "token_accuracy", &delta, &row) == 0.99);
    assert_string_equal(row, "Infini FT Linear + Delta");
    assert_true(isnan(task_paper(task(), &p.cells[3], "token_accuracy", &delta, &row)));
    assert_true(isnan(task_paper(task(), &p.cells[12], "token_accuracy", &delta, &row)));
    assert_true(isnan(task_paper(task(), &p.cells[0], "exact_match", &delta, &row)));
    assert_true(isnan(task_paper(task(), &p.cells[0], "token_accuracy", &knn, &row)));
    assert_true(task_paper(task(), &p.cells[6], "token_accuracy", &text, &row) == 0.99);
    assert_string_equal(row, "Infini zero-shot Linear + Delta");
    task_cell variant = p.cells[0];
    strcpy(variant.variant, "absent");
    assert_true(isnan(task_paper(task(), &variant, "token_accuracy", &linear, &row)));
    drop(&p);
}

static void the_table_finds_tasks(void **state)
{
    (void)state;
    assert_ptr_equal(task_find("passkey"), task_table[0]);
    assert_ptr_equal(task_find("PassKey"), task_table[0]);
    assert_null(task_find("passkeys"));
    assert_null(task_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_length_and_paper_text),
        cmocka_unit_test(exact_length_in_tokens_of_bpe),
        cmocka_unit_test(long_samples_have_their_length),
        cmocka_unit_test(chunked_reads_agree),
        cmocka_unit_test(interior_depths_vary),
        cmocka_unit_test(keys_unique_and_apart_from_training),
        cmocka_unit_test(first_keys_of_a_cell_look_random),
        cmocka_unit_test(samples_depend_on_their_index_only),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(digits_may_come_in_groups),
        cmocka_unit_test(values_of_the_paper),
        cmocka_unit_test(the_table_finds_tasks),
    };
    return cmocka_run_group_tests_name("passkey", tests, open_bytes, close_bytes);
}
