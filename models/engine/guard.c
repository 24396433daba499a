/* Signal handlers and an alarm around one call; a jump out of it when one of them fires.
 * The call's locks and memory stay as they were: the caller reports and ends the process. */
#include "models/engine/guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>

enum { SIGNALS = 5 };

static const int caught[SIGNALS] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGALRM};

/* Where the guarded thread jumps to. Signals that reach other threads are not this guard's. */
static _Thread_local sigjmp_buf *volatile way_out;

static void jump_out(int signal)
{
    sigjmp_buf *to = way_out;
    if (to) siglongjmp(*to, signal);
}

int guard_run(void (*call)(void *arg), void *arg, unsigned seconds)
{
    struct sigaction ours = {.sa_handler = jump_out}, before[SIGNALS];
    const struct itimerval limit = {.it_value = {.tv_sec = (time_t)seconds}};
    struct itimerval timer_before;
    sigjmp_buf here;
    sigemptyset(&ours.sa_mask);
    for (int i = 0; i < SIGNALS; i++) sigaction(caught[i], &ours, &before[i]);
    setitimer(ITIMER_REAL, &limit, &timer_before);
    const int signal = sigsetjmp(here, 1);
    if (signal == 0) {
        way_out = &here;
        call(arg);
    }
    way_out = NULL;
    setitimer(ITIMER_REAL, &timer_before, NULL);
    for (int i = 0; i < SIGNALS; i++) sigaction(caught[i], &before[i], NULL);
    return signal;
}
