/* The form in which an imported model's weights are held: expanded to reals, rounded to bf16, or as they lie in
 * the mapped file, from where products expand them block by block. Stored weights give the bits of expanded ones.
 */
#ifndef PAL_IMPORT_FORMS_H
#define PAL_IMPORT_FORMS_H

#include "models/import/import.h"

/* The values of the key `hold`. */
typedef enum weights_form { FORM_AUTO, FORM_F32, FORM_BF16, FORM_STORED } weights_form;
#define FORM_CHOICES "auto|f32|bf16|stored"

/* What auto chooses for a described decoder: f32 where its weights are at most half of the available memory, else
 * stored. */
weights_form form_choose(weights_form asked, const decoder *d);
/* Memory and weights of a described decoder; other forms than f32 only read, and matrices alone are held so. Those
 * of layers that it does not take (decoder_take_layers) are left in the file, unseen. In the double build all are
 * f32. Where `like` is an allocated decoder of the same path, the tensors of the file are
 * its own (decoder_borrow), in its form. PAL_DATA, PAL_INTERNAL, PAL_USAGE as model_read_weights. */
int model_read_weights_as(const char *path, weights_form form, decoder *like, decoder *d, pal_error *err);
/* The weights of a described decoder as stored, unseen: nothing is checked or rounded. For plans; in the double
 * build they are read. */
int model_map_weights(const char *path, decoder *d, pal_error *err);

#endif
