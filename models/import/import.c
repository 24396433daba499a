/* Opening a checkpoint of another program, matching its tensors with our parameters, filling a decoder. */
#include "models/import/import.h"

#include "harness/base/os.h"
#include "models/attention/common.h"
#include "models/decoder/config_keys.h"
#include "models/import/foreign.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

struct imported {
    foreign files;
    char path[KV_TEXT_MAX];
    kv_pairs keys, facts;
};

typedef int reader_open(foreign *f, const char *path, pal_error *err);

/* ---- Tensors ---- */

/* How many rows each of the tensors on top of each other must have. */
static size_t rows_of_parts(const model_config *cfg, const decoder_param *p, size_t parts,
                            size_t out[STORED_PARTS])
{
    const attn_shape s = attn_shape_of(cfg);
    const int vector = p->rows == 1;
    out[0] = vector ? p->cols : p->rows;
    if (parts < 3) return parts;
    out[0] = s.q;
    out[1] = out[2] = s.kv;
    return parts;
}

/* Only q and k rotate: the first two of three. */
static size_t pairs_of(const imported *m, const model_config *cfg, size_t part, size_t parts)
{
    return m->files.side_by_side && parts == 3 && part < 2 ? (size_t)cfg->d_head : 0;
}

static int take_part(const imported *m, const char *name, size_t height, size_t cols, size_t pairs,
                     stored_part *out, pal_error *err)
{
    const foreign_tensor *t = foreign_find(&m->files, name);
    if (!t)
        return pal_fail(err, PAL_DATA, "%s: the tensor \"%s\" is missing; fetch the model again", m->path, name);
    if (t->rows != height || t->cols != cols)
        return pal_fail(err, PAL_DATA, "%s: the tensor \"%s\" is [%zu, %zu] where the model needs [%zu, %zu]",
                        m->path, name, t->rows, t->cols, height, cols);
    if (cols % t->format->values != 0)
        return pal_fail(err, PAL_DATA, "%s: the tensor \"%s\" is a vector of type %s; convert it to F32", m->path,
                        name, t->format->name);
    *out = (stored_part){t->format, t->data, height, cols, pairs};
    return PAL_OK;
}

int import_matrix(const imported *m, const model_config *cfg, const decoder_param *p, stored_matrix *out,
                  pal_error *err)
{
    char name[STORED_PARTS][128];
    size_t height[STORED_PARTS];
    const size_t cols = p->rows == 1 ? 1 : p->cols;
    *out = (stored_matrix){.rows = p->rows == 1 ? p->cols : p->rows, .cols = cols};
    const size_t parts = rows_of_parts(cfg, p, foreign_names(m->files.style, p->name, name, STORED_PARTS), height);
    for (size_t i = 0; i < parts; i++)
        PAL_TRY(take_part(m, name[i], height[i], cols, pairs_of(m, cfg, i, parts), &out->part[i], err));
    out->parts = parts;
    return PAL_OK;
}

/* ---- What belongs to no parameter ---- */

/* Constants that some programs save, and an output that is tied all the same. */
static int is_harmless(const imported *m, const char *name)
{
    static const char frequencies[] = "rotary_emb.inv_freq";
    const size_t length = strlen(name), suffix = sizeof frequencies - 1;
    if (length > suffix && strcmp(name + length - suffix, frequencies) == 0) return 1;
    if (strcmp(name, "rope_freqs.weight") == 0) return 1;
    return m->files.shape.tied && strcmp(name, "lm_head.weight") == 0;
}

/* Mark the tensors of a parameter, which are checked on the way. */
static int mark(const imported *m, const decoder *d, const decoder_param *p, char *used, pal_error *err)
{
    stored_matrix ignored;
    char name[STORED_PARTS][128];
    PAL_TRY(import_matrix(m, decoder_config(d), p, &ignored, err));
    const size_t parts = foreign_names(m->files.style, p->name, name, STORED_PARTS);
    for (size_t i = 0; i < parts; i++) used[foreign_find(&m->files, name[i]) - m->files.tensor] = 1;
    return PAL_OK;
}

static int check_tensors(const imported *m, const decoder *d, pal_error *err)
{
    char *used = calloc(m->files.tensors + 1, 1);
    int code = used ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s: out of memory", m->path);
    for (size_t i = 0; code == PAL_OK && i < decoder_param_count(d); i++)
        code = mark(m, d, decoder_param_at(d, i), used, err);
    for (size_t i = 0; code == PAL_OK && i < m->files.tensors; i++)
        if (!used[i] && !is_harmless(m, m->files.tensor[i].name))
            code = pal_fail(err, PAL_DATA,
                            "%s: the tensor \"%s\" has no place in a model of type %s; what it does is not here",
                            m->path, m->files.tensor[i].name, m->files.shape.family->name);
    free(used);
    return code;
}

/* ---- Opening ---- */

/* "Q4_1 Q8_0 F32": the number types of all tensors, the one with most bytes first. */
static void describe_types(const foreign *f, char *out, size_t size)
{
    enum { KINDS = 16 };
    const block_format *kind[KINDS];
    size_t bytes[KINDS] = {0}, kinds = 0, used = 0;
    for (size_t i = 0; i < f->tensors; i++) {
        const foreign_tensor *t = &f->tensor[i];
        size_t k = 0;
        while (k < kinds && kind[k] != t->format) k++;
        if (k == KINDS) continue;
        if (k == kinds) kind[kinds++] = t->format;
        bytes[k] += t->rows * t->cols / t->format->values * t->format->bytes;
    }
    out[0] = '\0';
    for (size_t shown = 0; shown < kinds && used < size; shown++) {
        size_t most = 0;
        for (size_t k = 1; k < kinds; k++)
            if (bytes[k] > bytes[most]) most = k;
        used += (size_t)snprintf(out + used, size - used, "%s%s", shown ? " " : "", kind[most]->name);
        bytes[most] = 0;
    }
}

static int collect_facts(imported *m, pal_error *err)
{
    char types[128];
    describe_types(&m->files, types, sizeof types);
    PAL_TRY(kv_pairs_add(&m->facts, "architecture", m->files.shape.family->name, m->path, err));
    PAL_TRY(kv_pairs_add(&m->facts, "container", m->files.kind, m->path, err));
    PAL_TRY(kv_pairs_add(&m->facts, "stored", types, m->path, err));
    if (m->files.tokenizer[0]) PAL_TRY(kv_pairs_add(&m->facts, "tokenizer", m->files.tokenizer, m->path, err));
    return PAL_OK;
}

/* A config of the model's own attention, and its parameters without memory for them. */
static int check_own_model(const imported *m, pal_error *err)
{
    model_config cfg;
    decoder *d = NULL;
    pal_error cause;
    int code = model_config_read(&cfg, &m->keys, &cause);
    if (code != PAL_OK) return pal_fail(err, code == PAL_USAGE ? PAL_DATA : code, "%s", cause.text);
    PAL_TRY(decoder_describe(&d, &cfg, err));
    code = check_tensors(m, d, err);
    decoder_destroy(d);
    return code;
}

static int has_suffix(const char *path, const char *suffix)
{
    const size_t length = strlen(path), end = strlen(suffix);
    return length > end && strcasecmp(path + length - end, suffix) == 0;
}

static int is_gguf(const char *path)
{
    char magic[4];
    FILE *f;
    pal_error ignored;
    if (os_open_stream(path, "r", &f, &ignored) != PAL_OK) return 0;
    const int same = fread(magic, 1, sizeof magic, f) == sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0;
    fclose(f);
    return same;
}

/* A safetensors file with no config of ours in it, beside a config.json. */
static int is_part_of_folder(const char *path)
{
    char config[KV_TEXT_MAX];
    const char *slash = strrchr(path, '/');
    st_file f;
    pal_error ignored;
    if (!has_suffix(path, ".safetensors")) return 0;
    if (snprintf(config, sizeof config, "%.*sconfig.json", slash ? (int)(slash + 1 - path) : 0, path) >=
            (int)sizeof config ||
        !os_file_exists(config) || st_open(path, &f, &ignored) != PAL_OK)
        return 0;
    const int is_ours = f.config != NULL;
    st_free(&f);
    return !is_ours;
}

static reader_open *reader_of(const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return huggingface_open;
    if (has_suffix(path, ".gguf") || is_gguf(path)) return gguf_model_open;
    if (has_suffix(path, ".bin")) return llama2c_open;
    return is_part_of_folder(path) ? huggingface_open : NULL;
}

int import_is_foreign(const char *path)
{
    return reader_of(path) != NULL;
}

static int open_files(imported *m, const char *path, pal_error *err)
{
    reader_open *reader = reader_of(path);
    if (!reader || strlen(path) >= sizeof m->path)
        return pal_fail(err, PAL_DATA, "%.200s: no model of another program: a folder, a .gguf or a .bin file is",
                        path);
    memcpy(m->path, path, strlen(path) + 1);
    PAL_TRY(reader(&m->files, path, err));
    PAL_TRY(foreign_keys(&m->files.shape, m->path, &m->keys, err));
    PAL_TRY(collect_facts(m, err));
    return check_own_model(m, err);
}

const char *import_remedy(const char *path)
{
    return strstr(path, "models/fetched/") ? "; `make models` brings it" : "";
}

int import_open(imported **out, const char *path, pal_error *err)
{
    if (!os_file_exists(path))
        return pal_fail(err, PAL_DATA, "%s: there is no such file%s", path, import_remedy(path));
    imported *m = calloc(1, sizeof *m);
    if (!m) return pal_fail(err, PAL_INTERNAL, "%s: out of memory", path);
    const int code = open_files(m, path, err);
    if (code == PAL_OK)
        *out = m;
    else
        import_close(m);
    return code;
}

void import_close(imported *m)
{
    if (!m) return;
    foreign_free(&m->files);
    kv_pairs_free(&m->keys);
    kv_pairs_free(&m->facts);
    free(m);
}

const kv_pairs *import_keys(const imported *m)
{
    return &m->keys;
}

const kv_pairs *import_facts(const imported *m)
{
    return &m->facts;
}

int64_t import_context(const imported *m)
{
    return m->files.shape.context;
}

/* ---- Weights ---- */

static int not_finite(const imported *m, const decoder_param *p, double value, size_t row, pal_error *err)
{
    return pal_fail(err, PAL_DATA, "%s: what becomes \"%s\" holds %g at row %zu; fetch the model again", m->path,
                    p->name, value, row);
}

int import_check_finite(const imported *m, const decoder_param *p, const stored_matrix *s, pal_error *err)
{
    const size_t row = stored_first_wild(s);
    if (row == s->rows) return PAL_OK;
    float *values = malloc(s->cols * sizeof *values);
    if (!values) return pal_fail(err, PAL_INTERNAL, "%s: out of memory for a row", m->path);
    stored_read(s, row, 1, values);
    size_t bad = 0;
    while (bad + 1 < s->cols && isfinite(values[bad])) bad++;
    const double value = (double)values[bad];
    free(values);
    return not_finite(m, p, value, row, err);
}

/* Rows at a time, so that what was read is still near when it is looked at. */
enum { FILL_REALS = 1 << 16 };

static int fill_rows(const imported *m, const decoder_param *p, const stored_matrix *s, size_t first, size_t count,
                     float *room, real *to, pal_error *err)
{
    stored_read(s, first, count, room);
    int finite = 1;
    for (size_t i = 0; i < count * s->cols; i++) {
        to[i] = (real)room[i];
        finite &= isfinite(room[i]) != 0;
    }
    if (finite) return PAL_OK;
    size_t bad = 0;
    while (isfinite(room[bad])) bad++;
    return not_finite(m, p, (double)room[bad], first + bad / s->cols, err);
}

static int fill_matrix(const imported *m, const decoder_param *p, const stored_matrix *s, real *weight,
                       pal_error *err)
{
    const size_t step = s->cols < FILL_REALS ? FILL_REALS / s->cols : 1;
    float *room = malloc(step * s->cols * sizeof *room);
    int code = room ? PAL_OK : pal_fail(err, PAL_INTERNAL, "%s: out of memory for rows", m->path);
    for (size_t first = 0; code == PAL_OK && first < s->rows; first += step) {
        const size_t count = s->rows - first < step ? s->rows - first : step;
        code = fill_rows(m, p, s, first, count, room, weight + first * s->cols, err);
    }
    free(room);
    return code;
}

int import_fill(const imported *m, decoder *d, size_t *missing, pal_error *err)
{
    if (missing) *missing = 0;
    for (size_t i = 0; i < decoder_param_count(d); i++) {
        const decoder_param *p = decoder_param_at(d, i);
        stored_matrix s;
        PAL_TRY(import_matrix(m, decoder_config(d), p, &s, err));
        if (s.parts > 0 && p->offset == PARAM_ELSEWHERE) continue; /* it is read where it lies */
        if (s.parts > 0)
            PAL_TRY(fill_matrix(m, p, &s, decoder_weights(d) + p->offset, err));
        else if (missing)
            ++*missing;
    }
    return PAL_OK;
}

/* ---- The digest ---- */

void import_digest(const imported *m, import_watch *watch, void *arg, char out[HASH_HEX])
{
    enum { STEP = 16 << 20 };
    hash_state *h = hash_begin();
    uint64_t done = 0, total = 0;
    for (size_t i = 0; i < m->files.maps; i++) total += m->files.map[i].size;
    for (size_t i = 0; i < m->files.maps; i++) {
        const foreign_map *map = &m->files.map[i];
        for (size_t at = 0; at < map->size; at += STEP) {
            const size_t take = map->size - at < STEP ? map->size - at : STEP;
            hash_add(h, (const char *)map->data + at, take);
            os_map_forget((const char *)map->data + at, take);
            done += take;
            if (watch) watch(arg, done, total);
        }
    }
    hash_end(h, out);
}
