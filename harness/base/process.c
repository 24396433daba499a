/* Starts a program without a shell (posix_spawn), waits for it and keeps what it said on stderr. The only place in
 * the project that starts one. */
#include "harness/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Read the pipe to its end; what does not fit is dropped. */
static void read_all(int from, char *said, size_t size)
{
    char block[4096];
    size_t used = 0;
    for (;;) {
        const ssize_t got = read(from, block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        const size_t room = size - 1 - used, kept = (size_t)got < room ? (size_t)got : room;
        memcpy(said + used, block, kept);
        used += kept;
    }
    said[used] = '\0';
}

static int start(const char *const *word, const char *folder, int to, pid_t *child)
{
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed) return failed;
    failed = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!failed) failed = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, to, STDERR_FILENO);
    if (!failed && folder) failed = posix_spawn_file_actions_addchdir_np(&actions, folder);
    if (!failed) failed = posix_spawnp(child, word[0], &actions, NULL, (char *const *)word, environ);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

int process_run(const char *const *word, const char *folder, int *status, char *said, size_t size, pal_error *err)
{
    int ends[2], state = 0;
    pid_t child;
    said[0] = '\0';
    *status = PROCESS_MISSING;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return pal_fail(err, PAL_INTERNAL, "cannot start %s: %s", word[0], strerror(errno));
    const int failed = start(word, folder, ends[1], &child);
    close(ends[1]);
    if (!failed) read_all(ends[0], said, size);
    close(ends[0]);
    if (failed == ENOENT || failed == EACCES) return PAL_OK;
    if (failed) return pal_fail(err, PAL_INTERNAL, "cannot start %s: %s", word[0], strerror(failed));
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
    *status = WIFEXITED(state) ? WEXITSTATUS(state) : PROCESS_KILLED;
    if (*status == 127) *status = PROCESS_MISSING; /* what posix_spawnp reports where it cannot say ENOENT */
    return PAL_OK;
}
