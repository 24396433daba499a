/* The passkey training source on BPE, with leads, several needles and prose. */
#include "tests/lib/passkey_source.h"

#include <unistd.h>

static sequence s; /* too large for the stack */

static void fill(opened *o, int64_t step, int64_t lane, int64_t length)
{
    fill_sequence(o, step, lane, length, &s);
    parse_passkey(s.text, s.size, 0, &s.p);
}

static void exact_length_in_tokens_of_bpe(void **state)
{
    (void)state;
    tokenizer *t = bpe_tokenizer_of_passkey();
    opened o = open_source(t, 1, WORDS("passkey_headerless=0.3", "passkey_keys=3", "passkey_lead=0.1"));
    for (int64_t length = 250; length <= 500; length++) {
        fill(&o, length, 0, length);
        int32_t again[2048]; /* whole sentences: only where the first needle cuts in may a word be cut */
        const int64_t from = token_at(t, s.truth, s.p.needle[0]);
        assert_int_equal(tokenizer_encode(t, s.text + s.p.needle[0], (size_t)(s.size - s.p.needle[0]), again),
                         length + 1 - from);
        assert_memory_equal(again, s.truth + from, (size_t)(length + 1 - from) * sizeof *again);
    }
    close_source(&o);
    tokenizer_destroy(t);
}

static void a_lead_is_filler_at_any_phase_and_no_loss(void **state)
{
    (void)state;
    opened o =
        open_source(bytes, 1, WORDS("passkey_lead=0.5", "passkey_headerless=0.5", "passkey_lm_weight=0.25"));
    int leads = 0, headers = 0, seen[90] = {0}, phases = 0;
    for (int64_t step = 0; step < 600; step++) {
        fill(&o, step, 0, 1500);
        headers += s.p.header;
        const int lead = s.weight[0] == 0;
        leads += lead;
        if (lead) phases += !seen[s.p.phase]++;
        if (lead)
            assert_false(s.p.header);
        else
            assert_int_equal(s.p.phase, 0);
        for (int64_t i = 1; i < s.p.needle[0]; i++) assert_true(s.weight[i - 1] == (lead ? 0 : 0.25f));
        assert_true(s.weight[s.p.needle[0]] == 0.25f);
    }
    assert_in_range(leads, 250, 350);
    assert_in_range(headers, 110, 190);
    assert_true(phases > 70);
    close_source(&o);
}

static void several_needles(void **state)
{
    (void)state;
    opened o =
        open_source(bytes, 1, WORDS("passkey_keys=4", "passkey_needle_span=0.5", "passkey_mention_weight=3"));
    int count[5] = {0}, asked[4] = {0}, adjacent = 0;
    for (int64_t step = 0; step < 400; step++) {
        fill(&o, step, 0, 4096);
        const int n = s.p.needles;
        count[n]++;
        assert_true((n == 1) == (s.p.name[0][0] == '\0'));
        for (int i = 0; i < n; i++) {
            assert_false(passkey_is_eval_key(atoi(s.p.key[i])));
            const int64_t second = find(s.text, s.size, s.p.needle[i], "Remember it. ") + 13;
            for (int d = 0; d < 5; d++) assert_true(s.weight[second + d - 1] == 3);
            adjacent += i + 1 < n && s.p.between[i] == 0;
        }
        assert_true(s.p.needle[0] >= (int64_t)strlen(HEADER));
        assert_true(s.p.needle[n - 1] <= 2048 + 3 * 90 + 22);
        for (int64_t q = 0; q < s.p.questions; q++)
            if (n == 4) asked[s.p.asked[q]]++;
    }
    for (int n = 1; n <= 4; n++) assert_in_range(count[n], 65, 135);
    const int all = asked[0] + asked[1] + asked[2] + asked[3];
    for (int i = 0; i < 4; i++) assert_in_range(asked[i], all / 5, all * 3 / 10);
    assert_true(adjacent < 100);
    close_source(&o);
}

/* ---- Prose ---- */

enum { PROSE = 6000 };

static void write_prose(char path[64], char *prose)
{
    int used = 0;
    for (int line = 0; used < PROSE; line++)
        used += snprintf(prose + used, 128, "Line %d of %d: the night was %s.\n", line, line * line,
                         line % 2 ? "dark" : "long");
    prose[PROSE] = '\0';
    strcpy(path, "/tmp/passkey-prose-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, prose, PROSE), PROSE);
    close(fd);
}

/* Checks that `hay` stands in the endless repetition of "\n" and the prose; returns where. */
static int64_t place_in_prose(const char *prose, const char *hay, int64_t size)
{
    char loop[PROSE + 2] = "\n";
    strcat(loop, prose);
    const int64_t period = PROSE + 1;
    for (int64_t start = 0; start < period; start++) {
        int64_t i = 0;
        while (i < size && hay[i] == loop[(start + i) % period]) i++;
        if (i == size) return start;
    }
    fail_msg("the filler is not the prose");
    return -1;
}

/* Appends `count` bytes of filler to hay[used]; all of them weigh as prose does. */
static int64_t take(int64_t from, int64_t count, char *hay, int64_t used)
{
    for (int64_t i = from; i < from + count; i++) {
        hay[used++] = s.text[i];
        if (i > 0) assert_true(s.weight[i - 1] == 0.75f);
    }
    return used;
}

static void a_share_of_the_filler_is_prose(void **state)
{
    (void)state;
    static char prose[PROSE + 128], hay[LENGTH_MAX];
    char path[64], data[96];
    write_prose(path, prose);
    snprintf(data, sizeof data, "passkey_prose_data=%s", path);
    opened o = open_source(bytes, 1,
                           WORDS("passkey_prose=0.5", data, "passkey_prose_split=all", "passkey_keys=2",
                                 "passkey_prose_weight=0.75", "passkey_lm_weight=0.25", "passkey_lead=0.2"));
    int proses = 0, seen[8] = {0};
    for (int64_t step = 0; step < 200; step++) {
        fill_sequence(&o, step, 0, 4096, &s);
        const int is_prose = strstr(s.text, "The grass is green. The sky") == NULL;
        proses += is_prose;
        if (!is_prose) continue;
        parse_passkey(s.text, s.size, 1, &s.p);
        int64_t used = take(s.p.header ? (int64_t)strlen(HEADER) : 0, s.p.before, hay, 0);
        for (int n = 0; n + 1 < s.p.needles; n++)
            used = take(s.p.needle[n + 1] - s.p.between[n], s.p.between[n], hay, used);
        for (int64_t q = 0; q < s.p.questions; q++)
            used = take(s.p.question[q] - s.p.gap[q], s.p.gap[q], hay, used);
        seen[place_in_prose(prose, hay, used) * 8 / (PROSE + 1)]++;
        assert_true(s.weight[s.p.needle[0]] == 0.25f);
    }
    assert_in_range(proses, 75, 125);
    for (int i = 0; i < 8; i++) assert_true(seen[i] > 2);
    close_source(&o);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_length_in_tokens_of_bpe),
        cmocka_unit_test(a_lead_is_filler_at_any_phase_and_no_loss),
        cmocka_unit_test(several_needles),
        cmocka_unit_test(a_share_of_the_filler_is_prose),
    };
    return cmocka_run_group_tests_name("passkey_source", tests, open_bytes, close_bytes);
}
