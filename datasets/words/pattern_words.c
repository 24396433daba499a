/* Splits texts by PCRE2's patterns, and finds where a text that goes on can be cut.
 * A match that looked at the end of what was read is not certain; PCRE2 tells so (partial matching). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "datasets/words/pattern_words.h"

#include "datasets/words/unicode_class.h"

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

/* ---- Letters and numbers that PCRE2 does not know yet ---- */

enum { CHARACTERS = 0x110000, SURROGATES = 0xd800, AFTER_SURROGATES = 0xe000 };

/* A character beyond ASCII as UTF-8; returns where the next goes. */
static char *put_character(uint32_t c, char *out)
{
    const int tail = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    if (c >= SURROGATES && c < AFTER_SURROGATES) return out;
    *out++ = (char)(unsigned char)((tail == 1 ? 0xc0 : tail == 2 ? 0xe0 : 0xf0) | c >> (6 * tail));
    for (int i = tail - 1; i >= 0; i--) *out++ = (char)(unsigned char)(0x80 | (c >> (6 * i) & 0x3f));
    return out;
}

/* All characters of a class in order, as UTF-8; NULL: no memory. */
static char *characters_of(unicode_class class, size_t *size)
{
    char *text = malloc((size_t)CHARACTERS * 4), *out = text;
    for (uint32_t c = 0x80, end; text && c < CHARACTERS; c = end) {
        if (unicode_class_run(c, &end) != class) continue;
        for (; c < end; c++) out = put_character(c, out);
    }
    *size = text ? (size_t)(out - text) : 0;
    return text;
}

static uint32_t character_at(const unsigned char *u, size_t *length)
{
    *length = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    uint32_t c = u[0] & (0xffu >> (*length + 1));
    for (size_t i = 1; i < *length; i++) c = c << 6 | (u[i] & 0x3fu);
    return c;
}

/* Ranges of a character class. */
static void write_ranges(FILE *f, const char *text, size_t size)
{
    uint32_t first = 0, last = 0;
    for (size_t at = 0, length; at < size; at += length) {
        const uint32_t c = character_at((const unsigned char *)text + at, &length);
        if (first && c == last + 1) {
            last = c;
            continue;
        }
        if (first) fprintf(f, "\\x{%x}-\\x{%x}", (unsigned)first, (unsigned)last);
        first = last = c;
    }
    if (first) fprintf(f, "\\x{%x}-\\x{%x}", (unsigned)first, (unsigned)last);
}

/* What the class has and PCRE2's property has not, as the inside of a character class in malloc'ed text. */
static char *unknown_ranges(unicode_class class, const char *not_property)
{
    int cause;
    size_t size, where, room;
    char *text = characters_of(class, &size), *ranges = NULL;
    FILE *f = text ? open_memstream(&ranges, &room) : NULL;
    pcre2_code *code = f ? pcre2_compile((PCRE2_SPTR)not_property, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                                         &cause, &where, NULL)
                         : NULL;
    pcre2_match_data *match = code ? pcre2_match_data_create(1, NULL) : NULL;
    for (size_t at = 0;
         match && pcre2_match(code, (PCRE2_SPTR)text, size, at, PCRE2_NO_UTF_CHECK, match, NULL) >= 0;) {
        const PCRE2_SIZE *place = pcre2_get_ovector_pointer(match);
        write_ranges(f, text + place[0], place[1] - place[0]);
        at = place[1];
    }
    const int whole = match != NULL;
    pcre2_match_data_free(match);
    pcre2_code_free(code);
    free(text);
    if (f && fclose(f) == 0 && whole) return ranges;
    free(ranges);
    return NULL;
}

/* ---- Compiling ---- */

/* Texts that stand for \s, \p{L} and \p{N} inside a class. */
typedef struct classes {
    char *letters, *numbers;
} classes;

static int make_classes(classes *c, const char *name, pal_error *err)
{
    *c = (classes){unknown_ranges(UNICODE_LETTER, "\\P{L}+"), unknown_ranges(UNICODE_NUMBER, "\\P{N}+")};
    if (c->letters && c->numbers) return PAL_OK;
    return pal_fail(err, PAL_INTERNAL, "%s: out of memory for the letters of Unicode", name);
}

static void free_classes(classes *c)
{
    free(c->letters);
    free(c->numbers);
}

/* What begins at `p` with a backslash: its text inside a class in *inside and *more, and its bytes; 0: it stays.
 */
static size_t spelled(const classes *c, const char *p, const char **inside, const char **more)
{
    *more = "";
    *inside = p[1] == 's' ? SPACES : strncmp(p, "\\p{L}", 5) == 0 ? "\\p{L}" : "\\p{N}";
    if (p[1] == 's') return 2;
    if (strncmp(p, "\\p{L}", 5) != 0 && strncmp(p, "\\p{N}", 5) != 0) return 0;
    *more = p[3] == 'L' ? c->letters : c->numbers;
    return 5;
}

/* The pattern with \s, \S, \p{L} and \p{N} spelled out. \S inside a class stays PCRE2's. malloc'ed; NULL: no
 * memory. */
static char *spell_out(const classes *c, const char *pattern, size_t *size)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, size);
    int in_class = 0;
    for (const char *p = pattern; f && *p; p++) {
        const char *inside, *more;
        const size_t length = *p == '\\' ? spelled(c, p, &inside, &more) : 0;
        if (length) {
            fprintf(f, in_class ? "%s%s" : "[%s%s]", inside, more);
            p += length - 1;
        } else if (*p == '\\' && p[1]) {
            if (p[1] == 'S' && !in_class)
                fputs("[^" SPACES "]", f);
            else
                fwrite(p, 1, 2, f);
            p++;
        } else if (*p == '[' && !in_class) {
            in_class = 1;
            const size_t opening = 1 + (p[1] == '^') + (p[1 + (p[1] == '^')] == ']');
            fwrite(p, 1, opening, f);
            p += opening - 1;
        } else {
            if (*p == ']') in_class = 0;
            putc(*p, f);
        }
    }
    const int whole = f && !ferror(f);
    if (f && fclose(f) == 0 && whole) return text;
    free(text);
    return NULL;
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

static int compile(pattern_words *w, const classes *c, const pattern_rule *rule, const char *name, pal_error *err)
{
    size_t size = 0, where = 0;
    int cause = 0;
    char *pattern = spell_out(c, rule->pattern, &size);
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
    classes c;
    int code = make_classes(&c, name, err);
    for (size_t i = 0; code == PAL_OK && i < count; i++) code = compile(w, &c, &rule[i], name, err);
    free_classes(&c);
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
