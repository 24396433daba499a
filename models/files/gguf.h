/* Reading GGUF v2 and v3: metadata and tensors of a model file, mapped, never copied.
 * Format: ggml's docs/gguf.md. All counts and offsets are checked against the file before they are used. */
#ifndef PAL_GGUF_H
#define PAL_GGUF_H

#include "harness/base/error.h"
#include "models/files/block_types.h"

typedef enum gguf_kind { GGUF_UINT, GGUF_INT, GGUF_REAL, GGUF_BOOL, GGUF_TEXT, GGUF_ARRAY } gguf_kind;

/* Text as it lies in the file: no NUL behind it, any bytes in it. */
typedef struct gguf_text {
    const char *data;
    size_t size;
} gguf_text;

/* A metadata value. An array's items are read with gguf_item. */
typedef struct gguf_value {
    gguf_kind kind;
    union {
        uint64_t uint; /* GGUF_UINT, GGUF_BOOL */
        int64_t integer;
        double real;
        gguf_text text;
    };
    uint32_t item_type; /* arrays: the format's type number */
    uint64_t count;
    const uint8_t *items;
} gguf_value;

typedef struct gguf_entry {
    gguf_text key;
    gguf_value value;
} gguf_entry;

enum { GGUF_DIMS = 4, GGUF_NAME = 65 };

typedef struct gguf_tensor {
    char name[GGUF_NAME];
    const block_format *format;
    int dims;
    uint64_t dim[GGUF_DIMS]; /* dim[0] is the contiguous one: a matrix [out, in] has dim {in, out} */
    uint64_t values, bytes;
    const void *data;
} gguf_tensor;

typedef struct gguf_file {
    const uint8_t *base; /* the mapping, or the caller's memory */
    size_t size;
    int mapped;
    uint32_t version;
    gguf_entry *entry; /* by key */
    size_t entries;
    gguf_tensor *tensor; /* by name */
    size_t tensors;
} gguf_file;

/* Map `path`. PAL_DATA: one line with file, byte offset and cause; a type that cannot be read is named. */
int gguf_open(gguf_file *out, const char *path, pal_error *err);
/* The same of size bytes in memory, which must stay; `name` is used in messages. */
int gguf_parse(gguf_file *out, const void *data, size_t size, const char *name, pal_error *err);
void gguf_close(gguf_file *f);

const gguf_tensor *gguf_find_tensor(const gguf_file *f, const char *name);
const gguf_value *gguf_find(const gguf_file *f, const char *key);
/* The value of `key`, or `fallback` where it is missing or of another kind. */
uint64_t gguf_uint(const gguf_file *f, const char *key, uint64_t fallback);
double gguf_real(const gguf_file *f, const char *key, double fallback);

/* An iterator over an array's items; texts have no fixed size, so items are read in order. */
typedef struct gguf_items {
    const uint8_t *at;
    uint64_t left;
    uint32_t type;
} gguf_items;

gguf_items gguf_items_of(const gguf_value *array);
/* The next item; 0 at the end. Arrays of arrays have no items that can be read. */
int gguf_next(gguf_items *items, gguf_value *out);

#endif
