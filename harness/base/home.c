/* Finding the project's own files from any folder.
 * What lies in the present folder goes first, so that a clone uses its own. */
#include "harness/base/home.h"

#include "harness/base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* <folder>/<path>, where it exists and fits. */
static int found_below(const char *folder, const char *path, char out[KV_TEXT_MAX])
{
    return snprintf(out, KV_TEXT_MAX, "%s/%s", folder, path) < KV_TEXT_MAX && os_file_exists(out);
}

/* The folder of the binary; 0: unknown. */
static int binary_folder(char out[KV_TEXT_MAX])
{
    const ssize_t size = readlink("/proc/self/exe", out, KV_TEXT_MAX - 1);
    if (size <= 0) return 0;
    out[size] = '\0';
    char *slash = strrchr(out, '/');
    if (!slash) return 0;
    *slash = '\0';
    return 1;
}

const char *home_path(const char *path, char out[KV_TEXT_MAX])
{
    const char *home = getenv("PALIMPSEST_HOME");
    char binary[KV_TEXT_MAX], folder[KV_TEXT_MAX + 32];
    if (path[0] != '/' && path[0]) {
        if (home && home[0] && found_below(home, path, out)) return out;
        if (!os_file_exists(path) && binary_folder(binary)) {
            static const char *const places[] = {"..", "../..",
                                                 "../share/palimpsest"}; /* build/, build/asan/, bin/ */
            for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
                snprintf(folder, sizeof folder, "%s/%s", binary, places[i]);
                if (found_below(folder, path, out)) return out;
            }
        }
    }
    snprintf(out, KV_TEXT_MAX, "%s", path);
    return out;
}

void home_settle(char path[KV_TEXT_MAX])
{
    char found[KV_TEXT_MAX];
    home_path(path, found);
    memcpy(path, found, sizeof found);
}
