/* GGUF v2 and v3: header, metadata, tensor infos and aligned data, little-endian.
 * A cursor with one bounds check serves every read; hostile counts never lead to an allocation beyond the file. */
#include "models/files/gguf.h"

#include "harness/base/os.h"

#include <stdlib.h>
#include <string.h>

enum { MAGIC_BYTES = 4, DEFAULT_ALIGNMENT = 32, MAX_ALIGNMENT = 1 << 20 };
/* The format's numbers for the types of values. */
enum { T_U8, T_I8, T_U16, T_I16, T_U32, T_I32, T_F32, T_BOOL, T_TEXT, T_ARRAY, T_U64, T_I64, T_F64, T_TYPES };

static const uint8_t scalar_bytes[T_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* ---- The cursor ---- */

typedef struct cursor {
    const uint8_t *base;
    size_t size, at;
    const char *name;
    pal_error *err;
} cursor;

static int bad(const cursor *c, const char *what)
{
    return pal_fail(c->err, PAL_DATA, "%s: byte %zu: %s; fetch the file again", c->name, c->at, what);
}

static int take(cursor *c, uint64_t bytes, const uint8_t **out)
{
    *out = c->base + c->at;
    if (bytes > c->size - c->at) return bad(c, "the file is cut short");
    c->at += (size_t)bytes;
    return PAL_OK;
}

static uint64_t little_endian(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static int take_number(cursor *c, int bytes, uint64_t *out)
{
    const uint8_t *at;
    PAL_TRY(take(c, (uint64_t)bytes, &at));
    *out = little_endian(at, bytes);
    return PAL_OK;
}

static int take_text(cursor *c, gguf_text *out)
{
    const uint8_t *at;
    uint64_t size;
    PAL_TRY(take_number(c, 8, &size));
    PAL_TRY(take(c, size, &at));
    *out = (gguf_text){(const char *)at, (size_t)size};
    return PAL_OK;
}

/* ---- Values ---- */

static gguf_value scalar(uint32_t type, const uint8_t *at)
{
    const uint64_t bits = little_endian(at, scalar_bytes[type]);
    float single;
    const uint32_t low = (uint32_t)bits;
    gguf_value v = {.kind = GGUF_UINT, .uint = bits};
    switch (type) {
    case T_I8:
        v = (gguf_value){.kind = GGUF_INT, .integer = (int8_t)bits};
        break;
    case T_I16:
        v = (gguf_value){.kind = GGUF_INT, .integer = (int16_t)bits};
        break;
    case T_I32:
        v = (gguf_value){.kind = GGUF_INT, .integer = (int32_t)bits};
        break;
    case T_I64:
        v = (gguf_value){.kind = GGUF_INT, .integer = (int64_t)bits};
        break;
    case T_BOOL:
        v = (gguf_value){.kind = GGUF_BOOL, .uint = bits != 0};
        break;
    case T_F32:
        memcpy(&single, &low, sizeof single);
        v = (gguf_value){.kind = GGUF_REAL, .real = (double)single};
        break;
    case T_F64:
        v.kind = GGUF_REAL;
        memcpy(&v.real, &bits, sizeof v.real);
        break;
    default:
        break;
    }
    return v;
}

static int take_array(cursor *c, gguf_value *out)
{
    uint64_t type, count, bytes;
    gguf_text skipped;
    PAL_TRY(take_number(c, 4, &type));
    PAL_TRY(take_number(c, 8, &count));
    if (type == T_ARRAY) return bad(c, "an array of arrays, which no model here needs");
    if (type >= T_TYPES) return bad(c, "an array of an unknown type");
    *out = (gguf_value){.kind = GGUF_ARRAY, .item_type = (uint32_t)type, .count = count, .items = c->base + c->at};
    const uint8_t *unused;
    if (type != T_TEXT) {
        if (__builtin_mul_overflow(count, (uint64_t)scalar_bytes[type], &bytes))
            return bad(c, "an array longer than any file");
        return take(c, bytes, &unused);
    }
    for (uint64_t i = 0; i < count; i++) PAL_TRY(take_text(c, &skipped));
    return PAL_OK;
}

static int take_value(cursor *c, gguf_value *out)
{
    uint64_t type;
    const uint8_t *at;
    PAL_TRY(take_number(c, 4, &type));
    if (type >= T_TYPES) return bad(c, "a value of an unknown type");
    if (type == T_ARRAY) return take_array(c, out);
    if (type == T_TEXT) {
        *out = (gguf_value){.kind = GGUF_TEXT};
        return take_text(c, &out->text);
    }
    PAL_TRY(take(c, scalar_bytes[type], &at));
    *out = scalar((uint32_t)type, at);
    return PAL_OK;
}

gguf_items gguf_items_of(const gguf_value *array)
{
    const int readable = array->kind == GGUF_ARRAY;
    return (gguf_items){array->items, readable ? array->count : 0, array->item_type};
}

int gguf_next(gguf_items *items, gguf_value *out)
{
    if (items->left == 0) return 0;
    items->left--;
    if (items->type != T_TEXT) {
        *out = scalar(items->type, items->at);
        items->at += scalar_bytes[items->type];
        return 1;
    }
    const uint64_t size = little_endian(items->at, 8); /* checked when the array was read */
    *out = (gguf_value){.kind = GGUF_TEXT, .text = {(const char *)items->at + 8, (size_t)size}};
    items->at += 8 + size;
    return 1;
}

/* ---- Keys and names in order, so that finding is a search and doubles are neighbours ---- */

static int compare_text(gguf_text a, gguf_text b)
{
    const size_t common = a.size < b.size ? a.size : b.size;
    const int order = common ? memcmp(a.data, b.data, common) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int by_key(const void *a, const void *b)
{
    return compare_text(((const gguf_entry *)a)->key, ((const gguf_entry *)b)->key);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const gguf_tensor *)a)->name, ((const gguf_tensor *)b)->name);
}

const gguf_value *gguf_find(const gguf_file *f, const char *key)
{
    const gguf_entry wanted = {.key = {key, strlen(key)}};
    const gguf_entry *found = f->entries ? bsearch(&wanted, f->entry, f->entries, sizeof wanted, by_key) : NULL;
    return found ? &found->value : NULL;
}

const gguf_tensor *gguf_find_tensor(const gguf_file *f, const char *name)
{
    gguf_tensor wanted = {0};
    if (strlen(name) >= sizeof wanted.name || f->tensors == 0) return NULL;
    memcpy(wanted.name, name, strlen(name) + 1);
    return bsearch(&wanted, f->tensor, f->tensors, sizeof wanted, by_name);
}

uint64_t gguf_uint(const gguf_file *f, const char *key, uint64_t fallback)
{
    const gguf_value *v = gguf_find(f, key);
    if (v && (v->kind == GGUF_UINT || v->kind == GGUF_BOOL)) return v->uint;
    return v && v->kind == GGUF_INT && v->integer >= 0 ? (uint64_t)v->integer : fallback;
}

double gguf_real(const gguf_file *f, const char *key, double fallback)
{
    const gguf_value *v = gguf_find(f, key);
    return v && v->kind == GGUF_REAL ? v->real : fallback;
}

/* ---- The file ---- */

static int read_entries(cursor *c, gguf_file *f, uint64_t count)
{
    enum { LEAST = 8 + 4 + 1 }; /* bytes of an entry with an empty key and one byte of value */
    if (count > (c->size - c->at) / LEAST) return bad(c, "more metadata than the file has room for");
    f->entry = calloc((size_t)count + 1, sizeof *f->entry);
    if (!f->entry) return pal_fail(c->err, PAL_INTERNAL, "%s: out of memory for its metadata", c->name);
    for (; f->entries < count; f->entries++) {
        PAL_TRY(take_text(c, &f->entry[f->entries].key));
        PAL_TRY(take_value(c, &f->entry[f->entries].value));
    }
    qsort(f->entry, f->entries, sizeof *f->entry, by_key);
    for (size_t i = 1; i < f->entries; i++)
        if (by_key(&f->entry[i - 1], &f->entry[i]) == 0) return bad(c, "a metadata key stands twice");
    return PAL_OK;
}

static int read_tensor(cursor *c, gguf_tensor *t, uint64_t *offset)
{
    gguf_text name;
    uint64_t dims, type, blocks;
    PAL_TRY(take_text(c, &name));
    if (name.size >= sizeof t->name || memchr(name.data, 0, name.size))
        return bad(c, "a tensor name that is too long");
    memcpy(t->name, name.data, name.size);
    PAL_TRY(take_number(c, 4, &dims));
    if (dims > GGUF_DIMS) return bad(c, "a tensor of more than 4 dimensions");
    t->dims = (int)dims;
    t->values = 1;
    for (int i = 0; i < t->dims; i++) {
        PAL_TRY(take_number(c, 8, &t->dim[i]));
        if (__builtin_mul_overflow(t->values, t->dim[i], &t->values)) return bad(c, "an impossible shape");
    }
    PAL_TRY(take_number(c, 4, &type));
    PAL_TRY(take_number(c, 8, offset));
    t->format = block_format_find((uint32_t)type);
    if (!t->format)
        return pal_fail(c->err, PAL_DATA,
                        "%s: tensor \"%s\" has type %s, which cannot be read here; convert to F16 or Q8_0",
                        c->name, t->name, block_type_name((uint32_t)type));
    if ((t->dims > 0 ? t->dim[0] : 1) % t->format->values != 0)
        return bad(c, "a row that is no whole number of blocks");
    blocks = t->values / t->format->values;
    if (__builtin_mul_overflow(blocks, (uint64_t)t->format->bytes, &t->bytes))
        return bad(c, "an impossible shape");
    return PAL_OK;
}

/* Offsets count from the data, which begins behind the infos: they are checked when that place is known. */
static int read_tensors(cursor *c, gguf_file *f, uint64_t count)
{
    enum { LEAST = 8 + 4 + 4 + 8 };
    if (count > (c->size - c->at) / LEAST) return bad(c, "more tensors than the file has room for");
    f->tensor = calloc((size_t)count + 1, sizeof *f->tensor);
    uint64_t *offset = calloc((size_t)count + 1, sizeof *offset);
    int code = f->tensor && offset ? PAL_OK
                                   : pal_fail(c->err, PAL_INTERNAL, "%s: out of memory for its tensors", c->name);
    for (; code == PAL_OK && f->tensors < count; f->tensors++)
        code = read_tensor(c, &f->tensor[f->tensors], &offset[f->tensors]);
    const uint64_t alignment = gguf_uint(f, "general.alignment", DEFAULT_ALIGNMENT);
    if (code == PAL_OK && (alignment == 0 || alignment > MAX_ALIGNMENT || alignment % 8 != 0))
        code = bad(c, "general.alignment is no multiple of 8 up to 1 MiB");
    if (code == PAL_OK) {
        const uint64_t start = (c->at + alignment - 1) / alignment * alignment;
        const uint64_t room = start < c->size ? c->size - start : 0;
        for (size_t i = 0; code == PAL_OK && i < f->tensors; i++) {
            gguf_tensor *t = &f->tensor[i];
            if (offset[i] % alignment != 0 || offset[i] > room || t->bytes > room - offset[i])
                code = pal_fail(c->err, PAL_DATA,
                                "%s: the data of tensor \"%s\" lies outside of the file or askew; "
                                "fetch the file again",
                                c->name, t->name);
            else
                t->data = c->base + start + offset[i];
        }
    }
    free(offset);
    PAL_TRY(code);
    qsort(f->tensor, f->tensors, sizeof *f->tensor, by_name);
    for (size_t i = 1; i < f->tensors; i++)
        if (by_name(&f->tensor[i - 1], &f->tensor[i]) == 0) return bad(c, "a tensor stands twice");
    return PAL_OK;
}

static int read_all(cursor *c, gguf_file *f)
{
    const uint8_t *magic;
    uint64_t version, tensors, entries;
    if (c->size == 0) return bad(c, "the file is empty");
    PAL_TRY(take(c, MAGIC_BYTES, &magic));
    if (memcmp(magic, "GGUF", MAGIC_BYTES) != 0) return bad(c, "this is no GGUF file");
    PAL_TRY(take_number(c, 4, &version));
    f->version = (uint32_t)version;
    if (version != 2 && version != 3)
        return pal_fail(c->err, PAL_DATA, "%s: GGUF version %u (or big-endian); versions 2 and 3 can be read",
                        c->name, f->version);
    PAL_TRY(take_number(c, 8, &tensors));
    PAL_TRY(take_number(c, 8, &entries));
    PAL_TRY(read_entries(c, f, entries));
    return read_tensors(c, f, tensors);
}

int gguf_parse(gguf_file *out, const void *data, size_t size, const char *name, pal_error *err)
{
    *out = (gguf_file){.base = data, .size = size};
    cursor c = {.base = data, .size = size, .name = name, .err = err};
    const int code = read_all(&c, out);
    if (code != PAL_OK) gguf_close(out);
    return code;
}

int gguf_open(gguf_file *out, const char *path, pal_error *err)
{
    const void *data;
    size_t size;
    *out = (gguf_file){0};
    PAL_TRY(os_map_file(path, &data, &size, err));
    const int code = gguf_parse(out, data, size, path, err);
    if (code == PAL_OK)
        out->mapped = 1;
    else
        os_unmap(data, size);
    return code;
}

void gguf_close(gguf_file *f)
{
    free(f->entry);
    free(f->tensor);
    if (f->mapped) os_unmap(f->base, f->size);
    *f = (gguf_file){0};
}
