/* Numbers for words, by an open table over one store of their texts. */
#include "tasks/rouge/word_ids.h"

#include "harness/base/array.h"
#include "harness/base/hash.h"

#include <stdlib.h>
#include <string.h>

typedef struct word_ids_entry {
    size_t at;
    uint32_t size, hash;
} entry;

static int grow_table(word_ids *w, pal_error *err)
{
    const size_t slots = w->slots ? 2 * w->slots : 1024;
    uint32_t *table = calloc(slots, sizeof *table);
    if (!table) return pal_fail(err, PAL_INTERNAL, "out of memory for a vocabulary of %zu words", w->count);
    for (size_t i = 0; i < w->count; i++) {
        size_t at = w->entry[i].hash & (slots - 1);
        while (table[at]) at = (at + 1) & (slots - 1);
        table[at] = (uint32_t)i + 1;
    }
    free(w->table);
    w->table = table;
    w->slots = slots;
    return PAL_OK;
}

static int append(word_ids *w, const char *word, size_t size, uint32_t h, pal_error *err)
{
    if (w->count >= UINT32_MAX - 1 || size > UINT32_MAX)
        return pal_fail(err, PAL_INTERNAL, "too many words or too long a word for one vocabulary");
    PAL_TRY(array_room(&w->entry, &w->room, w->count + 1, sizeof *w->entry, "a vocabulary", err));
    PAL_TRY(array_room(&w->text, &w->text_room, w->text_size + size, 1, "a vocabulary", err));
    memcpy(w->text + w->text_size, word, size);
    w->entry[w->count++] = (entry){w->text_size, (uint32_t)size, h};
    w->text_size += size;
    return PAL_OK;
}

int word_ids_of(word_ids *w, const char *word, size_t size, uint32_t *id, pal_error *err)
{
    if (2 * (w->count + 1) > w->slots) PAL_TRY(grow_table(w, err));
    const uint32_t h = (uint32_t)hash_words(word, size);
    size_t at = h & (w->slots - 1);
    for (; w->table[at]; at = (at + 1) & (w->slots - 1)) {
        const entry *e = &w->entry[w->table[at] - 1];
        if (e->hash != h || e->size != size || memcmp(w->text + e->at, word, size) != 0) continue;
        *id = w->table[at] - 1;
        return PAL_OK;
    }
    PAL_TRY(append(w, word, size, h, err));
    *id = (uint32_t)w->count - 1;
    w->table[at] = (uint32_t)w->count;
    return PAL_OK;
}

void word_ids_clear(word_ids *w)
{
    if (w->slots) memset(w->table, 0, w->slots * sizeof *w->table);
    w->count = w->text_size = 0;
}

void word_ids_free(word_ids *w)
{
    free(w->text);
    free(w->entry);
    free(w->table);
    *w = (word_ids){0};
}
