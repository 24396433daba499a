/* Training of byte-level BPE (Sennrich et al. 2016, Algorithm 1): the most frequent adjacent pair within words
 * becomes a token, again and again. Of equally frequent pairs the one with the smaller token ids (left, then
 * right) is taken, so the same counts give the same tokenizer. */
#ifndef PAL_BPE_TRAIN_H
#define PAL_BPE_TRAIN_H

#include "datasets/tokenizer/bpe.h"
#include "datasets/tokenizer/bpe_count.h"

enum {
    BPE_VOCAB_MIN = 512,
    BPE_VOCAB_MAX = 32 * 1024,
    BPE_SINGLE_DIGITS = 1 /* how the words to train on are split, and texts will be */
};

/* Called after every merge with the tokens there are. */
typedef void bpe_train_watch(void *arg, size_t vocab);

/* A finished bpe. Tokens 0 to 255 are the bytes, then come the merges, <|endoftext|> is the last of `vocab`.
 * PAL_DATA: too little text, no pair stands there twice before the vocabulary is full. `watch` may be NULL. */
int bpe_train(bpe **out, const bpe_words *words, size_t vocab, bpe_train_watch *watch, void *arg, pal_error *err);

#endif
