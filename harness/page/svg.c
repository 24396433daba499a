/* Parses an SVG with expat and writes the elements and attributes that only draw (svg_list.h).
 * What is not listed there stops the picture. */
#include "harness/page/svg.h"

#include "harness/base/text.h"
#include "harness/page/svg_list.h"

#include <ctype.h>
#include <expat.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SVG_SPACE "http://www.w3.org/2000/svg"
#define LINK_SPACE "http://www.w3.org/1999/xlink"
#define XML_SPACE "http://www.w3.org/XML/1998/namespace"

enum { DEPTH_MAX = 64, IDS_MAX = 4096, ATTRIBUTES_MAX = 64, VALUE_SHOWN = 40 };

/* ---- State of the parser ---- */

typedef struct attribute {
    const char *name, *value; /* expat's, or parts of a style */
} attribute;

typedef struct reader {
    XML_Parser parser;
    FILE *out;
    svg_picture *picture;
    const char *prefix;
    pal_error *err;
    int code;
    const svg_element *open[DEPTH_MAX];
    size_t depth;
    size_t ignored;       /* depth of open elements inside one that is IGNORED */
    char (*id)[SVG_NAME]; /* all identifiers so far */
    int *is_part;         /* [ids] whether it stands directly in <defs>, for <use> */
    size_t ids, capacity;
} reader;

__attribute__((format(printf, 2, 3))) static void refuse(reader *r, const char *format, ...)
{
    char what[200];
    va_list args;
    if (r->code != PAL_OK) return;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    r->code = pal_fail(r->err, PAL_DATA, "line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(r->parser), what);
    XML_StopParser(r->parser, XML_FALSE);
}

/* ---- Values ---- */

/* A value, with the picture's prefix put before the identifier of every url(#x). */
static void put_value(reader *r, const char *value)
{
    for (const char *call; (call = strstr(value, "url("));) {
        size_t size;
        const char *id = svg_url_identifier(call, &size);
        if (!id) break;
        fwrite(value, 1, (size_t)(call - value), r->out);
        fprintf(r->out, "url(#%s%.*s)", r->prefix, (int)size, id);
        value = strchr(id + size, ')') + 1;
    }
    text_html(r->out, value);
}

/* ---- Attributes ---- */

static int have(const attribute *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0) return 1;
    return 0;
}

static void take_attribute(reader *r, attribute *list, size_t *count, const char *name, const char *value)
{
    if (have(list, *count, name)) return; /* a style goes before an attribute of the same name */
    if (*count == ATTRIBUTES_MAX) {
        refuse(r, "more than %d attributes", ATTRIBUTES_MAX);
        return;
    }
    list[(*count)++] = (attribute){name, value};
}

/* "fill:red; stroke:blue" as attributes; cuts `style` into pieces. */
static void take_style(reader *r, attribute *list, size_t *count, char *style)
{
    for (char *part; (part = strsep(&style, ";"));) {
        part += strspn(part, " \t\r\n");
        char *colon = strchr(part, ':');
        if (!part[0]) continue;
        if (!colon) {
            refuse(r, "style without a colon");
            return;
        }
        char *end = colon;
        while (end > part && isspace((unsigned char)end[-1])) end--;
        *colon = *end = '\0';
        const char *value = colon + 1 + strspn(colon + 1, " \t\r\n");
        if (!svg_attribute_known(part) || !svg_value_safe(value)) {
            refuse(r, "style %.*s", VALUE_SHOWN, part);
            return;
        }
        take_attribute(r, list, count, part, value);
    }
}

/* The name behind expat's "namespace name", and which of the namespaces it is of; "" for none. */
static const char *split_name(const char *full, char space[64])
{
    const char *gap = strrchr(full, ' ');
    snprintf(space, 64, "%.*s", gap ? (int)(gap - full) : 0, full);
    return gap ? gap + 1 : full;
}

static int inside_defs(const reader *r)
{
    for (size_t i = 0; i < r->depth; i++)
        if (strcmp(r->open[i]->name, "defs") == 0) return 1;
    return 0;
}

static int right_in_defs(const reader *r)
{
    return r->depth > 0 && strcmp(r->open[r->depth - 1]->name, "defs") == 0;
}

/* Whether anything may point to this element: what <use> and url(#x) name stands in <defs>, or is a gradient or
 * the like. Other identifiers are left out, and may stand twice. */
static int is_target(const reader *r, const svg_element *element)
{
    static const char *const named[] = {"clipPath", "filter",         "linearGradient",
                                        "marker",   "radialGradient", "pattern"};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(element->name, named[i]) == 0) return 1;
    return inside_defs(r);
}

static int keep_identifier(reader *r, const char *id)
{
    if (!svg_identifier(id, strlen(id))) {
        refuse(r, "id \"%.*s\"", VALUE_SHOWN, id);
        return 0;
    }
    for (size_t i = 0; i < r->ids; i++)
        if (strcmp(r->id[i], id) == 0) {
            refuse(r, "id \"%.*s\" for the second time", VALUE_SHOWN, id);
            return 0;
        }
    if (r->ids == IDS_MAX) {
        refuse(r, "more than %d ids", IDS_MAX);
        return 0;
    }
    snprintf(r->id[r->ids], sizeof *r->id, "%s", id);
    r->is_part[r->ids++] = right_in_defs(r);
    return 1;
}

/* What <use> draws stands directly in <defs>, above it. A <use> deeper in <defs> is refused, so no picture can
 * draw itself or grow by powers. */
static int known_part(const reader *r, const char *id)
{
    for (size_t i = 0; i < r->ids; i++)
        if (strcmp(r->id[i], id) == 0) return r->is_part[i];
    return 0;
}

static void put_link(reader *r, const svg_element *element, const char *value)
{
    const int is_use = strcmp(element->name, "use") == 0;
    if (!is_use || value[0] != '#' || !known_part(r, value + 1) || (inside_defs(r) && !right_in_defs(r)))
        refuse(r, "a link to \"%.*s\"", VALUE_SHOWN, value);
    else
        fprintf(r->out, " href=\"#%s%s\"", r->prefix, value + 1);
}

static void put_attribute(reader *r, const svg_element *element, const char *full, const char *value)
{
    char space[64];
    const char *name = split_name(full, space);
    if (strcmp(name, "href") == 0 && (!space[0] || strcmp(space, LINK_SPACE) == 0)) {
        put_link(r, element, value);
    } else if (strcmp(space, XML_SPACE) == 0 && strcmp(name, "space") == 0) {
        if (strcmp(value, "preserve") == 0) fputs(" xml:space=\"preserve\"", r->out);
    } else if (space[0]) {
        return; /* an editor's notes: they draw nothing */
    } else if (strcmp(name, "id") == 0) {
        if (strcmp(value, "gnuplot_canvas") == 0) r->picture->gnuplot = 1;
        if (is_target(r, element) && keep_identifier(r, value)) fprintf(r->out, " id=\"%s%s\"", r->prefix, value);
    } else if (svg_attribute_known(name) && svg_value_safe(value)) {
        fprintf(r->out, " %s=\"", name);
        put_value(r, value);
        fputc('"', r->out);
    } else if (!svg_attribute_inert(name)) {
        refuse(r, svg_attribute_known(name) ? "%.*s=\"%.*s\"" : "attribute %.*s", VALUE_SHOWN, name, VALUE_SHOWN,
               value);
    }
}

static void put_attributes(reader *r, const svg_element *element, const char **pairs)
{
    attribute list[ATTRIBUTES_MAX];
    size_t count = 0;
    char *style = NULL;
    for (const char **p = pairs; *p && !style; p += 2)
        if (strcmp(p[0], "style") == 0) style = strdup(p[1]);
    if (style) take_style(r, list, &count, style);
    for (const char **p = pairs; *p && r->code == PAL_OK; p += 2)
        if (strcmp(p[0], "style") != 0) take_attribute(r, list, &count, p[0], p[1]);
    for (size_t i = 0; i < count && r->code == PAL_OK; i++) put_attribute(r, element, list[i].name, list[i].value);
    free(style);
}

/* ---- The root ---- */

static double number_of(const char *text)
{
    char *end;
    if (!text) return NAN;
    const double value = strtod(text, &end);
    return end == text || !isfinite(value) ? NAN : value;
}

static void take_root(reader *r, const char **pairs)
{
    svg_picture *p = r->picture;
    const char *box = NULL, *width = NULL, *height = NULL;
    for (; *pairs; pairs += 2) {
        char space[64];
        const char *name = split_name(pairs[0], space);
        if (strcmp(name, "viewBox") == 0)
            box = pairs[1];
        else if (strcmp(name, "width") == 0)
            width = pairs[1];
        else if (strcmp(name, "height") == 0)
            height = pairs[1];
        else if (!space[0] && !svg_attribute_known(name) && !svg_attribute_inert(name) && strcmp(name, "id") != 0)
            refuse(r, "attribute %.*s", VALUE_SHOWN, name);
    }
    if (!box || sscanf(box, "%lf%*[ ,]%lf%*[ ,]%lf%*[ ,]%lf", &p->left, &p->top, &p->width, &p->height) != 4) {
        p->left = p->top = 0;
        p->width = number_of(width);
        p->height = number_of(height);
    }
    if (!(isfinite(p->left) && isfinite(p->top) && p->width > 0 && p->width < 1e6 && p->height > 0 &&
          p->height < 1e6))
        refuse(r, "no viewBox, and no width and height");
}

/* ---- What expat calls ---- */

static void on_start(void *arg, const char *full, const char **pairs)
{
    reader *r = arg;
    char space[64];
    const char *name = split_name(full, space);
    if (r->code != PAL_OK) return;
    if (r->ignored) {
        r->ignored++;
        return;
    }
    const svg_element *element = strcmp(space, SVG_SPACE) == 0 ? svg_element_find(name) : NULL;
    if (r->depth == 0 && (!element || strcmp(name, "svg") != 0)) {
        refuse(r, "not an SVG");
    } else if (!element) {
        refuse(r, "element <%.*s>", VALUE_SHOWN, name);
    } else if (r->depth == DEPTH_MAX) {
        refuse(r, "elements more than %d deep", DEPTH_MAX);
    } else if (element->kind == SVG_IGNORED) {
        r->ignored = 1;
    } else if (r->depth == 0) {
        r->open[r->depth++] = element;
        take_root(r, pairs);
    } else {
        const svg_element *above = r->open[r->depth - 1];
        if (above->kind == SVG_DESCRIBES || (above->kind == SVG_DRAWS && element->kind != SVG_DESCRIBES))
            refuse(r, "<%s> inside <%s>", name, above->name);
        if (element->kind != SVG_DESCRIBES) {
            fprintf(r->out, "<%s", name);
            put_attributes(r, element, pairs);
            fputc('>', r->out);
        }
        r->open[r->depth++] = element;
    }
}

static void on_end(void *arg, const char *full)
{
    reader *r = arg;
    (void)full;
    if (r->code != PAL_OK) return;
    if (r->ignored) {
        r->ignored--;
        return;
    }
    const svg_element *element = r->open[--r->depth];
    if (r->depth > 0 && element->kind != SVG_DESCRIBES) fprintf(r->out, "</%s>", element->name);
}

/* Add what fits; a cut keeps whole UTF-8 characters. */
static void append(char *out, size_t room, const char *text, size_t size)
{
    const size_t held = strlen(out);
    if (size > room - 1 - held) {
        size = room - 1 - held;
        while (size && ((unsigned char)text[size] & 0xc0) == 0x80) size--;
    }
    memcpy(out + held, text, size);
    out[held + size] = '\0';
}

static void on_text(void *arg, const char *text, int size)
{
    reader *r = arg;
    if (r->code != PAL_OK || r->ignored || r->depth == 0) return;
    const svg_element *element = r->open[r->depth - 1];
    if (element->kind == SVG_SAYS) {
        char part[256];
        for (int at = 0; at < size; at += (int)sizeof part - 1) { /* bytes pass one by one, so any cut is good */
            snprintf(part, sizeof part, "%.*s", size - at, text + at);
            text_html(r->out, part);
        }
    } else if (element->kind == SVG_DESCRIBES) {
        const int is_title = strcmp(element->name, "title") == 0;
        if (r->depth != 2) return; /* of a part, not of the picture */
        append(is_title ? r->picture->title : r->picture->about, is_title ? SVG_TITLE : SVG_ABOUT, text,
               (size_t)size);
    } else {
        for (int i = 0; i < size; i++)
            if (!isspace((unsigned char)text[i])) {
                refuse(r, "text inside <%s>", element->name);
                return;
            }
    }
}

static void on_doctype(void *arg, const char *name, const char *system, const char *public, int internal)
{
    (void)name, (void)system, (void)public;
    if (internal) refuse(arg, "a document type with declarations of its own");
}

static void on_entity(void *arg, const char *name, int is_parameter)
{
    (void)is_parameter;
    refuse(arg, "entity %.*s", VALUE_SHOWN, name);
}

/* ---- The whole ---- */

static void parse(reader *r, const char *text, size_t size)
{
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    XML_SetSkippedEntityHandler(r->parser, on_entity);
    if (XML_Parse(r->parser, text, (int)size, 1) == XML_STATUS_OK) return;
    refuse(r, "%s", XML_ErrorString(XML_GetErrorCode(r->parser)));
}

/* What a plotting program says of itself says nothing of the picture. */
static void drop_defaults(svg_picture *p)
{
    if (strcasecmp(p->title, "gnuplot") == 0) p->title[0] = '\0';
    if (strncasecmp(p->about, "produced by gnuplot", 19) == 0) p->about[0] = '\0';
}

int svg_read(const char *text, size_t size, const char *prefix, svg_picture *out, pal_error *err)
{
    *out = (svg_picture){0};
    if (size > SVG_LIMIT)
        return pal_fail(err, PAL_DATA, "%zu bytes; a picture of a page has at most %d", size, SVG_LIMIT);
    reader r = {.parser = XML_ParserCreateNS(NULL, ' '), .picture = out, .prefix = prefix, .err = err};
    r.out = open_memstream(&out->body, &out->size);
    r.id = calloc(IDS_MAX, sizeof *r.id);
    r.is_part = calloc(IDS_MAX, sizeof *r.is_part);
    if (r.parser && r.out && r.id && r.is_part)
        parse(&r, text, size);
    else
        r.code = pal_fail(err, PAL_INTERNAL, "out of memory for a picture");
    if (r.parser) XML_ParserFree(r.parser);
    if (r.out && fclose(r.out) != 0 && r.code == PAL_OK)
        r.code = pal_fail(err, PAL_INTERNAL, "out of memory for a picture");
    free(r.id);
    free(r.is_part);
    if (r.code != PAL_OK) svg_free(out);
    drop_defaults(out);
    return r.code;
}

void svg_free(svg_picture *picture)
{
    free(picture->body);
    *picture = (svg_picture){0};
}

void svg_put(FILE *out, const svg_picture *p, const char *label)
{
    fprintf(out, "<svg role=\"img\" aria-label=\"");
    text_html(out, label);
    fprintf(out, "\" viewBox=\"%g %g %g %g\" width=\"%g\" height=\"%g\">", p->left, p->top, p->width, p->height,
            p->width, p->height);
    fwrite(p->body, 1, p->size, out);
    fputs("</svg>", out);
}
