/* The arithmetic of protocols. Sources: HuggingFace's guide "Perplexity of fixed-length models" and the tool
 * llama-perplexity of llama.cpp, both read for their rules. */
#include "tasks/perplexity/protocol.h"

#include "harness/base/keyval.h"

#include <inttypes.h>
#include <stdio.h>

enum { WINDOW_CONTEXT = 2048, WINDOW_STRIDE = 512, LLAMA_CPP_CONTEXT = 512, LEAST_CONTEXT = 4 };

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

int protocol_settle(protocol *p, pal_error *err)
{
    const int windows = p->kind == PROTOCOL_WINDOW;
    if (p->kind == PROTOCOL_STREAM && p->context)
        return pal_fail(err, PAL_USAGE,
                        "context=%" PRIu64 ": a stream has none; add protocol=window or "
                        "protocol=llama.cpp",
                        p->context);
    if (!windows && p->stride)
        return pal_fail(err, PAL_USAGE, "stride=%" PRIu64 ": only windows have one; add protocol=window",
                        p->stride);
    if (p->kind == PROTOCOL_STREAM) return PAL_OK;
    if (!p->context) p->context = windows ? WINDOW_CONTEXT : LLAMA_CPP_CONTEXT;
    if (p->context < LEAST_CONTEXT)
        return pal_fail(err, PAL_USAGE, "context=%" PRIu64 ": too short; the least is %d", p->context,
                        LEAST_CONTEXT);
    if (windows && !p->stride) p->stride = smaller(p->context, WINDOW_STRIDE);
    if (p->stride > p->context)
        return pal_fail(err, PAL_USAGE,
                        "stride=%" PRIu64 ": longer than context=%" PRIu64 ", so tokens between two "
                        "windows would be lost",
                        p->stride, p->context);
    return PAL_OK;
}

void protocol_name(const protocol *p, char *out, size_t size)
{
    char context[24], stride[24];
    kv_format_size((int64_t)p->context, context);
    if (p->kind == PROTOCOL_STREAM)
        snprintf(out, size, "%s", "");
    else if (p->kind == PROTOCOL_LLAMA_CPP)
        snprintf(out, size, "llama.cpp=%s", context);
    else
        snprintf(out, size, "window=%s/%s", context, kv_format_size((int64_t)p->stride, stride));
}

uint64_t protocol_pieces(const protocol *p, uint64_t tokens)
{
    if (p->kind == PROTOCOL_STREAM || tokens < p->context) return 1;
    if (p->kind == PROTOCOL_LLAMA_CPP) return tokens / p->context;
    return 1 + (tokens - p->context + p->stride - 1) / p->stride;
}

/* The first token of a piece has nothing before it, so it is never scored. */
static protocol_piece piece(uint64_t from, uint64_t score_from, uint64_t end)
{
    const uint64_t least = smaller(from + 1, end);
    return (protocol_piece){from, score_from > least ? score_from : least, end};
}

protocol_piece protocol_piece_at(const protocol *p, uint64_t tokens, uint64_t index)
{
    if (p->kind == PROTOCOL_STREAM) return piece(0, 0, tokens);
    if (p->kind == PROTOCOL_WINDOW) {
        const uint64_t from = index * p->stride;
        return piece(from, index ? from + p->context - p->stride : 0, smaller(from + p->context, tokens));
    }
    if (tokens < p->context) return piece(0, 0, smaller(1, tokens));
    /* Logits of the first half are dropped, and that of its last token predicts one more. */
    const uint64_t from = index * p->context;
    return piece(from, from + p->context / 2 + 1, from + p->context);
}

uint64_t protocol_end(const protocol *p, uint64_t tokens)
{
    return protocol_piece_at(p, tokens, protocol_pieces(p, tokens) - 1).end;
}
