/* A tokenizer from arrays, as a GGUF file holds it: byte-level BPE whose splitting is named, or SentencePiece's.
 */
#include "datasets/tokenizer/bpe_fill.h"

#include <stdlib.h>
#include <string.h>

/* ---- The splittings that tokenizer.ggml.pre names ---- */

#define SHORT_FORMS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define THE_REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* As the tokenizer.json files of these models have it (converted by llama.cpp, src/llama-vocab.cpp). */
static const struct named_rules {
    const char *name;
    const char *pattern; /* NULL: GPT-2's splitting */
    int single_digits, ignore_merges, compose, add_begin;
} known[] = {
    {"gpt-2", NULL, 0, 0, 0, 0},
    {"smollm", NULL, 1, 0, 0, 0},
    {"starcoder", NULL, 1, 0, 0, 0},
    {"llama-bpe", SHORT_FORMS "\\p{N}{1,3}" THE_REST, 0, 1, 0, 1},
    {"llama3", SHORT_FORMS "\\p{N}{1,3}" THE_REST, 0, 1, 0, 1},
    {"qwen2", SHORT_FORMS "\\p{N}" THE_REST, 0, 0, 1, 0},
};

static int take_named(bpe_rules *rules, const struct named_rules *n, const char *name, pal_error *err)
{
    rules->single_digits = n->single_digits;
    rules->ignore_merges = n->ignore_merges;
    rules->compose = n->compose;
    rules->adds_begin = n->add_begin;
    if (!n->pattern) return PAL_OK;
    const pattern_rule rule = {n->pattern, 0};
    return bpe_take_patterns(rules, &rule, 1, name, err);
}

static int rules_of(bpe_rules *rules, const tokenizer_arrays *a, pal_error *err)
{
    if (strcmp(a->model, "llama") == 0) {
        rules->kind = BPE_OF_CHARACTERS;
        rules->prefix = a->add_space_prefix == 0 ? BPE_PREFIX_NONE : BPE_PREFIX_ALWAYS;
        rules->prefix_sections = 1;
        rules->adds_begin = 1;
        return PAL_OK;
    }
    if (strcmp(a->model, "gpt2") != 0)
        return pal_fail(
            err, PAL_DATA,
            "%s: its tokenizer is of the kind \"%.40s\"; gpt2 (byte-level BPE) and llama (SentencePiece's BPE) "
            "can be read",
            a->name, a->model);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (a->pre && strcmp(a->pre, known[i].name) == 0) return take_named(rules, &known[i], a->name, err);
    return pal_fail(
        err, PAL_DATA,
        "%s: its tokenizer splits texts by the rule \"%.40s\"; gpt-2, smollm, starcoder, llama-bpe and qwen2 "
        "are known here; name the model's own tokenizer.json with tokenizer=",
        a->name, a->pre ? a->pre : "");
}

/* ---- The vocabulary ---- */

static int fill(bpe *b, const tokenizer_arrays *a, pal_error *err)
{
    const byte_alphabet alphabet = byte_alphabet_make();
    for (size_t i = 0; i < a->vocab; i++) {
        const int32_t type = a->type ? a->type[i] : TOKEN_NORMAL;
        if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
            return pal_fail(err, PAL_DATA, "%s: token %zu has type %d; there are 1 to 6", a->name, i, (int)type);
        PAL_TRY(bpe_put_token(b, &alphabet, i, a->token[i], (tokenizer_token_type)type, 0, a->name, err));
    }
    if (a->begin >= 0 && (uint64_t)a->begin >= a->vocab)
        return pal_fail(err, PAL_DATA, "%s: bos_token_id is %lld, of %zu tokens", a->name, (long long)a->begin,
                        a->vocab);
    b->begin = a->begin >= 0 ? (int32_t)a->begin : -1;
    if (a->add_begin != TOKENIZER_UNSAID) b->rules.adds_begin = a->add_begin != 0;
    if (b->begin < 0) b->rules.adds_begin = 0;
    return PAL_OK;
}

static int no_merge(const tokenizer_arrays *a, size_t index, pal_error *err)
{
    const tokenizer_text t = a->merge[index];
    return pal_fail(err, PAL_DATA, "%s: merge %zu, \"%.*s\", is not of two tokens that make a third", a->name,
                    index, (int)(t.size < 60 ? t.size : 60), t.data);
}

/* "a b": the tokens of the file's texts are found by what they stand for. both: room for the longest merge. */
static int take_merge(bpe *b, const tokenizer_arrays *a, const byte_alphabet *alphabet, size_t index, char *both,
                      pal_error *err)
{
    const tokenizer_text t = a->merge[index];
    const char *space = t.size > 1 ? memchr(t.data + 1, ' ', t.size - 1) : NULL;
    if (!space) return no_merge(a, index, err);
    const tokenizer_text left = {t.data, (size_t)(space - t.data)};
    const tokenizer_text right = {space + 1, t.size - left.size - 1};
    size_t first, second;
    if (!byte_alphabet_read(alphabet, left, both, &first) ||
        !byte_alphabet_read(alphabet, right, both + first, &second))
        return no_merge(a, index, err);
    bpe_merge *m = &b->merge[index];
    *m = (bpe_merge){bpe_named(b, both, first), bpe_named(b, both + first, second),
                     bpe_named(b, both, first + second), (uint32_t)index};
    return m->left >= 0 && m->right >= 0 && m->made >= 0 ? PAL_OK : no_merge(a, index, err);
}

static int take_merges(bpe *b, const tokenizer_arrays *a, pal_error *err)
{
    const byte_alphabet alphabet = byte_alphabet_make();
    size_t room = 1;
    for (size_t i = 0; i < a->merges; i++)
        if (a->merge[i].size > room) room = a->merge[i].size;
    char *both = malloc(room);
    if (!both) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for a tokenizer", a->name);
    int code = bpe_index_names(b, a->name, err);
    for (size_t i = 0; code == PAL_OK && i < a->merges; i++) code = take_merge(b, a, &alphabet, i, both, err);
    free(both);
    return code;
}

int tokenizer_create_arrays(tokenizer **out, const tokenizer_arrays *a, pal_error *err)
{
    size_t room = 0;
    for (size_t i = 0; i < a->vocab; i++) room += a->token[i].size;
    const int scored = strcmp(a->model, "llama") == 0;
    if (a->vocab > INT32_MAX || a->merges > INT32_MAX || (scored && !a->score))
        return pal_fail(err, PAL_DATA, "%s: its tokenizer has %zu tokens, %zu merges and %s", a->name, a->vocab,
                        a->merges, a->score ? "scores" : "no scores");
    bpe *b = bpe_alloc(a->vocab, scored ? 0 : a->merges, room);
    if (!b) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for a tokenizer", a->name);
    int code = rules_of(&b->rules, a, err);
    if (code == PAL_OK) code = fill(b, a, err);
    if (code == PAL_OK) code = scored ? bpe_merges_of_scores(b, a->score, a->name, err) : take_merges(b, a, err);
    if (code == PAL_OK) code = bpe_finish(b, a->name, err);
    if (code == PAL_OK) return bpe_tokenizer(out, b, err);
    bpe_free(b);
    return code;
}
