/* Reads the tokenizer.json of BPE. A file of another kind is refused with all that it has and this program has
 * not, so that one look tells how far away it is. */
#include "datasets/tokenizer/tokenizer_json.h"

#include "datasets/tokenizer/bpe_fill.h"
#include "datasets/tokenizer/tokenizer_rules.h"
#include "harness/base/utf8.h"

#include <ctype.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const char *path;
    byte_alphabet alphabet;
    tokenizer_rules rules;
    json_t *root;
    const json_t *vocab, *merges, *added;
    bpe *bpe;
    pal_error *err;
} reader;

__attribute__((format(printf, 2, 3))) static int bad(const reader *r, const char *format, ...)
{
    char text[560];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return pal_fail(r->err, PAL_DATA, "%s: %s", r->path, text);
}

static int no_memory(const reader *r)
{
    return pal_fail(r->err, PAL_INTERNAL, "%s: out of memory for a tokenizer", r->path);
}

/* Tokens by id while they are gathered. */
typedef struct entry {
    const char *text; /* NULL: no token */
    size_t size;
    tokenizer_token_type type;
    int odd; /* added_token's */
} entry;

static int add_entry(const reader *r, entry *entries, size_t room, const char *text, const json_t *id, entry kind)
{
    const json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;
    if (at < 0 || (size_t)at >= room)
        return bad(r, "token \"%.40s\" has no id, or one beyond the number of tokens (%zu)", text, room);
    entry *e = &entries[at];
    if (e->text && strcmp(e->text, text) != 0)
        return bad(r, "tokens \"%.40s\" and \"%.40s\" have the same id %lld", e->text, text, (long long)at);
    *e = (entry){text, strlen(text), kind.type, kind.odd};
    return PAL_OK;
}

/* A text has one id: in the vocabulary and among the added tokens, and among these. `ids` holds what was added. */
static int add_added(const reader *r, entry *entries, size_t room, json_t *ids, size_t index, const json_t *token)
{
    const char *text = json_string_value(json_object_get(token, "content"));
    if (!text || !*text) return bad(r, "added_tokens[%zu] has no content", index);
    json_t *id = json_object_get(token, "id");
    const int special = !json_is_false(json_object_get(token, "special"));
    const entry kind = {.type = special ? TOKEN_CONTROL : TOKEN_USER,
                        .odd = json_is_true(json_object_get(token, "lstrip")) ||
                               json_is_true(json_object_get(token, "rstrip")) ||
                               json_is_true(json_object_get(token, "single_word")) ||
                               (r->rules.normalizes && json_is_true(json_object_get(token, "normalized")))};
    PAL_TRY(add_entry(r, entries, room, text, id, kind));
    const json_t *known = json_object_get(r->vocab, text), *before = json_object_get(ids, text);
    if ((known && !json_equal(known, id)) || (before && !json_equal(before, id)))
        return bad(r, "token \"%.40s\" has two ids", text);
    return json_object_set(ids, text, id) == 0 ? PAL_OK : no_memory(r);
}

/* In the vocabulary of SentencePiece "<0x0A>" is a byte. */
static tokenizer_token_type type_of_text(const reader *r, const char *text)
{
    const int byte = r->rules.bpe.kind == BPE_OF_CHARACTERS && strlen(text) == 6 && memcmp(text, "<0x", 3) == 0 &&
                     isxdigit((unsigned char)text[3]) && isxdigit((unsigned char)text[4]) && text[5] == '>';
    return byte ? TOKEN_BYTE : TOKEN_NORMAL;
}

static int gather_entries(const reader *r, entry *entries, size_t room)
{
    const char *key;
    json_t *value, *ids = json_object();
    size_t index;
    int code = ids ? PAL_OK : no_memory(r);
    json_object_foreach((json_t *)r->vocab, key, value)
    {
        const entry kind = {.type = type_of_text(r, key)};
        if (code == PAL_OK) code = add_entry(r, entries, room, key, value, kind);
    }
    json_array_foreach(r->added, index, value)
    {
        if (code == PAL_OK) code = add_added(r, entries, room, ids, index, value);
    }
    json_decref(ids);
    return code;
}

/* Fills the vocabulary from entries[vocab]. The rules go with it. */
static int take_entries(reader *r, const entry *entries, size_t vocab)
{
    size_t room = 0;
    for (size_t i = 0; i < vocab; i++) room += entries[i].size;
    r->bpe = bpe_alloc(vocab, json_array_size(r->merges), room);
    if (!r->bpe) return no_memory(r);
    r->bpe->rules = r->rules.bpe;
    r->rules.bpe = (bpe_rules){0};
    for (size_t i = 0; i < vocab; i++) {
        const tokenizer_text text = {entries[i].text, entries[i].size};
        PAL_TRY(bpe_put_token(r->bpe, &r->alphabet, i, text, entries[i].type, entries[i].odd, r->path, r->err));
    }
    return PAL_OK;
}

static int read_vocab(reader *r)
{
    const size_t room = json_object_size(r->vocab) + json_array_size(r->added);
    entry *entries = calloc(room + 1, sizeof *entries);
    if (!entries) return no_memory(r);
    int code = gather_entries(r, entries, room);
    size_t vocab = 0;
    while (entries[vocab].text) vocab++;
    for (size_t i = vocab; code == PAL_OK && i < room; i++)
        if (entries[i].text) code = bad(r, "there is no token with id %zu", vocab);
    if (code == PAL_OK) code = take_entries(r, entries, vocab);
    free(entries);
    return code;
}

static int32_t find_token(const reader *r, const char *key, size_t size)
{
    const json_t *id = json_object_getn(r->vocab, key, size);
    return id && r->bpe->role[json_integer_value(id)] == BPE_TEXT ? (int32_t)json_integer_value(id) : -1;
}

/* One merge, "a b" or ["a", "b"]. `both` has room for the longest token. */
static int read_merge(const reader *r, size_t index, char *both, size_t room)
{
    const json_t *merge = json_array_get(r->merges, index);
    const char *left = json_string_value(merge), *right = left ? strchr(left, ' ') : NULL;
    size_t size = 0;
    if (right) {
        size = (size_t)(right++ - left);
    } else if (json_array_size(merge) == 2) {
        left = json_string_value(json_array_get(merge, 0));
        right = json_string_value(json_array_get(merge, 1));
        size = left ? strlen(left) : 0;
    }
    if (!left || !right) return bad(r, "model.merges[%zu] is neither \"a b\" nor [\"a\", \"b\"]", index);
    const size_t rest = strlen(right);
    bpe_merge *m = &r->bpe->merge[index];
    *m = (bpe_merge){find_token(r, left, size), find_token(r, right, rest), -1, (uint32_t)index};
    if (size + rest <= room) {
        memcpy(both, left, size);
        memcpy(both + size, right, rest);
        m->made = find_token(r, both, size + rest);
    }
    if (m->left >= 0 && m->right >= 0 && m->made >= 0) return PAL_OK;
    return bad(r,
               "model.merges[%zu], \"%.*s\" and \"%.40s\", is not of tokens in model.vocab, or does not make one",
               index, (int)(size < 40 ? size : 40), left, right);
}

static int read_merges(const reader *r)
{
    const char *key;
    json_t *value;
    size_t room = 0;
    json_object_foreach((json_t *)r->vocab, key, value) room = strlen(key) > room ? strlen(key) : room;
    char *both = malloc(room + 1);
    if (!both) return no_memory(r);
    int code = PAL_OK;
    for (size_t i = 0; code == PAL_OK && i < r->bpe->merges; i++) code = read_merge(r, i, both, room);
    free(both);
    return code;
}

/* The token that texts begin with, by post_processor. */
static int read_begin(const reader *r)
{
    bpe *b = r->bpe;
    if (!r->rules.begin) return PAL_OK;
    const size_t size = strlen(r->rules.begin);
    for (size_t i = 0; i < b->vocab; i++)
        if (b->role[i] == BPE_SPECIAL && bpe_token_size(b, i) == size &&
            memcmp(b->text + b->at[i], r->rules.begin, size) == 0)
            b->begin = (int32_t)i;
    if (b->begin < 0)
        return bad(r, "post_processor begins a text with \"%.40s\", which is no special token", r->rules.begin);
    b->rules.adds_begin = 1;
    return PAL_OK;
}

static int read_tokenizer(reader *r)
{
    const json_t *model = json_object_get(r->root, "model");
    r->vocab = json_object_get(model, "vocab");
    r->merges = json_object_get(model, "merges");
    r->added = json_object_get(r->root, "added_tokens");
    PAL_TRY(tokenizer_rules_read(&r->rules, r->root, r->path, r->err));
    PAL_TRY(read_vocab(r));
    PAL_TRY(read_merges(r));
    PAL_TRY(read_begin(r));
    return bpe_finish(r->bpe, r->path, r->err);
}

int tokenizer_json_read(bpe **out, const char *path, pal_error *err)
{
    reader r = {.path = path, .alphabet = byte_alphabet_make(), .err = err};
    char *text;
    size_t size;
    json_error_t where;
    PAL_TRY(utf8_read_file(path, &text, &size, err));
    r.root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    free(text);
    if (!r.root) return bad(&r, "line %d: %s; a tokenizer.json is expected", where.line, where.text);
    const int code = read_tokenizer(&r);
    tokenizer_rules_free(&r.rules);
    json_decref(r.root);
    if (code == PAL_OK)
        *out = r.bpe;
    else
        bpe_free(r.bpe);
    return code;
}
