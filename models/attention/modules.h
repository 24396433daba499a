/* The instances that table.c lists. */
#ifndef PAL_ATTENTION_MODULES_H
#define PAL_ATTENTION_MODULES_H

#include "models/attention/attention.h"

extern const attn_module attn_infini_linear, attn_infini_delta, attn_infini_gated; /* infini.c */
extern const attn_module attn_transformer_xl, attn_compressive;
extern const attn_module attn_memorizing;
extern const attn_module attn_local;
extern const attn_module attn_window;
extern const attn_module attn_armt;                          /* recurrent/armt.c */
extern const attn_module attn_rmt, attn_autocompressor;      /* recurrent/rmt.c */
extern const attn_module attn_deltanet, attn_gated_deltanet; /* recurrent/deltanet.c */
extern const attn_module attn_full;

#endif
