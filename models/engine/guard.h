/* Runs a call that may crash or never come back, such as the first use of a library made for another machine.
 * Only for failures that end the process: what the call was doing is abandoned half-way. */
#ifndef PAL_GUARD_H
#define PAL_GUARD_H

/* Run call(arg) on this thread. Returns 0 when it came back; otherwise the signal that stopped it: SIGILL,
 * SIGSEGV, SIGBUS, SIGFPE, or SIGALRM after `seconds`. Handlers and the alarm are restored. One guard at a time.
 */
int guard_run(void (*call)(void *arg), void *arg, unsigned seconds);

#endif
