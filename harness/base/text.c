/* Quoting functions: CSV, JSON, Markdown, LaTeX, HTML, shell words, gnuplot's data fields and file names. Each
 * language is written in one place only. */
#include "harness/base/text.h"

#include "harness/base/hash.h"
#include "harness/base/os.h"
#include "harness/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* Write the character at `text`, or U+FFFD for a byte that is part of none. Returns the bytes that it took. */
static size_t put_character(FILE *out, const char *text)
{
    const size_t size = utf8_character(text, strnlen(text, 4));
    if (size)
        fwrite(text, 1, size, out);
    else
        fputs(replacement, out);
    return size ? size : 1;
}

void text_csv(FILE *out, const char *text)
{
    const char *mark = text[0] && strchr("=+-@\t\r'", text[0]) ? "'" : "";
    if (!text[strcspn(text, ",\"\r\n")]) {
        fprintf(out, "%s%s", mark, text);
        return;
    }
    fprintf(out, "\"%s", mark);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void text_number(FILE *out, double value)
{
    if (isfinite(value)) fprintf(out, "%.10g", value);
}

void text_bytes(FILE *out, double bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int u = 0;
    for (; bytes >= 1024 && u < 4; u++) bytes /= 1024;
    fprintf(out, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
}

void text_json(FILE *out, const char *text)
{
    fputc('"', out);
    while (*text) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < ' ' || c == 0x7F)
            fprintf(out, "\\u%04x", c);
        else {
            text += put_character(out, text);
            continue;
        }
        text++;
    }
    fputc('"', out);
}

void text_markdown(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("|\\`*_<>[]~$&", *text)) fputc('\\', out);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, out); /* a newline would end the table's row */
    }
}

void text_latex(FILE *out, const char *text)
{
    static const struct {
        char from;
        const char *to;
    } special[] = {{'\\', "\\textbackslash{}"}, {'~', "\\textasciitilde{}"}, {'^', "\\textasciicircum{}"},
                   {'<', "\\textless{}"},       {'>', "\\textgreater{}"},    {'|', "\\textbar{}"},
                   {'"', "\\textquotedbl{}"},   {'`', "\\textasciigrave{}"}};
    for (; *text; text++) {
        size_t i = 0;
        while (i < sizeof special / sizeof *special && special[i].from != *text) i++;
        if (i < sizeof special / sizeof *special) {
            fputs(special[i].to, out);
        } else {
            if (strchr("&%$#_{}", *text)) fputc('\\', out);
            fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
        }
    }
}

void text_html(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(((unsigned char)*text < ' ' && !strchr("\n\t", *text)) || *text == 0x7F ? '?' : *text, out);
        }
    }
}

void text_shell(FILE *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";
    if (*text && !text[strspn(text, plain)]) {
        fputs(text, out);
        return;
    }
    fputc('\'', out);
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fputc(*text, out);
    }
    fputc('\'', out);
}

void text_plot(FILE *out, const char *text)
{
    fputc('"', out);
    while (*text) {
        const unsigned char c = (unsigned char)*text;
        if (c < ' ')
            fprintf(out, "\xE2\x90%c", 0x80 + c); /* U+2400 + c */
        else if (c == 0x7F)
            fputs("\xE2\x90\xA1", out); /* U+2421 */
        else if (c == '"')
            fputs("\xE2\x80\x9D", out); /* U+201D */
        else if (c == '\\')
            fputs("\\\\", out); /* gnuplot reads escapes in fields */
        else {
            text += put_character(out, text);
            continue;
        }
        text++;
    }
    fputc('"', out);
}

static int plain_in_file_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._-", c) != NULL;
}

char *text_id(const char *name, char out[TEXT_ID])
{
    enum { KEPT = TEXT_ID - 9 };
    const size_t size = strlen(name);
    int slashes = 0, changed = size == 0 || size > KEPT || strchr(".-", name[0]) != NULL;
    size_t used = 0;
    for (size_t i = 0; i < size && used < KEPT; i++) {
        const int plain = plain_in_file_name(name[i]);
        slashes += name[i] == '/';
        changed |= !plain && (name[i] != '/' || slashes > 1 || i == 0);
        if (used == 0 && !plain) continue; /* no leading '-' */
        if (used == 0 && strchr(".-", name[i])) continue;
        out[used++] = plain ? name[i] : '-';
    }
    out[used] = '\0';
    if (changed) {
        char digest[HASH_HEX];
        hash_hex(name, size, digest);
        snprintf(out + used, TEXT_ID - used, "%s%.8s", used ? "-" : "", digest);
    }
    return out;
}

int text_finish(FILE *out, char **text, size_t *size, const char *path, pal_error *err)
{
    const int failed = ferror(out);
    int code = fclose(out) != 0 || failed ? pal_fail(err, PAL_INTERNAL, "out of memory for %s", path) : PAL_OK;
    if (code == PAL_OK) code = os_write_file(path, *text, *size, err);
    free(*text);
    return code;
}
