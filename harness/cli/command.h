/* One command of the program. Its table of options reads its words, and makes its help, its manual and the shell's
 * completion; `palimpsest COMMAND len=1K`, `--len=1K` and `--len 1K` mean the same. */
#ifndef PAL_COMMAND_H
#define PAL_COMMAND_H

#include "harness/base/keyval.h"

enum { COMMAND_GROUPS = 32 };

/* Keys of another part that a command takes too, such as those of the task that it evaluates. */
typedef struct command_group {
    const char *title; /* "Keys of task" */
    char topic[160];   /* "passkey": `help eval passkey` shows this group; "a, b": for either; "": always shown */
    const kv_spec *table;
    size_t count;
} command_group;

typedef struct pal_command {
    const char *name, *summary;
    const char *note;     /* paragraphs for help, a line each; NULL: none */
    const char *examples; /* what to type after "palimpsest ", a line each; NULL: none */
    const kv_spec *options;
    size_t count, bytes;      /* rows of options, and size of the struct that they describe */
    const char *const *words; /* keys of the words without a key, in turn, then NULL; NULL: none */
    /* Fill out[COMMAND_GROUPS]; returns how many. NULL: the command has no keys but its own. */
    size_t (*groups)(command_group *out);
    /* `options` is the filled struct; `rest` holds the pairs of the groups' keys. */
    int (*run)(const void *options, const kv_pairs *rest, pal_error *err);
} pal_command;

/* Read the words after the command's name and run it. PAL_USAGE: a word that is no setting, a key that nobody
 * knows (with the nearest names), a bad value. */
int command_run(const pal_command *c, int argc, char *const *argv, pal_error *err);
/* The first half of it: pairs of all words, checked. */
int command_words(const pal_command *c, int argc, char *const *argv, kv_pairs *out, pal_error *err);
/* Whether the key is a switch, so that `--plots` alone means plots=1 and `--no-plots` means plots=0. */
int command_is_switch(const kv_spec *spec);

/* Set by the Makefile: keys in upper case are then also taken from the environment, with a line for each. */
#define COMMAND_ENVIRONMENT "PALIMPSEST_MAKE"

#endif
