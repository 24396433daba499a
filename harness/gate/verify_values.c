/* How the values of a sample that was computed again compare with the journal's, and the cause of a difference. */
#include "harness/gate/verify_values.h"

#include "harness/gate/trace.h"
#include "models/engine/gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What another BLAS core may do to a loss: relative, and in nats. */
static const double relative = 1e-4, absolute = 1e-4;

/* The journal has one null for all that is no number. */
static int same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (!isfinite(a) && !isfinite(b));
}

typedef enum value_kind { COUNT, CHOICE, LOSS } value_kind;

/* What a value is, by the metrics that are made of it: what is divided by counts things; shares are of choices
 * (the largest logit, a text that was written), which a tie may turn; all else is a loss. */
static value_kind kind_of(const task_module *task, size_t value)
{
    value_kind kind = LOSS;
    for (size_t m = 0; m < task->metric_count; m++) {
        if (task->metric[m].over == (int)value) return COUNT;
        if (task->metric[m].value == (int)value && task->metric[m].kind == METRIC_SHARE) kind = CHOICE;
    }
    return kind;
}

static int near(double a, double b)
{
    return same_bits(a, b) || fabs(a - b) <= absolute + relative * fmax(fabs(a), fabs(b));
}

value_agreement values_agree(const task_module *task, const double *then, const double *now, int other_core)
{
    value_agreement a = {.verdict = VALUES_SAME};
    size_t apart = 0;
    for (size_t i = 0; i < task->value_count; i++) {
        if (same_bits(then[i], now[i])) continue;
        const value_kind kind = kind_of(task, i);
        a.different++;
        a.choices += kind == CHOICE && isfinite(then[i]) && isfinite(now[i]);
        apart += kind == COUNT || (kind == LOSS && !near(then[i], now[i])) || !isfinite(then[i] - now[i]);
        if (kind == LOSS) a.largest = fmax(a.largest, fabs(then[i] - now[i]) / fmax(fabs(then[i]), 1e-300));
    }
    if (a.different) a.verdict = other_core && apart == 0 ? VALUES_NEAR : VALUES_DIFFERENT;
    return a;
}

void values_print(const task_module *task, const double *then, const double *now, FILE *out)
{
    for (size_t i = 0; i < task->value_count; i++)
        if (!same_bits(then[i], now[i]))
            fprintf(out, "  %s: journal %.17g, now %.17g, difference %.3g\n", task->value[i], then[i], now[i],
                    now[i] - then[i]);
}

/* ---- The cause of a difference ---- */

/* The first tokens of the sample, as many as are there. */
static int first_tokens(const eval_request *r, const task_cell *cell, int64_t index, int32_t *tokens, size_t max,
                        size_t *count, pal_error *err)
{
    task_sample *s = NULL;
    PAL_TRY(r->task->eval->open(r->run, cell, index, &s, err));
    int code = PAL_OK;
    *count = 0;
    for (size_t got = 1; code == PAL_OK && got > 0 && *count < max; *count += got) {
        code = r->task->eval->read(s, tokens + *count, max - *count, &got, err);
        if (code != PAL_OK) got = 0;
    }
    r->task->eval->close(s);
    return code;
}

static void print_cause(const values_cause *c, size_t count, const trace_difference *where)
{
    const decoder *model = c->request->model[0].decoder;
    const size_t layers = (size_t)decoder_config(model)->n_layers;
    char stage[32], core[64];
    decoder_core(model, core, sizeof core);
    snprintf(stage, sizeof stage, "layer %zu", where->stage);
    const char *name = where->stage == 0 ? "the embedding" : where->stage > layers ? "the logits" : stage;
    if (where->found)
        fprintf(c->out,
                "  1 and %d threads part at segment %zu (from 0), %s (layers from 1): SHA-256 %.16s and %.16s; "
                "this build is at fault\n",
                pool_threads(c->many), where->segment, name, where->hash[0], where->hash[1]);
    else
        fprintf(c->out,
                "  1 and %d threads agree in every layer over the first %zu tokens: the journal was made by "
                "another %s\n",
                pool_threads(c->many), count,
                strcmp(c->blas_core, core) == 0 ? "build, or changed since" : "BLAS core");
}

int values_find_cause(const values_cause *c, pal_error *err)
{
    const eval_request *r = c->request;
    const decoder *d = r->model[0].decoder;
    const trace_side side[2] = {{d, c->one}, {d, c->many}};
    trace_difference where;
    size_t count = 0;
    int32_t *tokens = calloc(c->most, sizeof *tokens);
    int code = tokens ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for tokens; lower trace=");
    if (code == PAL_OK) code = first_tokens(r, c->cell, c->index, tokens, c->most, &count, err);
    if (code == PAL_OK) code = trace_compare(side, tokens, count, &where, err);
    if (code == PAL_OK) print_cause(c, count, &where);
    free(tokens);
    return code;
}
