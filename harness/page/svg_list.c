/* The elements, attributes and values of an SVG that only draw. The lists are the whole policy.
 * Anything new in SVG stays out until it is named here. */
#include "harness/page/svg_list.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const svg_element elements[] = {
    {"svg", SVG_HOLDS},         {"g", SVG_HOLDS},
    {"defs", SVG_HOLDS},        {"symbol", SVG_HOLDS},
    {"clipPath", SVG_HOLDS},    {"marker", SVG_HOLDS},
    {"pattern", SVG_HOLDS},     {"linearGradient", SVG_HOLDS},
    {"filter", SVG_HOLDS},      {"radialGradient", SVG_HOLDS},
    {"path", SVG_DRAWS},        {"rect", SVG_DRAWS},
    {"circle", SVG_DRAWS},      {"ellipse", SVG_DRAWS},
    {"line", SVG_DRAWS},        {"polyline", SVG_DRAWS},
    {"polygon", SVG_DRAWS},     {"use", SVG_DRAWS},
    {"stop", SVG_DRAWS},        {"feFlood", SVG_DRAWS},
    {"feComposite", SVG_DRAWS}, {"feGaussianBlur", SVG_DRAWS},
    {"text", SVG_SAYS},         {"tspan", SVG_SAYS},
    {"title", SVG_DESCRIBES},   {"desc", SVG_DESCRIBES},
    {"metadata", SVG_IGNORED},
};

/* What an attribute's value may be is the same for all: see svg_value_safe. */
static const char *const attributes[] = {
    "alignment-baseline",
    "clip-path",
    "clip-rule",
    "clipPathUnits",
    "color",
    "cx",
    "cy",
    "d",
    "dominant-baseline",
    "dx",
    "dy",
    "fill",
    "fill-opacity",
    "fill-rule",
    "filter",
    "filterUnits",
    "flood-color",
    "flood-opacity",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "gradientTransform",
    "gradientUnits",
    "height",
    "in",
    "in2",
    "k1",
    "k2",
    "k3",
    "k4",
    "letter-spacing",
    "marker-end",
    "marker-mid",
    "marker-start",
    "markerHeight",
    "markerUnits",
    "markerWidth",
    "offset",
    "opacity",
    "operator",
    "orient",
    "overflow",
    "paint-order",
    "patternContentUnits",
    "patternTransform",
    "patternUnits",
    "points",
    "preserveAspectRatio",
    "primitiveUnits",
    "r",
    "refX",
    "refY",
    "result",
    "rotate",
    "rx",
    "ry",
    "shape-rendering",
    "spreadMethod",
    "stdDeviation",
    "stop-color",
    "stop-opacity",
    "stroke",
    "stroke-dasharray",
    "stroke-dashoffset",
    "stroke-linecap",
    "stroke-linejoin",
    "stroke-miterlimit",
    "stroke-opacity",
    "stroke-width",
    "text-anchor",
    "text-decoration",
    "text-rendering",
    "textLength",
    "transform",
    "vector-effect",
    "viewBox",
    "visibility",
    "width",
    "word-spacing",
    "x",
    "x1",
    "x2",
    "y",
    "y1",
    "y2",
};
/* Known to do nothing in a page: read and left out. */
static const char *const inert[] = {"version", "baseProfile", "class", "role", "aria-label", "aria-labelledby"};
/* Functions that a value may call. url() is looked at by itself. */
static const char *const functions[] = {"rgb",    "rgba",       "hsl",    "hsla",  "url",   "translate",
                                        "rotate", "translateX", "matrix", "scale", "skewX", "skewY"};

static int listed(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, list[i]) == 0) return 1;
    return 0;
}
#define LISTED(name, list) listed(name, list, sizeof(list) / sizeof *(list))

const svg_element *svg_element_find(const char *name)
{
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        if (strcmp(name, elements[i].name) == 0) return &elements[i];
    return NULL;
}

int svg_attribute_known(const char *name)
{
    return LISTED(name, attributes);
}

int svg_attribute_inert(const char *name)
{
    return LISTED(name, inert) || strncmp(name, "data-", 5) == 0;
}

int svg_identifier(const char *text, size_t size)
{
    if (size == 0 || size >= SVG_NAME) return 0;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-_.:", text[i])) return 0;
    return 1;
}

const char *svg_url_identifier(const char *call, size_t *size)
{
    const char *at = call + 4; /* behind "url(" */
    const char quote = *at == '\'' || *at == '"' ? *at++ : '\0';
    if (*at++ != '#') return NULL;
    *size = strcspn(at, "'\")");
    const char *end = at + *size;
    if (quote && *end++ != quote) return NULL;
    return *end == ')' && svg_identifier(at, *size) ? at : NULL;
}

int svg_value_safe(const char *value)
{
    if (strpbrk(value, "\\@<>{};&")) return 0;
    if (strcasestr(value, "script:") || strcasestr(value, "data:")) return 0;
    for (const char *open = value; (open = strchr(open, '(')); open++) {
        const char *name = open;
        char called[16];
        size_t size;
        while (name > value && isalnum((unsigned char)name[-1])) name--;
        if (open - name >= (ptrdiff_t)sizeof called) return 0;
        snprintf(called, sizeof called, "%.*s", (int)(open - name), name);
        if (!LISTED(called, functions)) return 0;
        if (strcmp(called, "url") == 0 && !svg_url_identifier(name, &size)) return 0;
    }
    return 1;
}
