/* The pictures of a directory as figures of the page, with the titles and descriptions that they hold themselves.
 * The scripts that draw them say which stand at the top. */
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
 * and ends where a word of it ends; NULL: none does. */
static const char *script_of(const listing *scripts, const char *name)
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
    return best;
}

/* Whether a line "# lead:" is at the head of the script. One that cannot be read has none. */
static int leads(const char *dir, const char *script)
{
    static const char wanted[] = "# lead:";
    char *path = join(dir, script), *text = NULL;
    size_t size;
    pal_error none;
    int found = 0;
    if (path && os_read_file(path, &text, &size, &none) == PAL_OK)
        for (const char *line = text; *line == '#' && !found; line += strcspn(line, "\n"), line += *line == '\n')
            found = strncmp(line, wanted, strlen(wanted)) == 0;
    free(text);
    free(path);
    return found;
}

/* ---- Reading ---- */

/* A picture that cannot be shown is left out with a line on `log`; only a full memory is an error. */
static int read_figure(page_figures *all, const char *path, const char *name, FILE *log, pal_error *err)
{
    page_figure *f = &all->figure[all->count];
    char *text, prefix[24];
    size_t size;
    pal_error why;
    *f = (page_figure){0};
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

static int read_named(page_figures *all, const char *dir, const char *name, const listing *scripts, FILE *log,
                      pal_error *err)
{
    const size_t before = all->count;
    char *path = join(dir, name);
    if (!path) return pal_fail(err, PAL_INTERNAL, "out of memory for the pictures");
    const int code = read_figure(all, path, name, log, err);
    free(path);
    if (code != PAL_OK || all->count == before) return code;
    const char *script = script_of(scripts, name);
    if (!script || !leads(scripts->dir, script)) return PAL_OK;
    page_figure *mine = &all->figure[before];
    mine->lead = 1;
    /* Of the pictures of one script the one with most in it leads. */
    for (size_t i = 0; i < before; i++) {
        page_figure *other = &all->figure[i];
        if (!other->lead || script_of(scripts, other->name) != script) continue;
        if (other->svg.size >= mine->svg.size)
            mine->lead = 0;
        else
            other->lead = 0;
    }
    return PAL_OK;
}

/* "passkey-accuracy.svg" is of "passkey": the place of its task in the list; the list's length: of none. */
static size_t task_of(const page_figure *f, const task_module *const *tasks)
{
    size_t at = 0;
    for (; tasks[at]; at++) {
        const size_t size = strlen(tasks[at]->name);
        if (strncmp(f->name, tasks[at]->name, size) == 0 && strchr("-.", f->name[size])) break;
    }
    return at;
}

static int in_order(const void *a, const void *b)
{
    const page_figure *x = a, *y = b;
    if (x->lead != y->lead) return x->lead ? -1 : 1;
    if (x->task != y->task) return x->task < y->task ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void number_figures(page_figures *all, const task_module *const *tasks)
{
    for (size_t i = 0; i < all->count; i++) all->figure[i].task = task_of(&all->figure[i], tasks);
    qsort(all->figure, all->count, sizeof *all->figure, in_order);
    for (size_t i = 0; i < all->count; i++) all->figure[i].number = i + 1;
}

int figures_read(page_figures *all, const char *dir, const char *plots, const task_module *const *tasks, FILE *log,
                 pal_error *err)
{
    listing pictures = list_files(dir, is_picture), scripts = list_files(plots, is_script);
    *all = (page_figures){.figure = calloc((size_t)pictures.count + 1, sizeof *all->figure)};
    int code = all->figure ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the pictures");
    for (int i = 0; code == PAL_OK && i < pictures.count; i++)
        code = read_named(all, dir, pictures.entry[i]->d_name, &scripts, log, err);
    free_listing(&pictures);
    free_listing(&scripts);
    if (code == PAL_OK)
        number_figures(all, tasks);
    else
        figures_free(all);
    return code;
}

void figures_free(page_figures *all)
{
    for (size_t i = 0; i < all->count; i++) svg_free(&all->figure[i].svg);
    free(all->figure);
    *all = (page_figures){0};
}

/* ---- Writing ---- */

static void put_figure(FILE *out, const page_figure *f)
{
    const char *title = f->svg.title[0] ? f->svg.title : f->name;
    fprintf(out, "<figure id=\"figure-%zu\" class=\"%s%s\">\n<div class=\"canvas\">", f->number,
            f->svg.gnuplot ? "plot" : "foreign", f->svg.width >= WIDE ? " whole" : "");
    svg_put(out, &f->svg, title);
    fprintf(out, "</div>\n<figcaption><b>Figure %zu. ", f->number);
    text_html(out, title);
    fputs(strchr(".?!", title[strlen(title) - 1]) ? "</b> " : ".</b> ", out);
    text_html(out, f->svg.about);
    fputs(" <code>", out);
    text_html(out, f->name);
    fputs("</code></figcaption>\n</figure>\n", out);
}

void html_figures(FILE *out, const page_figures *all, size_t first, size_t end)
{
    if (first >= end) return;
    fputs("<div class=\"figures\">\n", out);
    for (size_t i = first; i < end; i++) put_figure(out, &all->figure[i]);
    fputs("</div>\n", out);
}
