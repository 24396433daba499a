/* ROUGE-1, -2, -L and -Lsum of token sequences, value for value those of rouge_score. */
#include "tasks/rouge/rouge.h"

#include "harness/base/array.h"

#include "tasks/rouge/lcs.h"
#include "tasks/rouge/porter_stemmer.h"
#include "tasks/rouge/word_ids.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const rouge_metric_name[ROUGE_METRICS] = {"rouge1", "rouge2", "rougeL", "rougeLsum"};

enum { STEM_BEYOND = 3 }; /* tokens of more characters are stemmed */

/* Two tokens that follow each other in the reference. */
typedef struct bigram {
    uint64_t pair;
    size_t left; /* 1 + how often it has not been met yet; 0: an empty place of the table */
} bigram;

struct rouge_scorer {
    int stemming;
    word_ids words; /* as they stand in texts, in lower case */
    word_ids stems; /* with the stemmer: what their tokens are numbers of */
    uint32_t *stem; /* [stem_room] by word */
    size_t stem_room;
    char *word; /* the one being read */
    size_t word_room;
    lcs *lcs;
    size_t *ref_left, *hyp_left; /* [left_room] by token; 0 between calls */
    size_t left_room;
    bigram *bigram; /* a table with open addressing */
    size_t bigram_room;
    uint64_t *chosen; /* bits over one sentence */
    size_t chosen_room;
};

/* ---- Making one ---- */

int rouge_scorer_create(int use_stemmer, rouge_scorer **out, pal_error *err)
{
    rouge_scorer *s = *out = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "out of memory");
    s->stemming = use_stemmer;
    const int code = lcs_create(&s->lcs, err);
    if (code == PAL_OK) return PAL_OK;
    rouge_scorer_destroy(s);
    *out = NULL;
    return code;
}

void rouge_scorer_destroy(rouge_scorer *s)
{
    if (!s) return;
    word_ids_free(&s->words);
    word_ids_free(&s->stems);
    lcs_destroy(s->lcs);
    free(s->stem);
    free(s->word);
    free(s->ref_left);
    free(s->hyp_left);
    free(s->bigram);
    free(s->chosen);
    free(s);
}

size_t rouge_scorer_words(const rouge_scorer *s)
{
    return s->words.count;
}

void rouge_scorer_forget(rouge_scorer *s)
{
    word_ids_clear(&s->words);
    word_ids_clear(&s->stems);
}

/* ---- Tokens ---- */

/* The token of s->word[size], which this may change. */
static int token_of(rouge_scorer *s, size_t size, uint32_t *token, pal_error *err)
{
    const size_t before = s->words.count;
    PAL_TRY(word_ids_of(&s->words, s->word, size, token, err));
    if (!s->stemming) return PAL_OK;
    const uint32_t word = *token;
    if (word == before) {
        PAL_TRY(array_room(&s->stem, &s->stem_room, s->words.count, sizeof *s->stem, "a text", err));
        if (size > STEM_BEYOND) size = porter_stem(s->word, size);
        PAL_TRY(word_ids_of(&s->stems, s->word, size, &s->stem[word], err));
    }
    *token = s->stem[word];
    return PAL_OK;
}

/* The character of a-z or 0-9 that begins at text[*at], in lower case, and *at moved beyond it; 0 for any other.
 * Two characters outside ASCII have a lower case that holds one: the Kelvin sign U+212A is k, and I with a dot
 * above U+0130 is i followed by a combining dot, which ends the token (*cut). */
static char next_character(const char *text, size_t size, size_t *at, int *cut)
{
    const unsigned char c = (unsigned char)text[*at];
    *cut = 0;
    (*at)++;
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return (char)c;
    if (c >= 'A' && c <= 'Z') return (char)(c + ('a' - 'A'));
    if (c < 0x80) return 0;
    if (size - *at >= 2 && memcmp(text + *at - 1, "\xE2\x84\xAA", 3) == 0) {
        *at += 2;
        return 'k';
    }
    if (size - *at >= 1 && memcmp(text + *at - 1, "\xC4\xB0", 2) == 0) {
        *at += 1;
        *cut = 1;
        return 'i';
    }
    return 0;
}

static int push_token(rouge_scorer *s, rouge_text *t, size_t *room, size_t word_size, pal_error *err)
{
    PAL_TRY(array_room(&t->token, room, t->count + 1, sizeof *t->token, "a text", err));
    PAL_TRY(token_of(s, word_size, &t->token[t->count], err));
    t->count++;
    return PAL_OK;
}

static int end_sentence(rouge_text *t, size_t *room, pal_error *err)
{
    if (t->count == (t->sentences ? t->end[t->sentences - 1] : 0)) return PAL_OK;
    PAL_TRY(array_room(&t->end, room, t->sentences + 1, sizeof *t->end, "a text", err));
    t->end[t->sentences++] = t->count;
    return PAL_OK;
}

static int read_tokens(rouge_scorer *s, const char *text, size_t size, rouge_text *t, pal_error *err)
{
    size_t token_room = 0, end_room = 0, length = 0;
    for (size_t at = 0; at < size;) {
        const int line_end = text[at] == '\n';
        int cut;
        const char c = next_character(text, size, &at, &cut);
        if (c) {
            if (length == s->word_room)
                PAL_TRY(array_room(&s->word, &s->word_room, length + 64, 1, "a text", err));
            s->word[length++] = c;
        }
        if (length > 0 && (!c || cut || at == size)) {
            PAL_TRY(push_token(s, t, &token_room, length, err));
            length = 0;
        }
        if (line_end || at == size) PAL_TRY(end_sentence(t, &end_room, err));
    }
    return PAL_OK;
}

int rouge_text_read(rouge_scorer *s, const char *text, size_t size, rouge_text *out, pal_error *err)
{
    *out = (rouge_text){0};
    const int code = read_tokens(s, text, size, out, err);
    if (code != PAL_OK) rouge_text_free(out);
    return code;
}

void rouge_text_free(rouge_text *t)
{
    free(t->token);
    free(t->end);
    *t = (rouge_text){0};
}

/* ---- Metrics ---- */

static rouge_prf prf(size_t hits, size_t ref_count, size_t hyp_count)
{
    if (hits == 0) return (rouge_prf){0, 0, 0};
    const double p = (double)hits / (double)hyp_count, r = (double)hits / (double)ref_count;
    return (rouge_prf){p, r, 2 * p * r / (p + r)};
}

static rouge_prf unigrams(rouge_scorer *s, const rouge_text *ref, const rouge_text *hyp)
{
    size_t hits = 0;
    for (size_t i = 0; i < ref->count; i++) s->ref_left[ref->token[i]]++;
    for (size_t i = 0; i < hyp->count; i++) {
        size_t *left = &s->ref_left[hyp->token[i]];
        hits += *left > 0;
        *left -= *left > 0;
    }
    for (size_t i = 0; i < ref->count; i++) s->ref_left[ref->token[i]] = 0;
    return prf(hits, ref->count, hyp->count);
}

/* Where the pair of tokens that begins at t[0] is, or the empty place where it would be. `slots`: a power of two.
 */
static bigram *find_bigram(bigram *table, size_t slots, const uint32_t *t, uint64_t *pair)
{
    *pair = (uint64_t)t[0] << 32 | t[1];
    /* Fibonacci hashing (Knuth, vol. 3, section 6.4): the high bits of the product are well mixed. */
    size_t at = (size_t)(*pair * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (slots - 1);
    while (table[at].left && table[at].pair != *pair) at = (at + 1) & (slots - 1);
    return &table[at];
}

static int bigrams(rouge_scorer *s, const rouge_text *ref, const rouge_text *hyp, rouge_prf *out, pal_error *err)
{
    *out = (rouge_prf){0, 0, 0};
    if (ref->count < 2 || hyp->count < 2) return PAL_OK;
    size_t slots = 16, hits = 0;
    uint64_t pair;
    while (slots < 2 * ref->count) slots *= 2;
    PAL_TRY(array_room(&s->bigram, &s->bigram_room, slots, sizeof *s->bigram, "a text", err));
    memset(s->bigram, 0, slots * sizeof *s->bigram);
    for (size_t i = 0; i + 1 < ref->count; i++) {
        bigram *b = find_bigram(s->bigram, slots, ref->token + i, &pair);
        *b = (bigram){pair, b->left ? b->left + 1 : 2};
    }
    for (size_t i = 0; i + 1 < hyp->count; i++) {
        bigram *b = find_bigram(s->bigram, slots, hyp->token + i, &pair);
        if (b->left < 2) continue;
        hits++;
        b->left--;
    }
    *out = prf(hits, ref->count - 1, hyp->count - 1);
    return PAL_OK;
}

/* Every token of the union of LCS is a hit while both texts still have one that was not counted. */
static int summary_lcs(rouge_scorer *s, const rouge_text *ref, const rouge_text *hyp, rouge_prf *out,
                       pal_error *err)
{
    int code = PAL_OK;
    size_t hits = 0;
    PAL_TRY(array_room(&s->chosen, &s->chosen_room, ref->count / 64 + 1, sizeof *s->chosen, "a text", err));
    for (size_t i = 0; i < ref->count; i++) s->ref_left[ref->token[i]]++;
    for (size_t i = 0; i < hyp->count; i++) s->hyp_left[hyp->token[i]]++;
    for (size_t k = 0; code == PAL_OK && k < ref->sentences; k++) {
        const size_t begin = k ? ref->end[k - 1] : 0, count = ref->end[k] - begin;
        const uint32_t *sentence = ref->token + begin;
        memset(s->chosen, 0, (count / 64 + 1) * sizeof *s->chosen);
        code = lcs_union(s->lcs, sentence, count, hyp->token, hyp->end, hyp->sentences, s->chosen, err);
        for (size_t i = 0; code == PAL_OK && i < count; i++) {
            size_t *ref_left = &s->ref_left[sentence[i]], *hyp_left = &s->hyp_left[sentence[i]];
            if (!(s->chosen[i / 64] >> i % 64 & 1) || *ref_left == 0 || *hyp_left == 0) continue;
            hits++;
            (*ref_left)--;
            (*hyp_left)--;
        }
    }
    for (size_t i = 0; i < ref->count; i++) s->ref_left[ref->token[i]] = 0;
    for (size_t i = 0; i < hyp->count; i++) s->hyp_left[hyp->token[i]] = 0;
    *out = prf(hits, ref->count, hyp->count);
    return code;
}

double rouge_overall(double f1, double f2, double fl)
{
    return cbrt(f1 * f2 * fl);
}

static void set_overall(rouge_result *r)
{
    r->overall = rouge_overall(r->metric[ROUGE_1].f, r->metric[ROUGE_2].f, r->metric[ROUGE_L].f);
}

int rouge_compare(rouge_scorer *s, const rouge_text *ref, const rouge_text *hyp, rouge_result *out, pal_error *err)
{
    const size_t tokens = s->stemming ? s->stems.count : s->words.count;
    size_t room = s->left_room, length;
    PAL_TRY(array_room(&s->ref_left, &room, tokens, sizeof *s->ref_left, "a text", err));
    PAL_TRY(array_room(&s->hyp_left, &s->left_room, tokens, sizeof *s->hyp_left, "a text", err));
    out->metric[ROUGE_1] = unigrams(s, ref, hyp);
    PAL_TRY(bigrams(s, ref, hyp, &out->metric[ROUGE_2], err));
    PAL_TRY(lcs_length(s->lcs, ref->token, ref->count, hyp->token, hyp->count, &length, err));
    out->metric[ROUGE_L] = prf(length, ref->count, hyp->count);
    PAL_TRY(summary_lcs(s, ref, hyp, &out->metric[ROUGE_LSUM], err));
    set_overall(out);
    out->undefined = ref->count == 0;
    return PAL_OK;
}

int rouge_compare_many(rouge_scorer *s, const rouge_text *refs, size_t count, const rouge_text *hyp,
                       rouge_policy policy, rouge_result *out, pal_error *err)
{
    if (count == 0) return pal_fail(err, PAL_USAGE, "no reference to compare with");
    PAL_TRY(rouge_compare(s, &refs[0], hyp, out, err));
    if (policy == ROUGE_FIRST) return PAL_OK;
    for (size_t i = 1; i < count; i++) {
        rouge_result one;
        PAL_TRY(rouge_compare(s, &refs[i], hyp, &one, err));
        out->undefined = out->undefined && one.undefined;
        for (int m = 0; m < ROUGE_METRICS; m++) {
            rouge_prf *all = &out->metric[m];
            if (policy == ROUGE_MAX && one.metric[m].f > all->f) *all = one.metric[m];
            if (policy != ROUGE_MEAN) continue;
            all->precision += (one.metric[m].precision - all->precision) / (double)(i + 1);
            all->recall += (one.metric[m].recall - all->recall) / (double)(i + 1);
            all->f += (one.metric[m].f - all->f) / (double)(i + 1);
        }
    }
    set_overall(out);
    return PAL_OK;
}

int rouge_score(const char *ref, size_t ref_size, const char *hyp, size_t hyp_size, int use_stemmer,
                rouge_result *out, pal_error *err)
{
    rouge_scorer *s = NULL;
    rouge_text texts[2] = {{0}, {0}};
    int code = rouge_scorer_create(use_stemmer, &s, err);
    if (code == PAL_OK) code = rouge_text_read(s, ref, ref_size, &texts[0], err);
    if (code == PAL_OK) code = rouge_text_read(s, hyp, hyp_size, &texts[1], err);
    if (code == PAL_OK) code = rouge_compare(s, &texts[0], &texts[1], out, err);
    rouge_text_free(&texts[0]);
    rouge_text_free(&texts[1]);
    rouge_scorer_destroy(s);
    return code;
}
