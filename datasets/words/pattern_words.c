/* Splits texts by PCRE2's patterns, and finds where a text that goes on can be cut.
 * A match that looked at the end of what was read is not certain; PCRE2 tells so (partial matching). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "datasets/words/pattern_words.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* White_Space, as Rust and Oniguruma have it. PCRE2's own \s takes U+180E in, which is none since Unicode 6.3. */
#define SPACES                                                                                                    \
    "\\t-\\r\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

enum {
    SCRATCH = 1024, /* bytes that a match needs; PCRE2 asks for less than 300 */
    RECALLED = 16   /* borders that are tried as places of a cut */
};

struct pattern_words {
    size_t count;
    struct {
        pcre2_code *code;
        int drop, jit;
    } stage[PATTERN_STAGES];
    int looks_behind;
};

/* ---- Compiling ---- */

typedef struct text_buffer {
    char *text;
    size_t size;
} text_buffer;

static void append(text_buffer *b, const char *text, size_t size)
{
    memcpy(b->text + b->size, text, size);
    b->size += size;
}

/* The pattern with \s and \S spelled out. \S inside a class stays PCRE2's. Returns malloc'ed text, NULL: no
 * memory.
 */
static char *spell_out(const char *pattern, size_t *size)
{
    static const char inside[] = SPACES, white[] = "[" SPACES "]", black[] = "[^" SPACES "]";
    text_buffer b = {malloc(strlen(pattern) / 2 * sizeof black + strlen(pattern) + 1), 0};
    if (!b.text) return NULL;
    int in_class = 0;
    for (const char *p = pattern; *p; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            if (*p == 's')
                append(&b, in_class ? inside : white, strlen(in_class ? inside : white));
            else if (*p == 'S' && !in_class)
                append(&b, black, sizeof black - 1);
            else
                append(&b, p - 1, 2);
            continue;
        }
        if (*p == '[' && !in_class) {
            in_class = 1;
            append(&b, p, 1);
            if (p[1] == '^') append(&b, ++p, 1);
            if (p[1] == ']') append(&b, ++p, 1);
            continue;
        }
        if (*p == ']') in_class = 0;
        append(&b, p, 1);
    }
    *size = b.size;
    return b.text;
}

/* Whether what the pattern matches can depend on what stands before. */
static int looks_behind(const pcre2_code *code, const char *pattern)
{
    uint32_t most = 0;
    pcre2_pattern_info(code, PCRE2_INFO_MAXLOOKBEHIND, &most);
    if (most > 0 || strstr(pattern, "\\G") || strstr(pattern, "\\K")) return 1;
    for (const char *p = strchr(pattern, '^'); p; p = strchr(p + 1, '^'))
        if (p == pattern || p[-1] != '[') return 1;
    return 0;
}

static int compile(pattern_words *w, const pattern_rule *rule, const char *name, pal_error *err)
{
    size_t size = 0, where = 0;
    int cause = 0;
    char *pattern = spell_out(rule->pattern, &size);
    if (!pattern) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for a pattern", name);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, size, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                                     &cause, &where, NULL);
    free(pattern);
    if (!code) {
        PCRE2_UCHAR text[256];
        pcre2_get_error_message(cause, text, sizeof text);
        return pal_fail(err, PAL_DATA, "%s: PCRE2 cannot use the pattern \"%.200s\" of pre_tokenizer: %s", name,
                        rule->pattern, (const char *)text);
    }
    w->stage[w->count].code = code;
    w->stage[w->count].drop = rule->drop;
    w->stage[w->count++].jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD) == 0;
    w->looks_behind |= looks_behind(code, rule->pattern);
    return PAL_OK;
}

int pattern_words_create(pattern_words **out, const pattern_rule *rule, size_t count, const char *name,
                         pal_error *err)
{
    if (count > PATTERN_STAGES)
        return pal_fail(err, PAL_DATA, "%s: pre_tokenizer has %zu patterns; at most %d can be followed", name,
                        count, PATTERN_STAGES);
    pattern_words *w = calloc(1, sizeof *w);
    if (!w) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for patterns", name);
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < count; i++) code = compile(w, &rule[i], name, err);
    if (code == PAL_OK)
        *out = w;
    else
        pattern_words_destroy(w);
    return code;
}

void pattern_words_destroy(pattern_words *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->count; i++) pcre2_code_free(w->stage[i].code);
    free(w);
}

void pattern_words_unicode(char *out, size_t room)
{
    char version[64] = "";
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    snprintf(out, room, "%s", version);
}

/* ---- Splitting ---- */

/* A word: its bytes, and whether a text that begins behind it has the words that follow here. */
typedef void take_word(void *context, size_t from, size_t to, int border);

typedef struct splitting {
    const pattern_words *words;
    const char *text;
    pcre2_match_data *match;
    take_word *take;
    void *context;
} splitting;

/* Memory for one match, from the stack: matching must not fail for lack of any. */
typedef struct scratch {
    max_align_t bytes[SCRATCH / sizeof(max_align_t)];
    size_t used;
} scratch;

static void *take_scratch(size_t size, void *context)
{
    scratch *s = context;
    const size_t rounded = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t);
    if (s->used + rounded > sizeof s->bytes / sizeof *s->bytes) return malloc(size); /* frames without JIT */
    s->used += rounded;
    return s->bytes + s->used - rounded;
}

static void leave_scratch(void *memory, void *context)
{
    scratch *s = context;
    const char *at = memory, *base = (const char *)s->bytes;
    if (at < base || at >= base + sizeof s->bytes) free(memory);
}

typedef enum found { FOUND_NONE, FOUND_ALL, FOUND_OPEN /* begins, and may end beyond what was read */ } found;

/* The next match in text[begin..end), from `at` on. */
static found find(const splitting *s, size_t stage, size_t begin, size_t end, size_t *at, size_t *to, int open)
{
    const uint32_t options = PCRE2_NOTEMPTY | (open ? PCRE2_PARTIAL_HARD : 0);
    const pcre2_code *code = s->words->stage[stage].code;
    const PCRE2_SPTR subject = (PCRE2_SPTR)s->text + begin;
    const int result =
        s->words->stage[stage].jit
            ? pcre2_jit_match(code, subject, end - begin, *at - begin, options, s->match, NULL)
            : pcre2_match(code, subject, end - begin, *at - begin, options | PCRE2_NO_UTF_CHECK, s->match, NULL);
    if (result < 0 && result != PCRE2_ERROR_PARTIAL) return FOUND_NONE;
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(s->match);
    *at = begin + place[0];
    *to = begin + place[1];
    return result == PCRE2_ERROR_PARTIAL ? FOUND_OPEN : FOUND_ALL;
}

enum { ANYWHERE = 0 }; /* no word ends at 0 */

/* The words of text[from..to), by this pattern and those after it. open: it may go on behind `to`; only what is
 * certain is given. border: the one place where a text may begin anew, since the piece is a match; or ANYWHERE. */
static void split(const splitting *s, size_t stage, size_t from, size_t to, int open, size_t border)
{
    if (from == to) return;
    if (stage == s->words->count) {
        if (!open) s->take(s->context, from, to, border == ANYWHERE || border == to);
        return;
    }
    for (size_t at = from; at < to;) {
        size_t start = at, end = to;
        const found f = find(s, stage, from, to, &start, &end, open);
        if (f == FOUND_NONE) start = to;
        if (!s->words->stage[stage].drop) split(s, stage + 1, at, start, open && f != FOUND_ALL, border);
        if (f != FOUND_ALL) return;
        split(s, stage + 1, start, end, 0, border == ANYWHERE || border == end ? end : SIZE_MAX);
        at = end;
    }
}

static void run(const pattern_words *w, const char *text, size_t size, int open, take_word *take, void *context)
{
    scratch s = {.used = 0};
    pcre2_general_context *memory = pcre2_general_context_create(take_scratch, leave_scratch, &s);
    splitting all = {w, text, pcre2_match_data_create(1, memory), take, context};
    split(&all, 0, 0, size, open, ANYWHERE);
    pcre2_match_data_free(all.match);
    pcre2_general_context_free(memory);
}

typedef struct each {
    pattern_words_take *take;
    void *context;
} each;

static void give(void *context, size_t from, size_t to, int border)
{
    const each *e = context;
    (void)border;
    e->take(e->context, from, to);
}

void pattern_words_each(const pattern_words *w, const char *text, size_t size, pattern_words_take *take,
                        void *context)
{
    each e = {take, context};
    run(w, text, size, 0, give, &e);
}

/* ---- Cutting ---- */

/* A place where the text might be cut, and a hash of all words before it. */
typedef struct border {
    size_t at;
    uint64_t hash;
} border;

typedef struct borders {
    pattern_words_allow *allow;
    const void *context;
    uint64_t hash;
    size_t count; /* of all; the last RECALLED are kept */
    border kept[RECALLED];
} borders;

static void note(void *context, size_t from, size_t to, int free_to_begin)
{
    borders *b = context;
    b->hash = (b->hash ^ from) * UINT64_C(0x9e3779b97f4a7c15);
    b->hash = (b->hash ^ b->hash >> 29 ^ to) * UINT64_C(0xbf58476d1ce4e5b9);
    if (!free_to_begin || (b->allow && !b->allow(b->context, to))) return;
    b->kept[b->count++ % RECALLED] = (border){to, b->hash};
}

size_t pattern_words_safe(const pattern_words *w, const char *text, size_t size, pattern_words_allow *allow,
                          const void *context)
{
    borders certain = {.allow = allow, .context = context};
    if (w->looks_behind) return 0;
    run(w, text, size, 1, note, &certain);
    /* A word may have looked at what stands behind it: the words must be the same when the text ends at the cut.
     */
    for (size_t i = 1; i <= RECALLED && i <= certain.count; i++) {
        const border *b = &certain.kept[(certain.count - i) % RECALLED];
        borders cut = {.count = 0};
        run(w, text, b->at, 0, note, &cut);
        if (cut.hash == b->hash) return b->at;
    }
    return 0;
}
