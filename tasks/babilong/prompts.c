/* The prompts of qa1 to qa5, up to the context. */
#include "tasks/babilong/prompts.h"

#define HIDDEN "Facts are hidden in a long text that has nothing to do with them. "
#define ALONE "Answer the question by these facts alone. "

const char *const babilong_prompt[5] = {
    HIDDEN "They tell where people go. " ALONE "Where somebody was in several places, the latest counts.\n"
           "<example>\n"
           "Peter went to the cellar. Anna moved to the attic. Peter travelled to the porch. Where is Peter?\n"
           "Answer: The most recent location of Peter is porch.\n"
           "</example>\n"
           "<example>\n"
           "Anna moved to the porch. Peter went back to the attic. Where is Anna?\n"
           "Answer: The most recent location of Anna is porch.\n"
           "</example>\n"
           "Answer in this form: The most recent location of 'person' is 'location'. Write nothing else.\n",
    HIDDEN
    "They tell where people go, and what they take and put down. " ALONE
    "What somebody carries goes where the person goes; what was put down stays there.\n"
    "<example>\n"
    "Peter went to the cellar. Peter got the lamp. Peter moved to the attic. Where is the lamp?\n"
    "Answer: The lamp is in the attic.\n"
    "</example>\n"
    "<example>\n"
    "Anna moved to the porch. Anna took the book. Anna put down the book there. Anna went to the attic. Where is "
    "the book?\n"
    "Answer: The book is in the porch.\n"
    "</example>\n"
    "Answer in this form: The 'item' is in the 'location'. Write nothing else.\n",
    HIDDEN
    "They tell where people go, and what they take and put down. " ALONE
    "What somebody carries goes where the person goes; what was put down stays there.\n"
    "<example>\n"
    "Peter went to the cellar. Peter got the lamp. Peter moved to the attic. Where was the lamp before the "
    "attic?\n"
    "Answer: Before the attic the lamp was in the cellar.\n"
    "</example>\n"
    "<example>\n"
    "Anna took the book. Anna went to the porch. Anna journeyed to the cellar. Anna went to the attic. Where was "
    "the book before the attic?\n"
    "Answer: Before the attic the book was in the cellar.\n"
    "</example>\n"
    "Answer in this form: Before the 'location_1' the 'item' was in the 'location_2'. Write nothing else.\n",
    HIDDEN "They tell how places lie to each other. " ALONE "\n"
           "<example>\n"
           "The cellar is south of the porch. The attic is north of the porch. What is the porch south of?\n"
           "Answer: attic\n"
           "</example>\n"
           "<example>\n"
           "The porch is west of the attic. The attic is west of the cellar. What is west of the attic?\n"
           "Answer: porch\n"
           "</example>\n"
           "Answer with one word, the location. Write nothing else.\n",
    HIDDEN
    "They tell who takes what and gives it to whom. " ALONE "\n"
    "<example>\n"
    "Anna picked up the lamp there. Anna gave the lamp to Peter. Anna moved to the attic. Who did Anna give the "
    "lamp to?\n"
    "Answer: Peter\n"
    "</example>\n"
    "<example>\n"
    "Peter took the book there. Peter passed the book to Anna. Anna travelled to the porch. Who gave the book?\n"
    "Answer: Peter\n"
    "</example>\n"
    "<example>\n"
    "Anna got the book there. Anna handed the book to Peter. Peter went back to the cellar. What did Anna give to "
    "Peter?\n"
    "Answer: book\n"
    "</example>\n"
    "Answer with one word. Write nothing else.\n",
};
