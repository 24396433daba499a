/* The pictures of a directory as figures of the page.
 * Their titles come from the pictures themselves, or from the heads of the scripts that draw them. */
#include "harness/page/page.h"

#include "harness/base/os.h"
#include "harness/base/text.h"
#include "harness/page/svg.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { WIDE = 900 /* units of a view box from which on a picture takes the whole width */ };

/* ---- Files of a directory ---- */

typedef struct listing {
    const char *dir;
    struct dirent **entry;
    int count;
} listing;

static int ends_with(const struct dirent *entry, const char *suffix)
{
    const size_t size = strlen(entry->d_name), tail = strlen(suffix);
    return size > tail && strcmp(entry->d_name + size - tail, suffix) == 0;
}

static int is_picture(const struct dirent *entry)
{
    return ends_with(entry, ".svg");
}

static int is_script(const struct dirent *entry)
{
    return ends_with(entry, ".gp");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* A directory that cannot be read has no files. */
static listing list_files(const char *dir, int (*wanted)(const struct dirent *))
{
    listing l = {.dir = dir};
    l.count = scandir(dir, &l.entry, wanted, by_name);
    if (l.count < 0) l = (listing){.dir = dir};
    return l;
}

static void free_listing(listing *l)
{
    for (int i = 0; i < l->count; i++) free(l->entry[i]);
    free(l->entry);
}

/* "DIR/NAME" in new memory, or NULL. */
static char *join(const char *dir, const char *name)
{
    char *path;
    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

/* ---- Heads of the scripts ---- */

/* The script that draws this picture: the longest plots/a_b.gp whose name, with '-' for '_', begins the picture's
 * and ends where a word of it ends; NULL: none does. *rest: what follows in the picture's name. */
static const char *script_of(const listing *scripts, const char *name, const char **rest)
{
    const char *best = NULL;
    size_t longest = 0;
    for (int i = 0; i < scripts->count; i++) {
        const char *script = scripts->entry[i]->d_name;
        const size_t size = strlen(script) - strlen(".gp");
        size_t same = 0;
        while (same < size && name[same] == (script[same] == '_' ? '-' : script[same])) same++;
        if (same < size || size < longest || !strchr("-.", name[size])) continue;
        best = script;
        longest = size;
    }
    *rest = name + longest + (name[longest] == '-');
    return best;
}

/* Append the text behind every "# KEY:" at the head of a script. */
static void take_lines(const char *script, const char *key, char *out, size_t room)
{
    const size_t size = strlen(key);
    for (const char *line = script; *line == '#'; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *at = line + 1 + strspn(line + 1, " ");
        if (strncmp(at, key, size) != 0 || at[size] != ':') continue;
        at += size + 1 + strspn(at + size + 1, " ");
        const size_t held = strlen(out);
        snprintf(out + held, room - held, "%s%.*s", held ? " " : "", (int)strcspn(at, "\n"), at);
    }
}

/* "Title" and "passkey-local.svg" -> "Title: passkey-local". */
static void add_rest(char title[SVG_TITLE], const char *rest)
{
    const size_t held = strlen(title), size = strlen(rest);
    if (held && size > strlen(".svg"))
        snprintf(title + held, SVG_TITLE - held, ": %.*s", (int)(size - strlen(".svg")), rest);
}

/* What the picture does not say itself its script may. A script that cannot be read says nothing. */
static void read_head(figure *f, const char *script, const char *rest)
{
    char *text;
    size_t size;
    pal_error none;
    if (!script || os_read_file(script, &text, &size, &none) != PAL_OK) return;
    f->ours = 1;
    if (!f->svg.title[0]) {
        take_lines(text, "title", f->svg.title, sizeof f->svg.title);
        add_rest(f->svg.title, rest);
    }
    if (!f->svg.about[0]) take_lines(text, "caption", f->svg.about, sizeof f->svg.about);
    char lead[8] = "";
    take_lines(text, "lead", lead, sizeof lead);
    f->lead = lead[0] != '\0';
    free(text);
}

/* ---- Reading ---- */

/* A picture that cannot be shown is left out with a line on `log`; only a full memory is an error. */
static int read_figure(figures *all, const char *path, const char *name, FILE *log, pal_error *err)
{
    figure *f = &all->figure[all->count];
    char *text, prefix[24];
    size_t size;
    pal_error why;
    *f = (figure){0};
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(prefix, sizeof prefix, "f%zu-", all->count + 1);
    int code = os_read_file(path, &text, &size, &why);
    if (code == PAL_OK) {
        code = svg_read(text, size, prefix, &f->svg, &why);
        free(text);
    }
    if (code == PAL_INTERNAL) return pal_fail(err, code, "%s", why.text);
    if (code == PAL_OK)
        all->count++;
    else
        fprintf(log, "left out %s: %s\n", path, why.text);
    return PAL_OK;
}

static int read_named(figures *all, const char *dir, const char *name, const listing *scripts, FILE *log,
                      pal_error *err)
{
    const size_t before = all->count;
    char *path = join(dir, name);
    if (!path) return pal_fail(err, PAL_INTERNAL, "out of memory for the pictures");
    const int code = read_figure(all, path, name, log, err);
    free(path);
    if (code != PAL_OK || all->count == before) return code;
    const char *rest, *script = script_of(scripts, name, &rest);
    char *at = script ? join(scripts->dir, script) : NULL;
    read_head(&all->figure[before], at, rest);
    free(at);
    return PAL_OK;
}

int figures_read(figures *all, const char *dir, const char *plots, FILE *log, pal_error *err)
{
    listing pictures = list_files(dir, is_picture), scripts = list_files(plots, is_script);
    *all = (figures){.figure = calloc((size_t)pictures.count + 1, sizeof *all->figure)};
    int code = all->figure ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the pictures");
    for (int i = 0; code == PAL_OK && i < pictures.count; i++)
        code = read_named(all, dir, pictures.entry[i]->d_name, &scripts, log, err);
    free_listing(&pictures);
    free_listing(&scripts);
    size_t number = 0;
    for (int lead = 1; lead >= 0; lead--)
        for (size_t i = 0; i < all->count; i++)
            if (all->figure[i].lead == lead) all->figure[i].number = ++number;
    if (code != PAL_OK) figures_free(all);
    return code;
}

void figures_free(figures *all)
{
    for (size_t i = 0; i < all->count; i++) svg_free(&all->figure[i].svg);
    free(all->figure);
    *all = (figures){0};
}

/* ---- Writing ---- */

static void put_figure(FILE *out, const figure *f)
{
    const char *title = f->svg.title[0] ? f->svg.title : f->name;
    fprintf(out, "<figure id=\"figure-%zu\" class=\"%s%s\">\n<div class=\"canvas\">", f->number,
            f->ours ? "plot" : "foreign", f->svg.width >= WIDE ? " whole" : "");
    svg_put(out, &f->svg, title);
    fprintf(out, "</div>\n<figcaption><b>Figure %zu. ", f->number);
    text_html(out, title);
    fputs(strchr(".?!", title[strlen(title) - 1]) ? "</b> " : ".</b> ", out);
    text_html(out, f->svg.about);
    fputs(" <code>", out);
    text_html(out, f->name);
    fputs("</code></figcaption>\n</figure>\n", out);
}

size_t html_figures(FILE *out, const figures *all, int lead)
{
    size_t put = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (all->figure[i].lead != lead) continue;
        if (!put++) fputs("<div class=\"figures\">\n", out);
        put_figure(out, &all->figure[i]);
    }
    if (put) fputs("</div>\n", out);
    return put;
}
