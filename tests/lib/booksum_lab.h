/* What the suites of the BookSum task share: small files of books, and tokenizers trained on stories. */
#ifndef PAL_TEST_BOOKSUM_LAB_H
#define PAL_TEST_BOOKSUM_LAB_H

#include "tests/lib/corpus_fixture.h"

#include "datasets/story/story.h"
#include "datasets/tokenizer/bpe_train.h"
#include "tasks/booksum/booksum.h"

enum { BPE_VOCAB = 400 };

static const task_module *task = &booksum_task;
static tokenizer *kind[2]; /* bytes, BPE */

static const char book[] = "Once there was a fox. It ran over the hill and slept.\n\nThe hound came late.";
static const char fox_books[] =
    "{\"bid\":\"fox\",\"text\":\"Once there was a fox. It ran over the hill and slept.\\n\\nThe hound came "
    "late.\","
    "\"summary\":[{\"text\":\"A fox escapes.\\nA hound is late.\"},{\"text\":\"The fox ran over a hill.\"}]}\n"
    "{\"bid\":\"b\",\"text\":\"Too short.\",\"summary\":[{\"text\":\"Short.\"}]}\n";
static const char war_chapters[] =
    "{\"bid\":\"w\",\"chapter_id\":\"w_1\",\"chapter\":\"war and more war\",\"summary_text\":\"war\"}\n";

static inline void succeed(int code)
{
    if (code != PAL_OK) fail_msg("%s", err.text);
}

/* A tokenizer that knows the words of stories and the rest byte by byte. */
static inline tokenizer *story_tokenizer(void)
{
    enum { SIZE = 60000 };
    bpe_words words = {0};
    bpe *b;
    tokenizer *t;
    story s;
    int32_t *tokens = malloc(SIZE * sizeof *tokens);
    char *text = malloc(SIZE + 1);
    assert_true(tokens && text);
    story_begin_idle(&s, kind[0], &(story_key){1, STORY_TRAIN, 0, 0}, SIZE);
    assert_int_equal(story_read(&s, tokens, SIZE), SIZE);
    tokenizer_decode(kind[0], tokens, SIZE, text, SIZE + 1);
    succeed(bpe_words_add(&words, text, SIZE, BPE_SINGLE_DIGITS, &err));
    succeed(bpe_train(&b, &words, BPE_VOCAB, NULL, NULL, &err));
    succeed(bpe_tokenizer(&t, b, &err));
    bpe_words_free(&words);
    free(tokens);
    free(text);
    return t;
}

static inline int open_lab(void **state)
{
    if (make_dir(state) != 0) return -1;
    put_text("fox-test.jsonl.gz", fox_books);
    put_text("fox-train.jsonl", war_chapters);
    put_text("set/validation.jsonl", war_chapters);
    put_text("bad-test.jsonl", "{}\n");
    if (tokenizer_create_bytes(&kind[0], &err) != PAL_OK) return -1;
    kind[1] = story_tokenizer();
    return 0;
}

static inline int close_lab(void **state)
{
    tokenizer_destroy(kind[0]);
    tokenizer_destroy(kind[1]);
    return remove_dir(state);
}

#endif
