/* `palimpsest export`: a model as a HuggingFace folder, which `transformers` opens.
 * What has no counterpart there is refused by its key. */
#include "models/import/export.h"
#include "harness/base/os.h"
#include "harness/command/commands.h"
#include "harness/eval/model_files.h"
#include "harness/eval/request.h"
#include "models/import/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct export_words {
    char model[KV_TEXT_MAX], weights[KV_TEXT_MAX], out[KV_TEXT_MAX], attention[KV_TEXT_MAX];
    int64_t dtype;
} export_words;

#define AT(field) offsetof(export_words, field)

static const kv_spec options_table[] = {
    {"model", KV_TEXT, AT(model), "", 0, 0, NULL,
     "a model's name, or the path of one, of this program or another"},
    {"out", KV_TEXT, AT(out), "", 0, 0, NULL, "the folder that is made"},
    {"dtype", KV_CHOICE, AT(dtype), "f32", 0, 0, "f32|bf16", "number type of the weights"},
    {"attention", KV_TEXT, AT(attention), "", 0, 0, NULL,
     "in place of the model's own, such as full:context=8K; full and window have a counterpart"},
    {"weights", KV_TEXT, AT(weights), WEIGHTS_DIR, 0, 0, KV_HOME, "directory of the shipped models"},
};

static int load(const export_words *o, decoder **d, checkpoint_info *info, pal_error *err)
{
    weights_file *file = NULL;
    size_t count = 0;
    PAL_TRY(weights_resolve(o->model, o->weights, &file, &count, err));
    const size_t room = sizeof file->instead;
    int code =
        count == 1 ? PAL_OK : pal_fail(err, PAL_USAGE, "model=%s: %zu models; export takes one", o->model, count);
    if (o->attention[0] && (size_t)snprintf(file[0].instead, room, "%s", o->attention) >= room)
        code = pal_fail(err, PAL_USAGE, "attention=%.60s...: too long", o->attention);
    if (code == PAL_OK) code = weights_load(&file[0], FORM_F32, 0, d, info, err);
    free(file);
    return code;
}

/* The tokenizer that the model reads: NULL where it names none, or plain bytes. */
static const char *tokenizer_of(const checkpoint_info *info)
{
    const char *path = kv_pairs_value(&info->metadata, "tokenizer");
    return path && path[0] && strcmp(path, "bytes") != 0 ? path : NULL;
}

static int copy_file(const char *from, const char *to, pal_error *err)
{
    char *text;
    size_t size;
    PAL_TRY(os_read_file(from, &text, &size, err));
    const int code = os_write_file(to, text, size, err);
    free(text);
    return code;
}

/* Without the second file transformers may take a tokenizer of the model's family for it, with rules of its own.
 */
static int copy_settings(const char *tokenizer_path, const char *dir, pal_error *err)
{
    static const char plain[] = "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}\n";
    const char *slash = strrchr(tokenizer_path, '/');
    char from[KV_TEXT_MAX + 32], to[KV_TEXT_MAX + 32];
    snprintf(from, sizeof from, "%.*stokenizer_config.json", slash ? (int)(slash + 1 - tokenizer_path) : 0,
             tokenizer_path);
    snprintf(to, sizeof to, "%s/tokenizer_config.json", dir);
    return os_file_exists(from) ? copy_file(from, to, err) : os_write_file(to, plain, sizeof plain - 1, err);
}

static int has_suffix(const char *path, const char *suffix)
{
    const size_t length = strlen(path), end = strlen(suffix);
    return length >= end && strcasecmp(path + length - end, suffix) == 0;
}

/* A tokenizer.json stays what it was; the vocabulary of a GGUF file is written as one. Kinds that cannot be are
 * named, and the model is written all the same. */
static int write_tokenizer(const char *from, const tokenizer *t, const char *dir, pal_error *err)
{
    char path[KV_TEXT_MAX + 32];
    pal_error why;
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    if (from && has_suffix(from, ".json")) {
        PAL_TRY(copy_file(from, path, err));
        return copy_settings(from, dir, err);
    }
    if (!from || !has_suffix(from, ".gguf")) {
        printf("no tokenizer.json: the model reads %s\n", from ? from : "bytes");
        return PAL_OK;
    }
    const int code = tokenizer_export(t, path, &why);
    if (code == PAL_OK) return copy_settings(path, dir, err);
    if (code != PAL_USAGE) return pal_fail(err, code, "%s", why.text);
    printf("no tokenizer.json: %s\n", why.text);
    return PAL_OK;
}

static int run(const void *options, const kv_pairs *rest, pal_error *err)
{
    (void)rest;
    const export_words *o = options;
    decoder *d = NULL;
    checkpoint_info info = {0};
    export_options how = {.dtype = o->dtype ? ST_BF16 : ST_F32, .begin = -1, .end = -1};
    if (!o->model[0] || !o->out[0])
        return pal_fail(err, PAL_USAGE, "give model= and out=, such as model=my.safetensors out=my-model");
    PAL_TRY(load(o, &d, &info, err));
    const char *reads = tokenizer_of(&info);
    tokenizer *t = NULL;
    int code = reads ? eval_tokenizer_load(&t, reads, err) : PAL_OK;
    if (t) how.begin = tokenizer_begin(t);
    if (code == PAL_OK) code = export_huggingface(d, o->out, &how, err);
    if (code == PAL_OK) code = write_tokenizer(reads, t, o->out, err);
    if (code == PAL_OK) printf("wrote %s\n", o->out);
    tokenizer_destroy(t);
    checkpoint_info_free(&info);
    decoder_destroy(d);
    return code;
}

const pal_command export_command = {
    .name = "export",
    .summary = "write a model as a HuggingFace folder, which transformers opens",
    .note =
        "RMS norm, gated feed-forward, rotary positions, and full or sliding-window attention have a counterpart: "
        "llama, mistral, qwen2, qwen3.\n",
    .examples = "export model=SmolLM2-135M-Instruct.Q4_1.gguf out=smollm2\n"
                "export model=mine.safetensors attention=full:context=8K out=mine dtype=bf16\n",
    .options = options_table,
    .count = sizeof options_table / sizeof *options_table,
    .bytes = sizeof(export_words),
    .run = run,
};
