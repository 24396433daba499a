/* Prompts with the answers that are accepted, as JSON lines, plain or gzip: one object a line,
 *   {"prompt": "...", "answer": "..." or ["...", ...], "id": ..., "cluster": ...}
 * id and cluster are strings or whole numbers and may be missing; other members are ignored. A missing id is the
 * number of the line. The whole file is checked once and only places are kept; a line is read again when it is
 * asked for. */
#ifndef PAL_PROMPT_FILE_H
#define PAL_PROMPT_FILE_H

#include "harness/base/error.h"
#include "harness/base/hash.h"

#include <stddef.h>
#include <stdint.h>

typedef struct prompt_file prompt_file;

typedef struct prompt_text {
    char *text; /* NUL-terminated */
    size_t size;
} prompt_text;

typedef struct prompt_line {
    prompt_text prompt;
    prompt_text *answer; /* at least one */
    size_t answers;
} prompt_line;

enum { PROMPT_NAME = 160 /* bytes of an id or a cluster, NUL included; a longer one is refused */ };

/* Sees every line while the file is opened, and refuses it by a status and a message without the place. */
typedef int prompt_check(void *arg, const prompt_line *line, pal_error *err);

/* PAL_DATA with file:line and the field: a line that is not JSON, a field that is missing, blank or no string, a
 * name that is too long, an id that an earlier line has; or a file that cannot be read or holds no line. check may
 * be NULL. */
int prompt_file_open(prompt_file **out, const char *path, prompt_check *check, void *arg, pal_error *err);
void prompt_file_close(prompt_file *f);
size_t prompt_file_count(const prompt_file *f);
const char *prompt_file_id(const prompt_file *f, size_t index);
/* The id where the line names no cluster. */
const char *prompt_file_cluster(const prompt_file *f, size_t index);
/* SHA-256 over ids, clusters, prompts and answers. */
const char *prompt_file_digest(const prompt_file *f);
/* packed_work of the file. */
uint64_t prompt_file_work(const prompt_file *f);
/* For one thread at a time. */
int prompt_file_read(const prompt_file *f, size_t index, prompt_line *out, pal_error *err);
void prompt_line_free(prompt_line *line);

#endif
