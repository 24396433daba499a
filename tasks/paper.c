/* The numbers of the Infini-attention paper's tables 2, 3 and 4, and how a model's row is found. */
#include "tasks/paper.h"

#include <math.h>
#include <string.h>

static int is_row(const model_facts *model, const char *attention)
{
    return attention && strcmp(model->attention, attention) == 0;
}

static const paper_memory memory_rows[PAPER_METHODS] = {
    [PAPER_TRANSFORMER_XL] = {"Transformer-XL", 50e6, 3.7},
    [PAPER_COMPRESSIVE] = {"Compressive Transformer", NAN, NAN},
    [PAPER_MEMORIZING] = {"Memorizing Transformers", 183e6, 1},
    [PAPER_RMT] = {"RMT", 2.5e6, 73},
    [PAPER_AUTOCOMPRESSORS] = {"AutoCompressors", NAN, NAN},
    [PAPER_INFINI] = {"Infini-Transformer", 1.6e6, 114},
};

const paper_memory *paper_memory_of(paper_method method)
{
    return &memory_rows[method];
}

/* Both baselines with an XL cache of 2048, as Wu et al. 2022 print them. */
static const paper_perplexity perplexity_rows[] = {
    {"transformer-xl", "Transformer-XL", 11.88, 2.42, PAPER_TRANSFORMER_XL},
    {"memorizing", "Memorizing Transformers", 11.37, 2.26, PAPER_MEMORIZING},
    {NULL, "RMT", 13.27, 2.55, PAPER_RMT},
    {"infini-linear", "Infini-Transformer (Linear)", 9.65, 2.24, PAPER_INFINI},
    {"infini-delta", "Infini-Transformer (Linear + Delta)", 9.67, 2.23, PAPER_INFINI},
    {NULL, "Infini-Transformer (Linear), trained at 100K", NAN, 2.21, PAPER_INFINI},
    {NULL, "Infini-Transformer (Linear + Delta), trained at 100K", NAN, 2.20, PAPER_INFINI},
};
enum { PERPLEXITY_ROWS = sizeof perplexity_rows / sizeof *perplexity_rows };

const paper_perplexity *paper_perplexity_rows(size_t *count)
{
    *count = PERPLEXITY_ROWS;
    return perplexity_rows;
}

/* The paper's Memorizing Transformer has the XL cache, so ours without it has no row. */
const paper_perplexity *paper_perplexity_find(const model_facts *model)
{
    for (size_t i = 0; i < PERPLEXITY_ROWS; i++)
        if (is_row(model, perplexity_rows[i].attention))
            return strcmp(model->attention, "memorizing") == 0 && model->xl_len == 0 ? NULL : &perplexity_rows[i];
    return NULL;
}

typedef struct paper_passkey_row {
    const char *attention, *name;
    int fine_tuned;
    double percent[5][3];
} paper_passkey_row;

static const paper_passkey_row passkey_rows[] = {
    {"infini-linear",
     "Infini zero-shot Linear",
     0,
     {{14, 13, 98}, {11, 14, 100}, {6, 3, 100}, {6, 7, 99}, {8, 6, 98}}},
    {"infini-delta",
     "Infini zero-shot Linear + Delta",
     0,
     {{13, 11, 99}, {6, 9, 99}, {7, 5, 99}, {6, 8, 97}, {7, 6, 97}}},
    {"infini-linear",
     "Infini FT Linear",
     1,
     {{100, 100, 100}, {100, 100, 100}, {100, 100, 100}, {97, 99, 100}, {96, 94, 100}}},
    {"infini-delta",
     "Infini FT Linear + Delta",
     1,
     {{100, 100, 100}, {100, 100, 99}, {100, 100, 99}, {100, 100, 100}, {100, 100, 100}}},
};

/* NULL too where nobody knows what the model was trained on. */
static const paper_passkey_row *passkey_row(const model_facts *model)
{
    const int fine_tuned = strcmp(model->trained_on, "passkey") == 0;
    for (size_t m = 0; m < sizeof passkey_rows / sizeof *passkey_rows; m++)
        if (model->trained_on[0] && is_row(model, passkey_rows[m].attention) &&
            passkey_rows[m].fine_tuned == fine_tuned)
            return &passkey_rows[m];
    return NULL;
}

double paper_passkey(const model_facts *model, int64_t length, double depth)
{
    static const int64_t lengths[] = {32 << 10, 128 << 10, 256 << 10, 512 << 10, 1024 << 10};
    static const double depths[] = {0, 50, 100};
    const paper_passkey_row *row = passkey_row(model);
    for (size_t i = 0; row && i < sizeof lengths / sizeof *lengths; i++)
        for (size_t j = 0; j < sizeof depths / sizeof *depths; j++)
            if (length == lengths[i] && depth == depths[j]) return row->percent[i][j];
    return NAN;
}

const char *paper_passkey_name(const model_facts *model)
{
    const paper_passkey_row *row = passkey_row(model);
    return row ? row->name : "";
}

static const paper_rouge rouge_rows[] = {
    {NULL, "BART", {36.4, 7.6, 15.3, 16.2}},
    {NULL, "BART + Unlimiformer", {36.8, 8.3, 15.7, 16.9}},
    {NULL, "PRIMERA", {38.6, 7.2, 15.6, 16.3}},
    {NULL, "PRIMERA + Unlimiformer", {37.9, 8.2, 16.3, 17.2}},
    {"infini-linear", "Infini-Transformer (Linear)", {37.9, 8.7, 17.6, 18.0}},
    {"infini-delta", "Infini-Transformer (Linear + Delta)", {40.0, 8.8, 17.9, 18.5}},
};

const paper_rouge *paper_rouge_rows(size_t *count)
{
    *count = sizeof rouge_rows / sizeof *rouge_rows;
    return rouge_rows;
}

const paper_rouge *paper_rouge_find(const model_facts *model)
{
    for (size_t i = 0; i < sizeof rouge_rows / sizeof *rouge_rows; i++)
        if (is_row(model, rouge_rows[i].attention)) return &rouge_rows[i];
    return NULL;
}
