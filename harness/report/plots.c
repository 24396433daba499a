#include "harness/report/report.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Run gnuplot on one script, quietly. Returns its exit status, or -1 when it is not there. */
static int gnuplot(const char *script, const char *dir)
{
    char *const words[] = {"gnuplot", "-c", (char *)script, (char *)dir, NULL};
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t child;
    const int failed = posix_spawnp(&child, "gnuplot", &files, NULL, words, environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed) return -1;
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

void report_plots(const task_module *task, const char *dir, char *note, size_t size)
{
    char pattern[KV_TEXT_MAX];
    glob_t found;
    note[0] = '\0';
    snprintf(pattern, sizeof pattern, "plots/%s_*.gp", task->name);
    if (glob(pattern, 0, NULL, &found) != 0) {
        snprintf(note, size, "there is no %s here", pattern);
        return;
    }
    for (size_t i = 0; i < found.gl_pathc && !note[0]; i++) {
        const int status = gnuplot(found.gl_pathv[i], dir);
        if (status < 0 || status == 127)
            snprintf(note, size, "gnuplot is not installed (make deps; then make plots)");
        else if (status != 0)
            snprintf(note, size, "gnuplot failed on %s; try it by hand: gnuplot -c %s %s", found.gl_pathv[i],
                     found.gl_pathv[i], dir);
    }
    globfree(&found);
}
