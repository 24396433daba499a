/* Commands that look into samples and models: what a prompt holds, what a model writes, what a needle leaves in
 * its state.
 */
#ifndef PAL_INSPECT_H
#define PAL_INSPECT_H

#include "harness/cli/command.h"

extern const pal_command show_command, generate_command, imprint_command;

#endif
