/* The names that tables give to runs: one place that makes them and reads them back. */
#include "harness/journal/labels.h"

#include <stdio.h>
#include <string.h>

static const char zeroed_words[] = LABEL_ZEROED;

const char *label_name(const result_cell *cell, char out[LABEL_TEXT])
{
    snprintf(out, LABEL_TEXT, "%s%s", cell->model, cell->memory == RESULT_ZEROED ? zeroed_words : "");
    return out;
}

void label_digest(const result_cell *cell, char out[HASH_HEX])
{
    char text[3 * HASH_HEX + RESULT_TEXT + 80];
    const int size = snprintf(text, sizeof text, "%s\n%s\n%s\n%s\n%s", cell->weights, cell->config, cell->settings,
                              cell->blas_core, cell->tokenizer);
    hash_hex(text, (size_t)size, out);
}

/* The '@' before a hash that ends the text, or NULL. */
static const char *find_hash(const char *text)
{
    const char *at = strrchr(text, '@');
    const size_t size = at ? strlen(at + 1) : 0;
    return at && size > 0 && size < HASH_HEX && strspn(at + 1, "0123456789abcdef") == size ? at : NULL;
}

int label_read(const char *text, label_parts *out)
{
    const char *at = find_hash(text);
    size_t size = at ? (size_t)(at - text) : strlen(text);
    const size_t words = sizeof zeroed_words - 1;
    *out = (label_parts){.zeroed = size > words && memcmp(text + size - words, zeroed_words, words) == 0};
    if (out->zeroed) size -= words;
    if (size >= sizeof out->model) return 0;
    memcpy(out->model, text, size);
    if (at) snprintf(out->hash, sizeof out->hash, "%s", at + 1);
    return 1;
}

static int fits(const label_parts *parts, const result_cell *cell)
{
    if (strcmp(parts->model, cell->model) != 0 || (parts->zeroed && cell->memory != RESULT_ZEROED)) return 0;
    if (!parts->hash[0]) return 1;
    char digest[HASH_HEX];
    label_digest(cell, digest);
    const size_t size = strlen(parts->hash);
    return strncmp(digest, parts->hash, size) == 0 || strncmp(cell->weights, parts->hash, size) == 0;
}

int label_fits(const char *text, const result_cell *cell)
{
    label_parts parts;
    if (strcmp(cell->model, text) == 0) return 1;
    if (!label_read(text, &parts)) return 0;
    if (fits(&parts, cell)) return 1;
    /* The words may be part of the model's own name. */
    const size_t held = strlen(parts.model);
    if (!parts.zeroed || held + sizeof zeroed_words > sizeof parts.model) return 0;
    memcpy(parts.model + held, zeroed_words, sizeof zeroed_words);
    parts.zeroed = 0;
    return fits(&parts, cell);
}
