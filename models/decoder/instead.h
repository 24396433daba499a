/* Another attention in place of a trained model's own, or other settings of its own, such as
 * "window:sinks=4:window=1K": the text of it, what it may change, and which parameters it brings. */
#ifndef PAL_INSTEAD_H
#define PAL_INSTEAD_H

#include "models/decoder/decoder.h"

/* INSTEAD_TEXT: what people type, and what follows a model's name behind a '+' in tables. */
enum { INSTEAD_TEXT = 160, INSTEAD_NOTE = 480, INSTEAD_SEED = 1 };

/* What is asked for. */
typedef struct instead_words {
    kv_pairs own;    /* as instead_parse makes them; without attention: other settings of the model's own */
    kv_pairs common; /* beside them, for those models that have such a key */
} instead_words;

void instead_words_free(instead_words *w);

/* What came of a replacement. */
typedef struct instead_made {
    char text[INSTEAD_TEXT]; /* as instead_text says; "" where the model is as it was */
    size_t new_tensors;
    char note[INSTEAD_NOTE]; /* of them, as instead_new says */
    size_t unused;           /* tensors of the file that belong to the attention that is gone */
} instead_made;

/* Whether a '+' and what follows name an attention in place of a model's own: the place of the '+', or NULL. */
const char *instead_find(const char *name);

/* "local:segment=512" -> the pairs attention=local, segment=512. Several attentions are not one text. PAL_USAGE:
 * no attention of that name, a setting without '=', or one that instead_allows refuses. */
int instead_parse(const char *text, kv_pairs *out, pal_error *err);
/* Whether weights stay what they are when `key` changes: the attention's own keys, the segment, and the rotary
 * scaling; new_tensors=start, which lets tensors be new, too. */
int instead_allows(const struct attn_module *attention, const char *key);
/* Go over a model's own `keys`. What the replaced attention alone knows goes. PAL_USAGE: a key that no such model
 * has, or that would make it another model. */
int instead_apply(kv_pairs *keys, const instead_words *instead, pal_error *err);
/* The canonical text of what `cfg` has where `own` has it not; "" where nothing differs. Needs INSTEAD_TEXT;
 * longer texts are PAL_USAGE. */
int instead_text(const model_config *own, const model_config *cfg, int new_tensors, char *out, pal_error *err);
/* Whether they let tensors be new. */
int instead_starts(const instead_words *instead);

/* The parameters of `d` that a source lacks, in words: "layers.*.dec_attn.gate [9] = 0". has(arg, p) says whether
 * it has one. out[size] is cut short with "...". Returns how many tensors are new. */
size_t instead_new(const decoder *d, int (*has)(void *arg, const decoder_param *p), void *arg, char *out,
                   size_t size);
/* What a source lacks of `d` into *made. PAL_USAGE: tensors are new and `starts` is 0. */
int instead_check(const decoder *d, int (*has)(void *arg, const decoder_param *p), void *arg, const char *path,
                  int starts, instead_made *made, pal_error *err);

#endif
