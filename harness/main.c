/* The program: palimpsest COMMAND key=value...
 * It prints errors and gives the exit code; everything else is below it. */
#include "harness/command/commands.h"

#include "harness/base/os.h"
#include "harness/base/utf8.h"
#include "harness/ranks/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (os_fill_standard() != 0) return PAL_INTERNAL;
    pal_error err = {0};
    int code = PAL_OK;
    for (int i = 1; code == PAL_OK && i < argc; i++)
        code = utf8_check_name("the argument", argv[i], PAL_USAGE, &err);
    if (code == PAL_OK) code = commands_main(argc, argv, &err);
    const int rank = code != PAL_OK ? ranks_before_error() : 0;
    if (code != PAL_OK && rank > 0) fprintf(stderr, "palimpsest: rank %d: %s\n", rank, err.text);
    if (code != PAL_OK && rank == 0) fprintf(stderr, "palimpsest: %s\n", err.text);
    /* Output that did not reach its file is a failure too: a full disk, a closed pipe. */
    if (fflush(stdout) != 0 && code == PAL_OK) {
        fprintf(stderr, "palimpsest: cannot write to standard output\n");
        code = PAL_INTERNAL;
    }
    ranks_end(code);
    return code;
}
