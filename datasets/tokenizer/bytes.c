/* Bytes as tokens, and back. */
#include "datasets/tokenizer/bytes.h"

void bytes_encode(const char *text, size_t size, int32_t *tokens)
{
    for (size_t i = 0; i < size; i++) tokens[i] = (unsigned char)text[i];
}

void bytes_decode(const int32_t *tokens, size_t count, char *text)
{
    for (size_t i = 0; i < count; i++)
        text[i] = tokens[i] >= 0 && tokens[i] < BYTES_VOCAB ? (char)(unsigned char)tokens[i] : '?';
    text[count] = '\0';
}
