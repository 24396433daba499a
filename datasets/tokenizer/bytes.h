/* Plain bytes as tokens: one token a byte, vocabulary 256. */
#ifndef PAL_BYTES_H
#define PAL_BYTES_H

#include <stddef.h>
#include <stdint.h>

enum { BYTES_VOCAB = 256 };

/* tokens[size] = the bytes of text. */
void bytes_encode(const char *text, size_t size, int32_t *tokens);
/* text[count + 1], NUL-terminated; tokens outside 0..255 become '?'. */
void bytes_decode(const int32_t *tokens, size_t count, char *text);

#endif
