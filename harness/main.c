/* palimpsest COMMAND key=value... */
#include "harness/command/commands.h"

#include "models/engine/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The same command once more where OpenBLAS did not recognise the processor: its choice is made before main(). */
static void start_over_on_better_core(char **argv)
{
    const char *core = gemm_better_core();
    char binary[4096];
    const ssize_t size = core ? readlink("/proc/self/exe", binary, sizeof binary - 1) : -1;
    if (size < 0 || setenv("OPENBLAS_CORETYPE", core, 1) != 0) return;
    binary[size] = '\0';
    execv(binary, argv);
}

int main(int argc, char **argv)
{
    start_over_on_better_core(argv);
    pal_error err = {0};
    const command *found = argc > 1 ? command_find(argv[1]) : NULL;
    int code;
    if (found)
        code = found->run(argc - 2, argv + 2, &err);
    else if (argc > 1)
        code = pal_fail(&err, PAL_USAGE, "no command \"%s\"; see `palimpsest help`", argv[1]);
    else
        code = pal_fail(&err, PAL_USAGE, "say what to do, such as `palimpsest eval`; see `palimpsest help`");
    if (code != PAL_OK) fprintf(stderr, "palimpsest: %s\n", err.text);
    /* Output that did not reach its file is a failure too: a full disk, a closed pipe. */
    if (fflush(stdout) != 0 && code == PAL_OK) {
        fprintf(stderr, "palimpsest: cannot write to standard output\n");
        code = PAL_INTERNAL;
    }
    return code;
}
