/* Which bytes are UTF-8, how a name that is not is shown, and whole text files without their byte order mark.
 * Every entry for names and texts uses these functions, so that the rule is the same everywhere. */
#include "harness/base/utf8.h"

#include "harness/base/os.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the character that begins with `lead`, and the bounds of its second byte; 0 for no lead byte. */
static size_t character_size(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    *high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

size_t utf8_valid(const char *text, size_t size, int *broken)
{
    *broken = 0;
    size_t at = 0;
    while (at < size) {
        uint64_t eight;
        if (size - at >= sizeof eight) { /* most text is ASCII */
            memcpy(&eight, text + at, sizeof eight);
            if (!(eight & UINT64_C(0x8080808080808080))) {
                at += sizeof eight;
                continue;
            }
        }
        unsigned char low, high;
        const size_t wanted = character_size((unsigned char)text[at], &low, &high);
        size_t good = 1;
        while (good < wanted && at + good < size) {
            const unsigned char next = (unsigned char)text[at + good];
            if (next < low || next > high) break;
            low = 0x80;
            high = 0xBF;
            good++;
        }
        if (good != wanted) {
            *broken = wanted == 0 || at + good < size;
            return at;
        }
        at += wanted;
    }
    return at;
}

size_t utf8_character(const char *text, size_t size)
{
    unsigned char low, high;
    int broken;
    const size_t wanted = size ? character_size((unsigned char)text[0], &low, &high) : 0;
    return wanted <= size && utf8_valid(text, wanted, &broken) == wanted ? wanted : 0;
}

size_t utf8_mark(const char *text, size_t size)
{
    return size >= UTF8_MARK && memcmp(text, "\xEF\xBB\xBF", UTF8_MARK) == 0 ? UTF8_MARK : 0;
}

int utf8_refuse_16(const char *path, const char *text, size_t size, pal_error *err)
{
    if (size < 2 || (memcmp(text, "\xFF\xFE", 2) != 0 && memcmp(text, "\xFE\xFF", 2) != 0)) return PAL_OK;
    return pal_fail(err, PAL_DATA, "%s: is UTF-16; convert the file to UTF-8: iconv -f UTF-16 -t UTF-8", path);
}

/* ---- Names ---- */

/* Bytes of the character at text[size] if it can be shown as it is; else 0. */
static size_t printable(const char *text, size_t size)
{
    const unsigned char c = (unsigned char)text[0];
    if (c < 0x20 || c == 0x7F || c == '\\') return 0;
    if (c == 0xC2 && size > 1 && (unsigned char)text[1] < 0xA0) return 0; /* U+0080 to U+009F */
    return utf8_character(text, size);
}

char *utf8_escape(const char *name, char *out, size_t room)
{
    size_t left = strlen(name), used = 0;
    while (left > 0) {
        const size_t whole = printable(name, left), need = whole ? whole : 4;
        if (used + need >= room) break;
        if (whole)
            memcpy(out + used, name, whole);
        else
            snprintf(out + used, room - used, "\\x%02x", (unsigned char)*name);
        used += need;
        name += whole ? whole : 1;
        left -= whole ? whole : 1;
    }
    if (room) out[used] = '\0';
    return out;
}

int utf8_check_name(const char *what, const char *name, int code, pal_error *err)
{
    char shown[UTF8_ESCAPED];
    int broken;
    const size_t size = strlen(name);
    if (utf8_valid(name, size, &broken) == size) return PAL_OK;
    return pal_fail(err, code, "%s: %s is not UTF-8; rename it", utf8_escape(name, shown, sizeof shown), what);
}

/* ---- Whole files ---- */

int utf8_read_file(const char *path, char **text, size_t *size, pal_error *err)
{
    int broken;
    PAL_TRY(os_read_file(path, text, size, err));
    int code = utf8_refuse_16(path, *text, *size, err);
    const size_t good = utf8_valid(*text, *size, &broken);
    if (code == PAL_OK && good < *size)
        code = pal_fail(err, PAL_DATA, "%s: byte offset %zu: not UTF-8; convert the file to UTF-8", path, good);
    if (code != PAL_OK) {
        free(*text);
        *text = NULL;
        return code;
    }
    const size_t mark = utf8_mark(*text, *size);
    *size -= mark;
    if (mark) memmove(*text, *text + mark, *size + 1);
    return PAL_OK;
}

int utf8_read_text(const char *path, char **text, pal_error *err)
{
    size_t size;
    PAL_TRY(utf8_read_file(path, text, &size, err));
    const size_t good = strlen(*text);
    if (good == size) return PAL_OK;
    free(*text);
    *text = NULL;
    return pal_fail(err, PAL_DATA, "%s: byte offset %zu: a NUL byte; no text holds one", path, good);
}
