/* Judges what a model's weights say of its gates: which heads read the segment, which the memory. */
#include "harness/gate/audit.h"

#include "harness/eval/model_files.h"
#include "models/files/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "layers.3.dec_attn.gate" -> 1: a gate of one value a head that mixes memory and segment. */
static int is_gate(const char *name)
{
    static const char suffix[] = ".gate";
    const size_t size = strlen(name), tail = sizeof suffix - 1;
    return size > tail && strcmp(name + size - tail, suffix) == 0;
}

int audit_gates(const audit_claim *claim, const char *model, const char *weights, FILE *out, int *known,
                int *holds, pal_error *err)
{
    weights_file *file = NULL;
    size_t count = 0, layers = 0, heads = 0, local = 0, memory = 0, without = 0;
    st_file content;
    pal_error missing;
    *known = *holds = 0;
    if (weights_resolve(model, weights, &file, &count, &missing) != PAL_OK) {
        fprintf(out, "%s: no weights in %s\n", model, weights);
        return PAL_OK;
    }
    const int code = st_read(file[0].path, &content, err);
    free(file);
    PAL_TRY(code);
    for (size_t t = 0; t < content.count; t++) {
        const st_tensor *gate = &content.tensor[t];
        if (!is_gate(gate->name)) continue;
        const size_t width = gate->dims ? gate->dim[gate->dims - 1] : 1;
        size_t near = 0;
        for (size_t h = 0; h < width; h++) {
            const double g = 1 / (1 + exp(-st_value(gate, h)));
            near += g <= claim->value;
            memory += g >= 1 - claim->value;
        }
        layers++;
        heads += width;
        local += near;
        without += near == 0;
    }
    if (layers)
        fprintf(out,
                "%s (weights %.12s): of %zu heads in %zu layers %zu read the segment (gate at most %g), %zu the "
                "memory (at least %g), %zu mix; %zu layers have no head of the first kind\n",
                model, content.digest, heads, layers, local, claim->value, memory, 1 - claim->value,
                heads - local - memory, without);
    else
        fprintf(out, "%s: its weights hold no gates\n", model);
    *known = layers > 0;
    *holds = layers > 0 && without == 0 && memory > 0;
    st_free(&content);
    return PAL_OK;
}
