/* Speed peer: llama.cpp reads segments of 512 tokens from nothing, logits of all, or writes 64 tokens one by one.
 * Built by setup.sh. Usage: llama_speed MODEL.gguf THREADS read|write; a line with seconds on stdin gives tokens/s. */
#include "speed_loop.h"

#include <llama.h>

#include <string.h>

enum { SEGMENT = 512, WRITTEN = 64 };

typedef struct work {
    struct llama_context *context;
    struct llama_batch batch;
    int vocab;
} work;

static void quiet(enum ggml_log_level level, const char *text, void *arg)
{
    (void)arg;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static void decode(struct llama_context *c, struct llama_batch batch)
{
    if (llama_decode(c, batch) == 0 && llama_get_logits(c)) return;
    fputs("llama_decode failed\n", stderr);
    exit(1);
}

/* One segment from an empty cache. */
static double read_segment(void *arg)
{
    const work *w = arg;
    llama_memory_clear(llama_get_memory(w->context), false);
    decode(w->context, w->batch);
    return SEGMENT;
}

/* As many steps from an empty cache, each of the likeliest token; the batch holds the first. */
static double write_tokens(void *arg)
{
    const work *w = arg;
    struct llama_batch batch = w->batch;
    llama_memory_clear(llama_get_memory(w->context), false);
    batch.n_tokens = 1;
    for (int i = 0; i < WRITTEN; i++) {
        batch.pos[0] = i;
        decode(w->context, batch);
        const float *logits = llama_get_logits(w->context);
        int best = 0;
        for (int k = 1; k < w->vocab; k++)
            if (logits[k] > logits[best]) best = k;
        batch.token[0] = best;
    }
    return WRITTEN;
}

int main(int argc, char **argv)
{
    const int writes = argc == 4 && strcmp(argv[3], "write") == 0;
    if (argc != 4 || (!writes && strcmp(argv[3], "read") != 0)) {
        fputs("usage: llama_speed MODEL.gguf THREADS read|write\n", stderr);
        return 2;
    }
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model *m = llama_model_load_from_file(argv[1], llama_model_default_params());
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = p.n_batch = p.n_ubatch = SEGMENT;
    p.n_threads = p.n_threads_batch = atoi(argv[2]);
    struct llama_context *c = m ? llama_init_from_model(m, p) : NULL;
    if (!c) {
        fprintf(stderr, "%s: cannot be read\n", argv[1]);
        return 1;
    }
    const int vocab = llama_vocab_n_tokens(llama_model_get_vocab(m));
    struct llama_batch batch = llama_batch_init(SEGMENT, 0, 1);
    batch.n_tokens = SEGMENT;
    for (int i = 0; i < SEGMENT; i++) {
        batch.token[i] = (int)((1103515245u * (unsigned)i + 12345u) % (unsigned)vocab);
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    work w = {c, batch, vocab};
    double (*const pass)(void *arg) = writes ? write_tokens : read_segment;
    pass(&w);
    printf("ready %s\n", llama_print_system_info());
    serve_speed(pass, &w);
    return 0;
}
