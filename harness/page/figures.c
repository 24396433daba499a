#include "harness/page/page.h"

#include "harness/base/os.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Why a picture cannot be part of the page; NULL: it can. What would load or run something is refused, whatever
 * it is: plots have none of it. */
static const char *reason_against(const char *svg)
{
    static const char *const bad[] = {"<script",     "<image",  "<foreignObject", "<iframe",
                                      "javascript:", "@import", " onload="};
    if (!strcasestr(svg, "<svg") || !strcasestr(svg, "</svg>")) return "no SVG";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (strcasestr(svg, bad[i])) return bad[i];
    for (const char *at = svg; (at = strcasestr(at, "href=")); at += 5)
        if (at[5] == '\0' || at[6] != '#') return "a link out of the file";
    for (const char *at = svg; (at = strcasestr(at, "url(")); at += 4)
        if (!strchr("#'\"", at[4]) || (at[4] != '#' && at[5] != '#')) return "a link out of the file";
    return NULL;
}

/* Where an identifier begins, if one does right after `at`: in id="x", href="#x", url(#x). */
static size_t identifier_at(const char *at, const char *from)
{
    static const char *const mark[] = {"id=\"", "id='", "href=\"#", "href='#", "url(#", "url('#", "url(\"#"};
    for (size_t i = 0; i < sizeof mark / sizeof *mark; i++) {
        const size_t size = strlen(mark[i]);
        if (strncmp(at, mark[i], size) != 0) continue;
        /* An attribute of its own, not the end of another's name. */
        if (mark[i][0] == 'i' && at > from && !strchr(" \t\n", at[-1])) continue;
        return size;
    }
    return 0;
}

static void put_svg(FILE *out, const char *svg, size_t number)
{
    const char *from = strcasestr(svg, "<svg"), *to = from;
    for (const char *end = from; (end = strcasestr(end, "</svg>")); end += 6) to = end + 6;
    for (const char *at = from; at < to;) {
        const size_t mark = identifier_at(at, from);
        if (!mark) {
            fputc(*at++, out);
            continue;
        }
        fwrite(at, 1, mark, out);
        fprintf(out, "f%zu-", number);
        at += mark;
    }
}

/* What a picture shows, by the beginning of its file's name; the rest of the name says of what. */
static const struct {
    const char *prefix, *shows;
    int whole; /* it takes the page's whole width */
} pictures[] = {
    {"passkey-accuracy",
     "Passkey: digits found against the length of the input, one column for each depth of the "
     "needle, one row for each line of models. Bars: 95 % intervals; models stand a little apart "
     "so that bars do not hide each other.",
     1},
    {"passkey-heatmap-",
     "Passkey: percent of digits found, by depth of the needle and length of the input, with "
     "the number of samples.",
     0},
    {"passkey-writes",
     "Passkey: percent of digits found against what stands between the needle and the question, "
     "in tokens and in writes to the memory. Bars: 95 % intervals.",
     1},
    {"passkey-imprint",
     "Left: how much of the memory's M is another one without the needle. Right: the norm of z, by which "
     "every read is divided. Needles at the start, means over the layers with a memory, against the segments "
     "read.",
     1},
    {"passkey-cost",
     "Wall time of a token and peak memory of the process against the length of the input. "
     "Tokens that nothing hangs on are passed over and not counted.",
     1},
    {"training-gates", "The gate of every head after training: 0 reads the segment alone, 1 the memory alone.", 1},
    {"training-",
     "Loss against tokens trained on, a row for each size of model, each point the mean of five rows of the log; "
     "of "
     "passkey and booksum the answers' loss in the last stage.",
     1},
    {"perplexity-position-",
     "Perplexity against the position in the document, in ranges that double, one row for each "
     "size of model. Thin and dotted: the same weights, memory zeroed.",
     1},
    {"perplexity-state-",
     "Bits per byte against the bytes that a stream keeps, one row for each size of model: down "
     "and left is better. No state stands at 1 byte.",
     1},
    {"booksum-overall-",
     "Summaries: overall ROUGE against the length of the input. Bars: 95 % intervals over "
     "books; grey: rows that take no model.",
     0},
    {"booksum-facts-",
     "Summaries: facts told of those that were asked for, against the length of the input. "
     "Bars: 95 % intervals over stories; grey: rows that take no model.",
     0},
};

enum { PICTURES = sizeof pictures / sizeof *pictures };

/* PICTURES: none of ours. */
static size_t picture_of(const char *name)
{
    size_t i = 0;
    while (i < PICTURES && strncmp(name, pictures[i].prefix, strlen(pictures[i].prefix)) != 0) i++;
    return i;
}

static void put_caption(FILE *out, const char *name, size_t number)
{
    const size_t which = picture_of(name);
    fprintf(out, "\n<figcaption><b>Figure %zu.</b> ", number);
    if (which < PICTURES) {
        const char *of = name + strlen(pictures[which].prefix), *dot = strrchr(of, '.');
        if (dot > of) {
            char what[KV_TEXT_MAX];
            snprintf(what, sizeof what, "%.*s", (int)(dot - of), of);
            fputs("<b>", out);
            html_text(out, what);
            fputs(".</b> ", out);
        }
        fprintf(out, "%s ", pictures[which].shows);
    }
    fputs("<code>", out);
    html_text(out, name);
    fputs("</code></figcaption>\n", out);
}

int html_figures(FILE *out, const char *dir, FILE *log, size_t *count, pal_error *err)
{
    char pattern[KV_TEXT_MAX + 8];
    glob_t found;
    int code = PAL_OK;
    *count = 0;
    snprintf(pattern, sizeof pattern, "%s/*.svg", dir);
    if (glob(pattern, 0, NULL, &found) != 0) return PAL_OK;
    fputs("<div class=\"figures\">\n", out);
    for (size_t i = 0; code == PAL_OK && i < found.gl_pathc; i++) {
        char *svg;
        size_t size;
        const char *path = found.gl_pathv[i], *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        code = os_read_file(path, &svg, &size, err);
        if (code != PAL_OK) break;
        const char *reason = strlen(svg) == size ? reason_against(svg) : "a NUL byte";
        if (reason) {
            fprintf(log, "left out %s: %s\n", path, reason);
        } else {
            const size_t which = picture_of(name);
            fprintf(out, "<figure id=\"figure-%zu\"%s>\n", ++*count,
                    which == PICTURES       ? ""
                    : pictures[which].whole ? " class=\"plot whole\""
                                            : " class=\"plot\"");
            put_svg(out, svg, *count);
            put_caption(out, name, *count);
            fputs("</figure>\n", out);
        }
        free(svg);
    }
    fputs("</div>\n", out);
    globfree(&found);
    return code;
}
