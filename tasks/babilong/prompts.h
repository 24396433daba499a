/* What stands before the context of each task: an instruction, examples, and the form of the answer.
 * The order of the parts is BABILong's, the words are the project's own. */
#ifndef PAL_BABILONG_PROMPTS_H
#define PAL_BABILONG_PROMPTS_H

extern const char *const babilong_prompt[5];

#endif
