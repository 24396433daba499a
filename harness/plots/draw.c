/* Draws a picture: tidy tables in a private folder, gnuplot on the picture's script there, and the SVG made
 * accessible. Gnuplot sees no name from outside: it works in that folder and writes picture.svg and picture.png.
 */
#include "harness/plots/figure.h"

#include "harness/base/os.h"
#include "harness/base/process.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- The private folder ---- */

static int make_folder(char out[PATH_MAX], pal_error *err)
{
    const char *base = getenv("TMPDIR");
    const int size = snprintf(out, PATH_MAX, "%s/palimpsest-XXXXXX", base && base[0] ? base : "/tmp");
    if (size >= PATH_MAX || !mkdtemp(out))
        return pal_fail(err, PAL_INTERNAL, "TMPDIR: cannot make a temporary folder %s: %s", out,
                        size >= PATH_MAX ? "its name is too long" : strerror(errno));
    return PAL_OK;
}

static void remove_folder(const char *folder)
{
    DIR *all = opendir(folder);
    for (struct dirent *entry; all && (entry = readdir(all));)
        if (entry->d_name[0] != '.') unlinkat(dirfd(all), entry->d_name, 0);
    if (all) closedir(all);
    rmdir(folder);
}

/* ---- What the script says of itself ---- */

/* The text of the lines "# <key>: ..." and of comment lines that go on with "#   " after them; malloc'ed, NULL
 * without memory. */
static char *head_text(const char *script, const char *key)
{
    char *text = NULL, start[32];
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    const int length = snprintf(start, sizeof start, "# %s: ", key);
    int inside = 0;
    if (!out) return NULL;
    for (const char *line = script; *line == '#';) {
        const size_t end = strcspn(line, "\n");
        const int first = strncmp(line, start, (size_t)length) == 0,
                  more = inside && strncmp(line, "#   ", 4) == 0;
        const size_t skip = first ? (size_t)length : 4;
        inside = first || more;
        if (inside) fprintf(out, "%s%.*s", more ? " " : "", (int)(end - skip), line + skip);
        line += end + (line[end] == '\n');
    }
    fclose(out);
    return text;
}

/* ---- The SVG ---- */

/* Drop gnuplot's own titles and description (tooltips that say "gnuplot_plot_3"), and say what the picture shows.
 */
static void put_svg(FILE *out, const char *svg, const char *title, const char *caption, const figure *f)
{
    static const char *const dropped[][2] = {{"<title>", "</title>"}, {"<desc>", "</desc>"}};
    const char *root = strstr(svg, "<svg");
    const char *end = root ? strchr(root, '>') : NULL;
    if (!end) return;
    fwrite(svg, 1, (size_t)(end - svg), out);
    fputs(" role=\"img\">\n<title>", out);
    text_html(out, title);
    if (f->subject[0]) fputs(": ", out);
    text_html(out, f->subject);
    fputs("</title>\n<desc>", out);
    text_html(out, caption);
    if (f->note[0]) fputc(' ', out);
    text_html(out, f->note);
    fputs("</desc>", out);
    for (const char *at = end + 1; *at;) {
        size_t skip = 0;
        for (size_t i = 0; i < sizeof dropped / sizeof *dropped && !skip; i++) {
            const char *to =
                strncmp(at, dropped[i][0], strlen(dropped[i][0])) == 0 ? strstr(at, dropped[i][1]) : NULL;
            if (to) skip = (size_t)(to - at) + strlen(dropped[i][1]);
        }
        if (skip)
            at += skip;
        else
            fputc(*at++, out);
    }
}

/* <dir>/<script>[-<id>].<kind>; malloc'ed. */
static char *picture_path(const figure *f, const char *dir, const char *kind)
{
    char *path = NULL, name[128];
    snprintf(name, sizeof name, "%s", f->script);
    for (char *c = name; *c; c++)
        if (*c == '_') *c = '-';
    return asprintf(&path, "%s/%s%s%s.%s", dir, name, f->id[0] ? "-" : "", f->id, kind) < 0 ? NULL : path;
}

static int keep_svg(const figure *f, const char *script, const char *svg, const char *path, pal_error *err)
{
    char *text = NULL;
    size_t size = 0;
    char *title = head_text(script, "title"), *caption = head_text(script, "caption");
    FILE *out = title && caption ? open_memstream(&text, &size) : NULL;
    int code = out ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for %s", path);
    if (out) put_svg(out, svg, title, caption, f);
    if (out) code = text_finish(out, &text, &size, path, err);
    free(title);
    free(caption);
    return code;
}

/* Take picture.<kind> out of the folder to its place. */
static int keep_picture(const figure *f, const char *folder, const char *script, const char *dir, const char *kind,
                        pal_error *err)
{
    char *path = picture_path(f, dir, kind), *data = NULL, made[PATH_MAX + 16];
    size_t size = 0;
    if (!path) return pal_fail(err, PAL_INTERNAL, "out of memory for the picture %s", f->script);
    snprintf(made, sizeof made, "%s/picture.%s", folder, kind);
    int code = os_read_file(made, &data, &size, err);
    if (code == PAL_OK)
        code =
            strcmp(kind, "svg") == 0 ? keep_svg(f, script, data, path, err) : os_write_file(path, data, size, err);
    free(data);
    free(path);
    return code;
}

static const char *const kinds[] = {"svg", "png"};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Run gnuplot once for each kind. *good: both pictures are there. */
static int run_gnuplot(const char *script, const char *folder, figure_output *out, int *good, pal_error *err)
{
    *good = 1;
    for (size_t k = 0; k < KINDS && *good; k++) {
        char said[300], picture[16];
        int status = 0;
        snprintf(picture, sizeof picture, "picture.%s", kinds[k]);
        const char *const word[] = {"gnuplot", "--default-settings", "-c", script, ".", picture, NULL};
        PAL_TRY(process_run(word, folder, &status, said, sizeof said, err));
        *good = status == 0;
        if (*good || out->note[0]) continue;
        said[strcspn(said, "\n")] = '\0';
        if (status == PROCESS_MISSING)
            snprintf(out->note, sizeof out->note, "gnuplot is not installed; type: make deps WITH=plots");
        else
            snprintf(out->note, sizeof out->note, "gnuplot failed on %.200s: %s", script,
                     said[0] ? said : "it said nothing");
    }
    return PAL_OK;
}

int figure_has_script(const figure_output *out, const char *script)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s.gp", out->scripts, script);
    return os_file_exists(path) || !os_file_exists(out->scripts);
}

static int draw_in(const figure *f, const char *folder, figure_output *out, pal_error *err)
{
    char script[PATH_MAX + 64], home[PATH_MAX], *text = NULL;
    size_t size;
    int good = 0;
    if (!realpath(out->scripts, home))
        return pal_fail(err, PAL_DATA, "%s: no such folder; the pictures' scripts are in plots/", out->scripts);
    snprintf(script, sizeof script, "%s/%s.gp", home, f->script);
    PAL_TRY(figure_write(f, folder, err));
    PAL_TRY(os_read_file(script, &text, &size, err));
    int code = run_gnuplot(script, folder, out, &good, err);
    for (size_t k = 0; code == PAL_OK && good && k < KINDS; k++)
        code = keep_picture(f, folder, text, out->dir, kinds[k], err);
    out->drawn += code == PAL_OK && good;
    free(text);
    return code;
}

static int keep_tables(const figure *f, const char *keep, pal_error *err)
{
    char *folder = NULL;
    if (asprintf(&folder, "%s/%s%s%s", keep, f->script, f->id[0] ? "-" : "", f->id) < 0)
        return pal_fail(err, PAL_INTERNAL, "out of memory for the picture %s", f->script);
    int code = os_make_dirs(folder, err);
    if (code == PAL_OK) code = figure_write(f, folder, err);
    free(folder);
    return code;
}

int figure_draw(const figure *f, figure_output *out, pal_error *err)
{
    char folder[PATH_MAX];
    if (f->failed) return pal_fail(err, PAL_INTERNAL, "out of memory for the picture %s", f->script);
    out->planned += out->counting && f->points > 0;
    if (out->counting) return PAL_OK;
    if (f->points == 0) {
        for (size_t k = 0; k < KINDS; k++) {
            char *path = picture_path(f, out->dir, kinds[k]);
            if (path) unlink(path);
            free(path);
        }
        return PAL_OK;
    }
    if (out->keep[0]) PAL_TRY(keep_tables(f, out->keep, err));
    PAL_TRY(make_folder(folder, err));
    const int code = draw_in(f, folder, out, err);
    remove_folder(folder);
    if (out->progress) progress_update(out->progress, (double)out->drawn, f->script);
    return code;
}
