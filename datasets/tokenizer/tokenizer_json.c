/* Reads and writes the tokenizer.json of byte-level BPE. A file of another kind is refused with all that it has
 * and this program has not, so that one look tells how far away it is. */
#include "datasets/tokenizer/tokenizer_json.h"

#include "datasets/tokenizer/tokenizer_rules.h"
#include "harness/base/os.h"
#include "harness/base/utf8.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- GPT-2's way to write bytes as characters: printable Latin-1 as itself, the others from U+0100 on. ---- */

enum { SHIFTED = 256, CHARACTERS = 512 };

static int is_plain(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* character[byte], and byte[character] with -1 for characters that stand for none. */
typedef struct alphabet {
    uint16_t character[BPE_BYTES];
    int16_t byte[CHARACTERS];
} alphabet;

static alphabet make_alphabet(void)
{
    alphabet a;
    int next = SHIFTED;
    for (int i = 0; i < CHARACTERS; i++) a.byte[i] = -1;
    for (int i = 0; i < BPE_BYTES; i++) {
        a.character[i] = (uint16_t)(is_plain(i) ? i : next++);
        a.byte[a.character[i]] = (int16_t)i;
    }
    return a;
}

/* The characters of bytes[size] into out, which needs 2 * size + 1. */
static char *write_characters(const alphabet *a, const char *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned c = a->character[(unsigned char)bytes[i]];
        if (c < 0x80) {
            *out++ = (char)c;
        } else {
            *out++ = (char)(unsigned char)(0xc0 | c >> 6);
            *out++ = (char)(unsigned char)(0x80 | (c & 0x3f));
        }
    }
    *out = '\0';
    return out;
}

/* The bytes that characters (valid UTF-8) stand for into out, which needs their strlen; 0: one of them stands for
 * none. */
static int read_characters(const alphabet *a, const char *characters, char *out, size_t *size)
{
    *size = 0;
    for (const unsigned char *u = (const unsigned char *)characters; *u; u++) {
        unsigned c = *u;
        if (c >= 0xe0) return 0;
        if (c >= 0x80) c = (c & 0x1f) << 6 | (*++u & 0x3f);
        if (c >= CHARACTERS || a->byte[c] < 0) return 0;
        out[(*size)++] = (char)(unsigned char)a->byte[c];
    }
    return 1;
}

/* ---- Reading. ---- */

typedef struct reader {
    const char *path;
    alphabet alphabet;
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
    int special;
} entry;

static int add_entry(const reader *r, entry *entries, size_t room, const char *text, const json_t *id, int special)
{
    const json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;
    if (at < 0 || (size_t)at >= room)
        return bad(r, "token \"%.40s\" has no id, or one beyond the number of tokens (%zu)", text, room);
    entry *e = &entries[at];
    if (e->text && strcmp(e->text, text) != 0)
        return bad(r, "tokens \"%.40s\" and \"%.40s\" have the same id %lld", e->text, text, (long long)at);
    e->text = text;
    e->special |= special;
    return PAL_OK;
}

/* A text has one id: in the vocabulary and among the added tokens, and among these. `ids` holds what was added. */
static int add_added(const reader *r, entry *entries, size_t room, json_t *ids, size_t index, const json_t *token)
{
    const char *text = json_string_value(json_object_get(token, "content"));
    if (!text || !*text) return bad(r, "added_tokens[%zu] has no content", index);
    if (json_is_false(json_object_get(token, "special")))
        return bad(r, "added token \"%.40s\" is not special; such tokens are not supported", text);
    json_t *id = json_object_get(token, "id");
    PAL_TRY(add_entry(r, entries, room, text, id, 1));
    const json_t *known = json_object_get(r->vocab, text), *before = json_object_get(ids, text);
    if ((known && !json_equal(known, id)) || (before && !json_equal(before, id)))
        return bad(r, "token \"%.40s\" has two ids", text);
    return json_object_set(ids, text, id) == 0 ? PAL_OK : no_memory(r);
}

static int gather_entries(const reader *r, entry *entries, size_t room)
{
    const char *key;
    json_t *value, *ids = json_object();
    size_t index;
    int code = ids ? PAL_OK : no_memory(r);
    json_object_foreach((json_t *)r->vocab, key, value)
    {
        if (code == PAL_OK) code = add_entry(r, entries, room, key, value, 0);
    }
    json_array_foreach(r->added, index, value)
    {
        if (code == PAL_OK) code = add_added(r, entries, room, ids, index, value);
    }
    json_decref(ids);
    return code;
}

/* Fills the vocabulary from entries[vocab]. */
static int take_entries(reader *r, const entry *entries, size_t vocab)
{
    size_t room = 0;
    for (size_t i = 0; i < vocab; i++) room += strlen(entries[i].text);
    r->bpe = bpe_alloc(vocab, json_array_size(r->merges), room);
    if (!r->bpe) return no_memory(r);
    bpe *b = r->bpe;
    for (size_t i = 0; i < vocab; i++) {
        char *out = b->text + b->at[i];
        size_t size = strlen(entries[i].text);
        b->special[i] = (unsigned char)entries[i].special;
        if (entries[i].special)
            memcpy(out, entries[i].text, size);
        else if (!read_characters(&r->alphabet, entries[i].text, out, &size) || size == 0)
            return bad(r, "token %zu \"%.40s\" is not in the alphabet of byte-level BPE", i, entries[i].text);
        b->at[i + 1] = b->at[i] + size;
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
    return id && !r->bpe->special[json_integer_value(id)] ? (int32_t)json_integer_value(id) : -1;
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
    *m = (bpe_merge){find_token(r, left, size), find_token(r, right, rest), -1};
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

static int read_tokenizer(reader *r)
{
    int single_digits = 0;
    const json_t *model = json_object_get(r->root, "model");
    r->vocab = json_object_get(model, "vocab");
    r->merges = json_object_get(model, "merges");
    r->added = json_object_get(r->root, "added_tokens");
    PAL_TRY(tokenizer_rules_check(r->root, r->path, &single_digits, r->err));
    PAL_TRY(read_vocab(r));
    r->bpe->single_digits = single_digits;
    PAL_TRY(read_merges(r));
    return bpe_finish(r->bpe, r->path, r->err);
}

int tokenizer_json_read(bpe **out, const char *path, pal_error *err)
{
    reader r = {.path = path, .alphabet = make_alphabet(), .err = err};
    char *text;
    size_t size;
    json_error_t where;
    PAL_TRY(utf8_read_file(path, &text, &size, err));
    r.root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    free(text);
    if (!r.root) return bad(&r, "line %d: %s; a tokenizer.json is expected", where.line, where.text);
    const int code = read_tokenizer(&r);
    json_decref(r.root);
    if (code == PAL_OK)
        *out = r.bpe;
    else
        bpe_free(r.bpe);
    return code;
}

/* ---- Writing. ---- */

/* The token's characters in a malloc'ed string; NULL: no memory. */
static char *token_characters(const alphabet *a, const bpe *b, size_t token)
{
    const size_t size = b->at[token + 1] - b->at[token];
    char *out = malloc(2 * size + 1);
    if (!out) return NULL;
    if (b->special[token]) {
        memcpy(out, b->text + b->at[token], size);
        out[size] = '\0';
    } else {
        write_characters(a, b->text + b->at[token], size, out);
    }
    return out;
}

static json_t *write_vocab(const alphabet *a, const bpe *b)
{
    json_t *vocab = json_object();
    for (size_t i = 0; vocab && i < b->vocab; i++) {
        char *key = token_characters(a, b, i);
        const int failed = !key || json_object_set_new(vocab, key, json_integer((json_int_t)i)) != 0;
        free(key);
        if (!failed) continue;
        json_decref(vocab);
        return NULL;
    }
    return vocab;
}

static json_t *write_merges(const alphabet *a, const bpe *b)
{
    json_t *merges = json_array();
    for (size_t i = 0; merges && i < b->merges; i++) {
        char *left = token_characters(a, b, (size_t)b->merge[i].left);
        char *right = token_characters(a, b, (size_t)b->merge[i].right);
        const int failed =
            !left || !right || json_array_append_new(merges, json_pack("s++", left, " ", right)) != 0;
        free(left);
        free(right);
        if (!failed) continue;
        json_decref(merges);
        return NULL;
    }
    return merges;
}

static json_t *write_added(const bpe *b)
{
    json_t *added = json_array();
    for (size_t i = 0; added && i < b->vocab; i++) {
        if (!b->special[i]) continue;
        json_t *token = json_pack("{s:I, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i, "content",
                                  b->text + b->at[i], b->at[i + 1] - b->at[i], "single_word", 0, "lstrip", 0,
                                  "rstrip", 0, "normalized", 0, "special", 1);
        if (json_array_append_new(added, token) == 0) continue;
        json_decref(added);
        return NULL;
    }
    return added;
}

static json_t *write_byte_level(int add_prefix_space)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", add_prefix_space,
                     "trim_offsets", 1, "use_regex", 1);
}

/* Split and not Digits: of the latter their libraries disagree about digits beyond ASCII. */
static json_t *write_splitting(const bpe *b)
{
    json_t *level = write_byte_level(0);
    if (!b->single_digits) return level;
    return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type",
                     "Split", "pattern", "Regex", TOKENIZER_NUMBER, "behavior", "Isolated", "invert", 0, level);
}

int tokenizer_json_write(const bpe *b, const char *path, pal_error *err)
{
    const alphabet a = make_alphabet();
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                  "ignore_merges", 0, "vocab", write_vocab(&a, b), "merges", write_merges(&a, b));
    json_t *root = json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation",
                             "padding", "added_tokens", write_added(b), "normalizer", "pre_tokenizer",
                             write_splitting(b), "post_processor", "decoder", write_byte_level(1), "model", model);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for writing %zu tokens", path, b->vocab);
    const int code = os_write_file(path, text, strlen(text), err);
    free(text);
    return code;
}
