/* One sequence of pairs as a sample: read token by token, and scored where keys are asked for.
 * A value is never in the text behind its question, so only the model's own choices are scored. */
#include "tasks/mqar/run.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHOWN = 24 /* queries in a record */ };

int32_t mqar_token(const mqar_sequence *s, int64_t at, uint32_t noise, int64_t *next)
{
    if (at < mqar_context(&s->form)) return at % 2 ? s->write[at / 2].value : s->write[at / 2].key;
    if (*next < s->form.pairs && s->query[*next].at == at) return s->query[(*next)++].key;
    return (int32_t)noise;
}

int mqar_open(const task_run *handle, const task_cell *cell, int64_t index, task_sample **out, pal_error *err)
{
    const mqar_run *run = (const mqar_run *)handle;
    const mqar_form *form = &run->form[cell - run->cell];
    char domain[96];
    if (index < 0 || index >= cell->samples)
        return pal_fail(err, PAL_USAGE, "mqar: %s has samples 0 to %lld, not %lld", cell->name,
                        (long long)cell->samples - 1, (long long)index);
    mqar_sample *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "mqar: out of memory for a sample");
    /* Controls have the pairs of the samples that they control. */
    snprintf(domain, sizeof domain, "mqar/%lld/%lld/%lld/%lld", (long long)form->vocab, (long long)form->length,
             (long long)form->pairs, (long long)form->updates);
    rng draws = rng_make((uint64_t)run->request.seed, domain, (uint64_t)index, 0);
    s->run = run;
    s->noise = rng_make((uint64_t)run->request.seed, domain, (uint64_t)index, 1);
    const int code = mqar_draw(form, &draws, &s->sequence, err);
    if (code == PAL_OK)
        *out = (task_sample *)s;
    else
        mqar_close((task_sample *)s);
    return code;
}

void mqar_close(task_sample *handle)
{
    mqar_sample *s = (mqar_sample *)handle;
    mqar_free(&s->sequence);
    free(s);
}

void mqar_shape(const task_sample *handle, sample_shape *out)
{
    const mqar_sample *s = (const mqar_sample *)handle;
    out->tokens = out->prompt = (uint64_t)s->sequence.form.length;
    out->score_from = (uint64_t)s->sequence.query[0].at + 1;
    out->forget = (uint64_t)mqar_context(&s->sequence.form);
    out->decoding = (task_decoding){.stop = -1};
}

int mqar_read(task_sample *handle, int32_t *tokens, size_t max, size_t *got, pal_error *err)
{
    mqar_sample *s = (mqar_sample *)handle;
    const int64_t context = mqar_context(&s->sequence.form);
    (void)err;
    for (*got = 0; *got < max && s->at < s->sequence.form.length; s->at++) {
        const uint32_t noise = rng_below(&s->noise, (uint64_t)s->sequence.form.vocab);
        const int absent = s->run->request.control == CONTROL_ABSENT && s->at < context && s->at % 2;
        tokens[(*got)++] = absent ? (int32_t)noise : mqar_token(&s->sequence, s->at, noise, &s->next);
    }
    return PAL_OK;
}

/* ---- Scores ---- */

static int32_t answer_of(const mqar_sample *s, int64_t query)
{
    const int swapped = s->run->request.control == CONTROL_SWAPPED;
    return s->sequence.query[swapped ? (query + 1) % s->sequence.form.pairs : query].value;
}

void mqar_score(const task_sample *handle, const task_output *out, double *value, char *record, size_t record_size)
{
    const mqar_sample *s = (const mqar_sample *)handle;
    const int64_t pairs = s->sequence.form.pairs;
    char answer[12 * SHOWN + 4] = "", chosen[12 * SHOWN + 4] = "", key[12 * SHOWN + 4] = "",
                             gap[12 * SHOWN + 4] = "";
    int a = 0, c = 0, k = 0, g = 0;
    value[MQAR_RIGHT] = 0;
    for (int64_t i = 0; i < pairs; i++) {
        const mqar_query *q = &s->sequence.query[i];
        const int32_t made = out->argmax[(uint64_t)q->at + 1 - out->first], want = answer_of(s, i);
        value[MQAR_RIGHT] += made == want;
        if (i >= SHOWN) continue;
        k += snprintf(key + k, sizeof key - (size_t)k, "%s%d", i ? " " : "", (int)q->key);
        a += snprintf(answer + a, sizeof answer - (size_t)a, "%s%d", i ? " " : "", (int)want);
        c += snprintf(chosen + c, sizeof chosen - (size_t)c, "%s%d", i ? " " : "", (int)made);
        g += snprintf(gap + g, sizeof gap - (size_t)g, "%s%lld", i ? " " : "", (long long)q->at);
    }
    value[MQAR_ASKED] = (double)pairs;
    value[MQAR_ALL] = value[MQAR_RIGHT] == value[MQAR_ASKED];
    const int size = snprintf(record, record_size,
                              "{\"asked\":%lld,\"right\":%.0f,\"shown\":%d,\"key\":\"%s\",\"position\":\"%s\","
                              "\"answer\":\"%s\",\"chosen\":\"%s\"}",
                              (long long)pairs, value[MQAR_RIGHT], (int)(pairs < SHOWN ? pairs : SHOWN), key, gap,
                              answer, chosen);
    if ((size_t)size >= record_size) snprintf(record, record_size, "%s", record_size > 2 ? "{}" : "");
}
