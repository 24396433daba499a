/* Whether a continuation names a task's answer: BABILong's own rule, and the first label alone.
 * Labels are found as parts of the text, in lower case. */
#ifndef PAL_BABILONG_COMPARE_H
#define PAL_BABILONG_COMPARE_H

#include <stddef.h>

/* BABILong's compare_answers: in the text up to its first '.', '<context>' or '<example>', the only label that the
 * question does not name is the answer. label[] ends with NULL, all in lower case, as is `answer`. */
int babilong_only_label(const char *text, size_t size, const char *question, const char *answer,
                        const char *const *label);
/* The first label of the text that the question does not name is the answer. */
int babilong_first_label(const char *text, size_t size, const char *question, const char *answer,
                         const char *const *label);

#endif
