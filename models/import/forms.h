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
/* Memory and weights of a described decoder; other forms than f32 only read, and matrices alone are held so. In
 * the double build all are f32. PAL_DATA, PAL_INTERNAL, PAL_USAGE as model_read_weights. */
int model_read_weights_as(const char *path, weights_form form, decoder *d, pal_error *err);

#endif
