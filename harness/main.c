/* palimpsest COMMAND key=value... */
#include "harness/command/commands.h"

#include "harness/base/os.h"
#include "harness/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (os_fill_standard() != 0) return PAL_INTERNAL;
    pal_error err = {0};
    const command *found = argc > 1 ? command_find(argv[1]) : NULL;
    int code = PAL_OK;
    for (int i = 1; code == PAL_OK && i < argc; i++)
        code = utf8_check_name("the argument", argv[i], PAL_USAGE, &err);
    if (code == PAL_OK && found)
        code = found->run(argc - 2, argv + 2, &err);
    else if (code == PAL_OK && argc > 1)
        code = pal_fail(&err, PAL_USAGE, "no command \"%s\"; see `palimpsest help`", argv[1]);
    else if (code == PAL_OK)
        code = pal_fail(&err, PAL_USAGE, "say what to do, such as `palimpsest eval`; see `palimpsest help`");
    if (code != PAL_OK) fprintf(stderr, "palimpsest: %s\n", err.text);
    /* Output that did not reach its file is a failure too: a full disk, a closed pipe. */
    if (fflush(stdout) != 0 && code == PAL_OK) {
        fprintf(stderr, "palimpsest: cannot write to standard output\n");
        code = PAL_INTERNAL;
    }
    return code;
}
