/* Cuts documents into sentences while they are read. The rule is a simple one, the same for every tokenizer:
 * abbreviations end sentences too. */
#include "tasks/haystack/prose.h"

#include "harness/base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 4096, PROSE_MOST = 1024 /* bytes of a sentence */ };

struct prose {
    const corpus *corpus;
    size_t first, document;
    document *open;
    char chunk[CHUNK];
    size_t size, at;
    char carried[PROSE_MOST];
    size_t carried_size;
    uint64_t idle; /* documents without a sentence, one after the other */
};

int prose_open(prose **out, const corpus *c, size_t first, pal_error *err)
{
    prose *p = calloc(1, sizeof *p);
    if (!p) return pal_fail(err, PAL_INTERNAL, "out of memory for the prose");
    p->corpus = c;
    p->first = p->document = first;
    *out = p;
    return PAL_OK;
}

void prose_rewind(prose *p)
{
    if (p->open) document_close(p->open);
    p->open = NULL;
    p->document = p->first;
    p->size = p->at = 0;
    p->carried_size = 0;
    p->idle = 0;
}

void prose_close(prose *p)
{
    if (!p) return;
    if (p->open) document_close(p->open);
    free(p);
}

/* The next byte; *end: the document has none. The next document is due then. */
static int next_byte(prose *p, char *out, int *end, pal_error *err)
{
    *end = 0;
    if (!p->open) PAL_TRY(document_open(p->corpus, p->document, &p->open, err));
    if (p->at == p->size) {
        p->at = 0;
        PAL_TRY(document_read(p->open, p->chunk, sizeof p->chunk, &p->size, err));
    }
    if (p->size == 0) {
        *end = 1;
        document_close(p->open);
        p->open = NULL;
        p->document = (p->document + 1) % corpus_count(p->corpus);
        return PAL_OK;
    }
    *out = p->chunk[p->at++];
    return PAL_OK;
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether text[size] ends a sentence: a mark, and only closing characters behind it. */
static int ends_sentence(const char *text, size_t size)
{
    for (;;) {
        if (size >= 3 &&
            (memcmp(text + size - 3, "\xe2\x80\x9d", 3) == 0 || memcmp(text + size - 3, "\xe2\x80\x99", 3) == 0))
            size -= 3;
        else if (size && strchr("\"')]_", text[size - 1]))
            size--;
        else
            break;
    }
    return size && strchr(".!?", text[size - 1]);
}

/* Where a sentence that does not fit is cut: behind its last word, else behind a character. */
static size_t cut_at(const char *text, size_t size)
{
    size_t end = size;
    int broken;
    while (end > 0 && text[end - 1] != ' ') end--;
    return end > 1 ? end - 1 : utf8_valid(text, size, &broken);
}

/* The rest of a sentence that was cut begins the next one. */
static void carry(prose *p, const char *text, size_t size)
{
    while (size && *text == ' ') text++, size--;
    memcpy(p->carried, text, size);
    p->carried_size = size;
}

/* Adds words up to the end of a sentence, of the document, or of the room. */
static int read_sentence(prose *p, char *text, size_t room, size_t *size, int *end, pal_error *err)
{
    size_t used = p->carried_size;
    int space = 0;
    memcpy(text, p->carried, used);
    p->carried_size = 0;
    for (;;) {
        char c = 0;
        PAL_TRY(next_byte(p, &c, end, err));
        const int gap = *end || is_space(c);
        if (*end || (gap && used && ends_sentence(text, used))) break;
        if (!gap && used + 2 >= room) {
            const size_t kept = cut_at(text, used);
            p->at--;
            carry(p, text + kept, used - kept);
            used = kept;
            break;
        }
        if (!gap && space) text[used++] = ' ';
        if (!gap) text[used++] = c;
        space = gap && used > 0;
    }
    *size = used;
    return PAL_OK;
}

int prose_next(prose *p, char *text, size_t room, size_t least, size_t *size, pal_error *err)
{
    for (;;) {
        int end;
        PAL_TRY(read_sentence(p, text, room < PROSE_MOST ? room : PROSE_MOST, size, &end, err));
        if (*size >= least && *size > 0) {
            p->idle = 0;
            return PAL_OK;
        }
        if (end && ++p->idle > 2 * corpus_count(p->corpus))
            return pal_fail(err, PAL_DATA, "the prose has no sentence of %zu bytes; give other texts", least);
    }
}
