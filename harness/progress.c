#include "harness/progress.h"

#include "harness/base/os.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static const double terminal_interval = 0.2, quiet_interval = 30;

void progress_start(progress *p, FILE *out, const char *what, double total, double base, const char *unit)
{
    *p = (progress){.out = out, .terminal = isatty(fileno(out)), .total = total, .base = base, .unit = unit};
    p->start = os()->now();
    p->last = p->terminal ? 0 : p->start;
    progress_retitle(p, what);
}

void progress_retitle(progress *p, const char *what)
{
    snprintf(p->what, sizeof p->what, "%s", what);
}

char *progress_time(double seconds, char *out)
{
    const int64_t s = isfinite(seconds) && seconds > 0 ? (int64_t)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(out, 24, "%d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
    else
        snprintf(out, 24, "%d:%02d", (int)(s / 60), (int)(s % 60));
    return out;
}

void progress_update(progress *p, double done, const char *note)
{
    const double now = os()->now();
    if (now - p->last < (p->terminal ? terminal_interval : quiet_interval)) return;
    p->last = now;
    const double elapsed = now - p->start, fresh = done - p->base;
    const double rate = elapsed > 0 ? fresh / elapsed : 0;
    char eta[24];
    progress_time(rate > 0 ? (p->total - done) / rate : 0, eta);
    fprintf(p->out, "%s%s  %5.1f %%  %.4g %s/s  ETA %s%s%s%s", p->terminal ? "\r\033[K" : "", p->what,
            100 * done / p->total, rate, p->unit, fresh > 0 ? eta : "?", note ? "  " : "", note ? note : "",
            p->terminal ? "" : "\n");
    fflush(p->out);
}

void progress_clear(progress *p)
{
    if (!p->terminal) return;
    fputs("\r\033[K", p->out);
    fflush(p->out);
}
