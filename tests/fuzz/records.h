/* What the harnesses of journals share: a task by a number, and lines that become whole records. */
#ifndef PAL_FUZZ_RECORDS_H
#define PAL_FUZZ_RECORDS_H

#include "tasks/task.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

static inline const task_module *task_of(unsigned number)
{
    size_t count = 0;
    while (task_table[count]) count++;
    return task_table[number % count];
}

/* Each line as a record: its closing brace replaced by the checksum. */
static inline void seal(FILE *out, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t line = end ? (size_t)(end - text) - at : size - at, body = line;
        if (body && text[at + body - 1] == '}') body--;
        const unsigned long crc = crc32_z(0, (const unsigned char *)text + at, body);
        fwrite(text + at, 1, body, out);
        fprintf(out, ",\"crc32\":\"%08lx\"}\n", crc);
        at += line + 1;
    }
}

#endif
