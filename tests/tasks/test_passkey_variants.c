/* The passkey evaluation's variants: controls, several keys, prose; and what prompts share. */
#include "tests/lib/passkey_lab.h"
#include "tests/lib/shape_of.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BOOKS = 3, DIGITS = 5 };

static tokenizer *pieces;
static sample_text got, other; /* too large for the stack */
static parsed found;
static char folder[] = "/tmp/passkey-XXXXXX", prose_word[64], book[BOOKS][4096];

static sample_shape planned_shape(const planned *p, size_t cell, int64_t index)
{
    task_sample *s = open_sample(p, cell, index);
    const sample_shape shape = shape_of(task(), s);
    task()->eval->close(s);
    return shape;
}

static uint64_t shared_of(const planned *p, size_t cell, int64_t index, uint64_t *id)
{
    const sample_shape shape = planned_shape(p, cell, index);
    *id = shape.shared_id;
    return shape.shared;
}

static uint64_t tail_of(const planned *p, size_t cell, int64_t index, uint64_t *id)
{
    const sample_shape shape = planned_shape(p, cell, index);
    *id = shape.tail_id;
    return shape.tail;
}

/* ---- What prompts share ---- */

static void check_sharing(const tokenizer *t, const char *variant, const char *more)
{
    planned p = plan(t, WORDS("len=700,1000,1500", "depths=0,30,100", "n=5", "prose_split=all", variant, more));
    for (int64_t round = 0; round < 60; round++) {
        const size_t a = (size_t)(round * 7) % p.count, b = (size_t)(round * 5 + 3) % p.count;
        uint64_t id_a, id_b;
        const uint64_t in_a = shared_of(&p, a, round % 5, &id_a), in_b = shared_of(&p, b, (round / 5) % 5, &id_b);
        assert_true(id_a == id_b);
        read_index(&p, a, round % 5, &got);
        read_index(&p, b, (round / 5) % 5, &other);
        const size_t both = in_a < in_b ? in_a : in_b;
        assert_memory_equal(got.token, other.token, both * sizeof *got.token);
        /* All that comes before the first needle is shared, and nothing of the needle. */
        assert_int_equal(in_a, token_at(t, got.token, find(got.text, got.size, 0, NEEDLE)));
    }
    drop(&p);
}

static void prompts_agree_up_to_their_needle(void **state)
{
    (void)state;
    check_sharing(bytes, "control=none", "keys=1");
    check_sharing(bytes, "control=swapped", "keys=4");
    check_sharing(bytes, "haystack=prose", prose_word);
    check_sharing(pieces, "control=none", "keys=1");
    check_sharing(pieces, "haystack=prose", prose_word);
}

/* Returns how many pairs of samples shared a tail. */
static int check_tails(const tokenizer *t, const char *variant, const char *more)
{
    planned p = plan(t, WORDS("len=1000,1500", "depths=0,30,100", "n=5", "prose_split=all", variant, more));
    int pairs = 0;
    for (int64_t round = 0; round < 60; round++) {
        const size_t a = (size_t)(round * 7) % p.count, b = (size_t)(round * 5 + 3) % p.count;
        uint64_t id_a, id_b;
        const uint64_t tail_a = tail_of(&p, a, round % 5, &id_a), tail_b = tail_of(&p, b, (round / 5) % 5, &id_b);
        read_index(&p, a, round % 5, &got);
        read_index(&p, b, (round / 5) % 5, &other);
        const int64_t from = (int64_t)(tail_a > tail_b ? tail_a : tail_b), first = got.count - DIGITS;
        if (id_a != id_b) continue;
        pairs++;
        assert_int_equal(got.count, other.count);
        assert_true(from < first);
        assert_memory_equal(got.token + from, other.token + from, (size_t)(first - from) * sizeof *got.token);
    }
    drop(&p);
    return pairs;
}

static void prompts_agree_behind_their_last_needle(void **state)
{
    (void)state;
    assert_int_equal(check_tails(bytes, "control=none", "keys=1"), 40);
    assert_int_equal(check_tails(bytes, "haystack=prose", prose_word), 40);
    assert_int_equal(check_tails(pieces, "control=none", "keys=1"), 40);
    assert_int_equal(check_tails(pieces, "haystack=prose", prose_word), 40);
    /* Another name is another question. */
    assert_true(check_tails(bytes, "control=swapped", "keys=4") < 40);
}

static void other_haystacks_have_other_ids(void **state)
{
    (void)state;
    planned p[] = {plan(bytes, WORDS("len=1K")), plan(pieces, WORDS("len=1K")),
                   plan(bytes, WORDS("len=1K", "haystack=prose", "prose_split=all", prose_word)),
                   plan(bytes, WORDS("len=2K", "seed=5", "keys=3"))};
    uint64_t id[4];
    for (int i = 0; i < 4; i++) shared_of(&p[i], 0, 0, &id[i]);
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < a; b++) assert_true((id[a] == id[b]) == (a == 3 && b == 0));
    for (int i = 0; i < 4; i++) drop(&p[i]);
}

/* ---- Controls ---- */

static void an_absent_needle_is_nowhere(void **state)
{
    (void)state;
    planned with = plan(bytes, WORDS("len=500,501,777", "depths=0,50,100", "n=20"));
    planned without = plan(bytes, WORDS("len=500,501,777", "depths=0,50,100", "n=20", "control=absent"));
    const int64_t header = (int64_t)strlen(HEADER);
    for (size_t c = 0; c < without.count; c++) {
        char name[80], record[RECORD];
        double value[VALUES];
        snprintf(name, sizeof name, "%s,absent", with.cells[c].name);
        assert_string_equal(without.cells[c].name, name);
        for (int64_t i = 0; i < 20; i++) {
            task_sample *s = open_sample(&without, c, i);
            read_sample(&without, s, 64, &got);
            assert_int_equal(got.count, without.cells[c].length);
            assert_int_equal(atoi(got.text + got.size - 5), sample_key(&with, c, i));
            const int64_t question = find(got.text, got.size, 0, QUESTION);
            for (int64_t b = 0; b < question; b++) assert_false(got.text[b] >= '0' && got.text[b] <= '9');
            assert_int_equal(shape_of(task(), s).forget, question);
            assert_int_equal(got.size - question, strlen(QUESTION "? The pass key is 12345"));

            score(&without, s, got.text + got.size - 5, got.text + got.size - 6, value, record);
            const int64_t place = (int64_t)record_number(record, "needle_offset");
            assert_true(at(got.text, got.size, 0, HEADER));
            assert_int_equal(cycle_phase(got.text + header, place - header), 0);
            assert_int_equal(parse_filler(got.text, question, place, 0), question);
            assert_true(value[EXACT_MATCH] == 1 && value[SWAPPED_ACCURACY] == 0);
            assert_non_null(strstr(record, "\"told\":\"\""));
            task()->eval->close(s);
        }
    }
    drop(&with);
    drop(&without);
}

static void a_swapped_key_is_another_samples(void **state)
{
    (void)state;
    planned p = plan(bytes, WORDS("len=600", "depths=50", "n=50"));
    planned swapped = plan(bytes, WORDS("len=600", "depths=50", "n=50", "control=swapped"));
    assert_string_equal(swapped.cells[0].name, "len=600,depth=50,swapped");
    for (int64_t i = 0; i < 50; i++) {
        read_index(&p, 0, i, &other);
        task_sample *s = open_sample(&swapped, 0, i);
        read_sample(&swapped, s, 4096, &got);
        assert_memory_equal(got.text, other.text, 600 - 5); /* the prompt is the same, the answer is not */
        const int told = atoi(other.text + 595), asked = atoi(got.text + 595);
        assert_int_not_equal(told, asked);
        if (i + 1 < 50) assert_int_equal(asked, sample_key(&p, 0, i + 1));

        char told_text[16], record[RECORD], expected[64];
        double value[VALUES];
        snprintf(told_text, sizeof told_text, " %05d. ", told);
        score(&swapped, s, got.text + 595, told_text, value, record);
        assert_true(value[TOKEN_ACCURACY] == 1 && value[EXACT_MATCH] == 1 && value[FIRST_INTEGER] == 0);
        assert_true(value[SWAPPED_ACCURACY] == 1);
        snprintf(expected, sizeof expected, "\"key\":\"%05d\",\"told\":\"%05d\"", asked, told);
        assert_non_null(strstr(record, expected));

        told_text[2] = told_text[2] == '9' ? '0' : told_text[2] + 1;
        told_text[5] = '\0';
        score(&swapped, s, "?????", told_text, value, record);
        assert_true(value[TOKEN_ACCURACY] == 0 && value[SWAPPED_ACCURACY] == 0.6);
        score(&swapped, s, "?????", "", value, record);
        assert_true(value[SWAPPED_ACCURACY] == 0);
        task()->eval->close(s);
    }
    drop(&p);
    drop(&swapped);
}

/* ---- Several keys ---- */

static void check_keys(const tokenizer *t, int keys, const char *lengths)
{
    char word[32], record[RECORD];
    snprintf(word, sizeof word, "keys=%d", keys);
    planned p = plan(t, WORDS(lengths, "depths=0,50,100", "n=8", "jitter=0", word));
    for (size_t c = 0; c < p.count; c++) {
        assert_non_null(strstr(p.cells[c].name, word));
        for (int64_t i = 0; i < 8; i++) {
            task_sample *s = open_sample(&p, c, i);
            read_sample(&p, s, 100, &got);
            assert_int_equal(got.count, p.cells[c].length);
            parse_passkey(got.text, got.size, 0, &found);
            assert_int_equal(found.needles, keys);
            assert_int_equal(found.questions, 1);
            const int asked = found.asked[0];
            for (int n = 0; n < keys; n++) assert_true(passkey_is_eval_key(atoi(found.key[n])));
            if (p.cells[c].depth == 0) assert_int_equal(asked, 0);
            if (p.cells[c].depth == 100) assert_int_equal(asked, keys - 1);
            if (p.cells[c].depth == 100) assert_int_equal(found.gap[0], 0);
            assert_int_equal(shape_of(task(), s).forget, token_at(t, got.token, found.question[0]));

            double value[VALUES];
            score(&p, s, found.key[asked], found.key[asked], value, record);
            assert_true(value[EXACT_MATCH] == 1 && value[FIRST_INTEGER] == 1);
            assert_true(record_number(record, "needle_offset") ==
                        (double)token_at(t, got.token, found.needle[asked]));
            char expected[64];
            snprintf(expected, sizeof expected, "\"name\":\"%s\"", found.name[asked]);
            assert_non_null(strstr(record, expected));
            task()->eval->close(s);
        }
    }
    drop(&p);
}

static void one_of_several_keys_is_asked(void **state)
{
    (void)state;
    check_keys(bytes, 2, "len=600,601,2000");
    check_keys(bytes, 7, "len=1200,5000");
    check_keys(bytes, 32, "len=4K");
    check_keys(pieces, 4, "len=400,401,900");
}

static void other_needles_lie_evenly(void **state)
{
    (void)state;
    planned p = plan(bytes, WORDS("len=20000", "depths=50", "n=10", "keys=5", "jitter=0"));
    for (int64_t i = 0; i < 10; i++) {
        read_index(&p, 0, i, &got);
        parse_passkey(got.text, got.size, 0, &found);
        const double room = 20000 - 700, depth[5] = {12.5, 37.5, 50, 62.5, 87.5};
        assert_int_equal(found.asked[0], 2);
        for (int n = 0; n < 5; n++) assert_true(fabs((double)found.needle[n] - room * depth[n] / 100) < 700);
    }
    drop(&p);
}

static void names_and_keys_are_paired_at_random(void **state)
{
    (void)state;
    planned p = plan(bytes, WORDS("len=700", "depths=50", "n=400", "keys=2"));
    int times[PASSKEY_NAMES] = {0};
    for (int64_t i = 0; i < 400; i++) {
        read_index(&p, 0, i, &got);
        parse_passkey(got.text, got.size, 0, &found);
        for (int n = 0; n < PASSKEY_NAMES; n++) times[n] += !strcmp(found.name[found.asked[0]], passkey_name(n));
    }
    for (int n = 0; n < PASSKEY_NAMES; n++) assert_in_range(times[n], 1, 30); /* 12.5 expected */
    drop(&p);
}

static void several_keys_need_room(void **state)
{
    (void)state;
    pal_error err = {0};
    task_run *run = NULL;
    void *request = request_of(WORDS("len=400", "keys=8"));
    assert_int_equal(task()->eval->begin(request, bytes, &run, &err), PAL_USAGE);
    assert_non_null(strstr(err.text, "len=400"));
    free(request);
    for (int64_t keys = 1; keys <= PASSKEY_NAMES; keys++) { /* the least length that is named is enough for all */
        char word[32], length[32];
        snprintf(word, sizeof word, "keys=%lld", (long long)keys);
        void *short_one = request_of(WORDS("len=1", word));
        assert_int_equal(task()->eval->begin(short_one, bytes, &run, &err), PAL_USAGE);
        snprintf(length, sizeof length, "len=%d", atoi(strstr(err.text, "least ") + 6));
        free(short_one);
        planned p = plan(bytes, WORDS(length, word, "n=20"));
        for (int64_t i = 0; i < 20; i++) read_index(&p, 1, i, &got);
        drop(&p);
    }
}

/* ---- Prose ---- */

/* The bytes of the endless haystack from document `first` on: each document after its begin token, a newline. */
static void prose_stream(int first, size_t size, char *out)
{
    size_t used = 0;
    for (int b = first; used < size; b = (b + 1) % BOOKS) {
        out[used++] = '\n';
        for (size_t i = 0; book[b][i] && used < size; i++) out[used++] = book[b][i];
    }
}

static void prose_goes_on_around_the_needles(void **state)
{
    (void)state;
    static char hay[8 * TEXT_MAX], expected[8 * TEXT_MAX];
    const char *const keys[] = {"keys=1", "keys=3"};
    for (int k = 0; k < 2; k++) {
        int firsts = 0;
        for (int seed = 0; seed < 8; seed++) {
            char word[32];
            snprintf(word, sizeof word, "seed=%d", seed);
            planned p = plan(bytes, WORDS("len=600,9000", "depths=0,40,100", "n=2", "haystack=prose",
                                          "prose_split=all", prose_word, keys[k], word));
            assert_int_equal(strlen(p.cells[0].data), 64);
            assert_non_null(strstr(p.cells[0].name, ",prose"));
            int first = -1;
            for (size_t c = 0; c < p.count; c++) {
                task_sample *s = open_sample(&p, c, 1);
                read_sample(&p, s, 97, &got);
                task()->eval->close(s);
                assert_int_equal(got.count, p.cells[c].length);
                parse_passkey(got.text, got.size, 1, &found);
                size_t used = 0;
                const int64_t header = (int64_t)strlen(HEADER);
                memcpy(hay, got.text + header, (size_t)found.before);
                used = (size_t)found.before;
                for (int n = 0; n < found.needles; n++) {
                    const int last = n == found.needles - 1;
                    const int64_t size = last ? found.gap[0] : found.between[n];
                    const int64_t end = last ? found.question[0] : found.needle[n + 1];
                    memcpy(hay + used, got.text + end - size, (size_t)size);
                    used += (size_t)size;
                }
                for (int b = 0; b < BOOKS && first < 0; b++) {
                    prose_stream(b, used, expected);
                    if (memcmp(hay, expected, used) == 0) first = b;
                }
                assert_true(first >= 0);
                prose_stream(first, used, expected);
                assert_memory_equal(hay, expected, used);
            }
            firsts |= 1 << first;
            drop(&p);
        }
        assert_int_equal(firsts, (1 << BOOKS) - 1); /* seeds start at different documents */
    }
}

/* Prose is cut anywhere, so the needle stands at its depth to the token. */
static void prose_has_the_needle_at_its_depth(void **state)
{
    (void)state;
    planned p = plan(bytes, WORDS("len=600,1001,9000", "depths=0,10,37,50,90,100", "n=2", "jitter=0",
                                  "haystack=prose", "prose_split=all", prose_word));
    const int64_t header = (int64_t)strlen(HEADER);
    for (size_t c = 0; c < p.count; c++) {
        task_sample *s = open_sample(&p, c, 1);
        read_sample(&p, s, 97, &got);
        task()->eval->close(s);
        parse_passkey(got.text, got.size, 1, &found);
        const int64_t before = found.needle[0] - header, room = before + found.gap[0];
        assert_int_equal(before, room * (int64_t)p.cells[c].depth / 100);
    }
    drop(&p);
}

static void prose_that_is_not_there(void **state)
{
    (void)state;
    pal_error err = {0};
    task_run *run = NULL;
    void *request = request_of(WORDS("haystack=prose", "prose=/nowhere/at/all"));
    assert_int_equal(task()->eval->begin(request, bytes, &run, &err), PAL_DATA);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    free(request);
}

/* ---- Books to read ---- */

static int start(void **state)
{
    open_bytes(state);
    pieces = bpe_tokenizer_of_passkey();
    assert_non_null(mkdtemp(folder));
    char path[64];
    snprintf(prose_word, sizeof prose_word, "prose=%s", folder);
    for (int b = 0; b < BOOKS; b++) {
        size_t used = 0;
        for (int line = 0; used < 2500 + 500 * (size_t)b; line++)
            used += (size_t)snprintf(book[b] + used, sizeof book[b] - used,
                                     "Book %d, line %d: it was the %dth of the nights and days. %s\n", b, line,
                                     line * line, line % 3 ? "" : "“Well?” said he.");
        snprintf(path, sizeof path, "%s/%d.txt", folder, b);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(book[b], f);
        fclose(f);
    }
    return 0;
}

static int finish(void **state)
{
    char path[64];
    for (int b = 0; b < BOOKS; b++) {
        snprintf(path, sizeof path, "%s/%d.txt", folder, b);
        unlink(path);
    }
    rmdir(folder);
    close_bytes(state);
    tokenizer_destroy(pieces);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_agree_up_to_their_needle),
        cmocka_unit_test(prompts_agree_behind_their_last_needle),
        cmocka_unit_test(other_haystacks_have_other_ids),
        cmocka_unit_test(an_absent_needle_is_nowhere),
        cmocka_unit_test(a_swapped_key_is_another_samples),
        cmocka_unit_test(one_of_several_keys_is_asked),
        cmocka_unit_test(other_needles_lie_evenly),
        cmocka_unit_test(names_and_keys_are_paired_at_random),
        cmocka_unit_test(several_keys_need_room),
        cmocka_unit_test(prose_goes_on_around_the_needles),
        cmocka_unit_test(prose_has_the_needle_at_its_depth),
        cmocka_unit_test(prose_that_is_not_there),
    };
    return cmocka_run_group_tests_name("passkey_variants", tests, start, finish);
}
