/* Aligned text, Markdown, CSV and JSON lines out of the same values.
 * text.c quotes for each of them. */
#include "harness/cli/listing.h"

#include "harness/base/text.h"

#include <math.h>
#include <string.h>

int listing_for_people(const listing *l)
{
    return l->format == LISTING_TEXT || l->format == LISTING_MARKDOWN;
}

static const char *title_of(const listing_column *c)
{
    return c->title ? c->title : c->name;
}

/* Characters, not bytes: a UTF-8 character begins with a byte that is not 10xxxxxx. */
static int characters(const char *text)
{
    int count = 0;
    for (; *text; text++) count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

static void put_aligned(listing *l, const char *text)
{
    const int width = l->column[l->at].width, most = width < 0 ? -width : width;
    const int pad = most > characters(text) ? most - characters(text) : 0;
    const int last = l->at + 1 == l->count;
    if (l->at) fputs("  ", l->out);
    if (width > 0) fprintf(l->out, "%*s", pad, "");
    for (const char *c = text; *c; c++) fputc((unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c, l->out);
    if (width <= 0 && !last) fprintf(l->out, "%*s", pad, ""); /* no blanks at the end of a line */
}

static void put_markdown(listing *l, const char *text)
{
    fputs(l->at ? " " : "| ", l->out);
    text_markdown(l->out, text);
    fputs(" |", l->out);
}

void listing_begin(listing *l, FILE *out, listing_format format, const listing_column *column, size_t count)
{
    *l = (listing){.out = out, .format = format, .column = column, .count = count};
    if (format == LISTING_JSONL) return;
    for (; l->at < count; l->at++) {
        if (format == LISTING_TEXT) put_aligned(l, title_of(&column[l->at]));
        if (format == LISTING_MARKDOWN) put_markdown(l, title_of(&column[l->at]));
        if (format == LISTING_CSV) fprintf(out, "%s%s", l->at ? "," : "", column[l->at].name);
    }
    fputc('\n', out);
    if (format == LISTING_MARKDOWN) {
        for (size_t i = 0; i < count; i++)
            fprintf(out, "%s%s", i ? "" : "|", column[i].width > 0 ? "---:|" : "---|");
        fputc('\n', out);
    }
    l->at = 0;
}

static void next(listing *l)
{
    if (++l->at < l->count) return;
    fputs(l->format == LISTING_JSONL ? "}\n" : "\n", l->out);
    fflush(l->out);
    l->at = 0;
}

static void put_name(listing *l)
{
    fputs(l->at ? ", " : "{", l->out);
    text_json(l->out, l->column[l->at].name);
    fputs(": ", l->out);
}

void listing_text(listing *l, const char *text)
{
    switch (l->format) {
    case LISTING_TEXT:
        put_aligned(l, text);
        break;
    case LISTING_MARKDOWN:
        put_markdown(l, text);
        break;
    case LISTING_CSV:
        if (l->at) fputc(',', l->out);
        text_csv(l->out, text);
        break;
    case LISTING_JSONL:
        put_name(l);
        text_json(l->out, text);
        break;
    }
    next(l);
}

void listing_number(listing *l, double value, const char *shown)
{
    char text[40] = "";
    if (isfinite(value)) snprintf(text, sizeof text, "%.10g", value);
    if (l->format == LISTING_TEXT || l->format == LISTING_MARKDOWN) {
        listing_text(l, shown ? shown : text);
        return;
    }
    if (l->format == LISTING_JSONL) put_name(l);
    if (l->format == LISTING_CSV && l->at) fputc(',', l->out);
    fputs(l->format == LISTING_JSONL && !isfinite(value) ? "null" : text, l->out);
    next(l);
}
