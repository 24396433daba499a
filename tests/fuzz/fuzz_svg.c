/* The page's pictures: any bytes as an SVG in the results. Whatever gets onto the page, nothing in it may run or
 * load anything: no script, no handler, no foreign element, no address but fragments and data. */
#include "tests/fuzz/fuzz.h"

#include "harness/page/svg.h"

#include <ctype.h>
#include <strings.h>

static int begins(const char *text, const char *word)
{
    return strncasecmp(text, word, strlen(word)) == 0;
}

static void check_element(const char *name)
{
    static const char *const bad[] = {"script",  "foreignobject", "iframe", "object", "embed", "animate", "set",
                                      "handler", "link",          "meta",   "base",   "audio", "video",   "form"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const size_t size = strlen(bad[i]);
        if (begins(name, bad[i]) && !isalnum((unsigned char)name[size])) {
            fprintf(stderr, "fuzz: <%s on the page\n", bad[i]);
            abort();
        }
    }
}

/* Names of attributes as a lenient reader of HTML finds them: after white space, a slash or a quote. */
static const char *check_attributes(const char *at)
{
    while (*at && *at != '>') {
        while (*at && (isspace((unsigned char)*at) || *at == '/' || *at == '"' || *at == '\'')) at++;
        if (!*at || *at == '>') break;
        FUZZ_ASSERT(!begins(at, "on"));
        const char *name = at;
        while (*at && !isspace((unsigned char)*at) && *at != '=' && *at != '>' && *at != '/') at++;
        const int address =
            begins(name, "href") || begins(name, "src") || begins(name, "xlink:href") || begins(name, "action");
        while (isspace((unsigned char)*at)) at++;
        if (*at != '=') continue;
        at++;
        while (isspace((unsigned char)*at)) at++;
        const char quote = *at == '"' || *at == '\'' ? *at++ : 0;
        if (address) FUZZ_ASSERT(*at == '#' || begins(at, "data:image/"));
        while (*at && (quote ? *at != quote : !isspace((unsigned char)*at) && *at != '>')) at++;
        if (quote && *at) at++;
    }
    return at;
}

static void check_page(const char *html)
{
    for (const char *at = html; (at = strchr(at, '<'));) {
        at++;
        if (*at == '!' || *at == '?') {
            FUZZ_ASSERT(!begins(at, "!doctype") && !begins(at, "!entity"));
            continue;
        }
        if (!isalpha((unsigned char)*at)) continue;
        const char *name = at;
        while (*at && !isspace((unsigned char)*at) && *at != '>' && *at != '/') at++;
        check_element(strncasecmp(name, "svg:", 4) == 0 ? name + 4 : name);
        at = check_attributes(at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *html = NULL;
    size_t length = 0;
    svg_picture picture = {0};
    pal_error err = {0};
    const int code = svg_read((const char *)data, size, "f1-", &picture, &err);
    fuzz_check(code, &err);
    if (code != PAL_OK) return 0;
    FILE *out = open_memstream(&html, &length);
    if (!out) abort();
    svg_put(out, &picture, "a <label> & \"more\"");
    fclose(out);
    FUZZ_ASSERT(strlen(html) == length);
    check_page(html);
    free(html);
    svg_free(&picture);
    return 0;
}
