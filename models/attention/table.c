/* The list of all attention modules, and what is asked of one by name or by config. A new module is one row here.
 */
#include "models/attention/modules.h"

#include <strings.h>

const attn_module *const attn_table[] = {
    &attn_infini_linear,  &attn_infini_delta, &attn_infini_gated,   &attn_transformer_xl, &attn_compressive,
    &attn_memorizing,     &attn_local,        &attn_window,         &attn_full,           &attn_deltanet,
    &attn_gated_deltanet, &attn_rmt,          &attn_autocompressor, &attn_armt,           NULL,
};

attn_sizes attn_sizes_of(const model_config *cfg, size_t layer, size_t lanes)
{
    attn_sizes sizes = {0};
    if (cfg->attention->sizes) cfg->attention->sizes(cfg, layer, lanes, &sizes);
    return sizes;
}

const attn_module *attn_find(const char *name)
{
    for (const attn_module *const *m = attn_table; *m; m++)
        if (strcasecmp((*m)->name, name) == 0) return *m;
    return NULL;
}
