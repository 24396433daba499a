/* A progress line: one that is drawn over again on a terminal, a new one now and then in a log. */
#include "harness/cli/progress.h"

#include "harness/base/os.h"

#include <math.h>
#include <unistd.h>

enum { LINE_MAX_TEXT = 1024 };

static const double terminal_pause = 0.2, log_pause = 30; /* seconds between two lines */

void progress_start(progress *p, FILE *out, const char *name, double total, double done, const char *unit)
{
    *p = (progress){.out = out,
                    .name = name,
                    .unit = unit,
                    .total = total,
                    .start = done,
                    .done = done,
                    .terminal = isatty(fileno(out))};
    p->began = p->shown = os_now();
}

char *human_count(double value, const char *unit, char out[24])
{
    static const char prefix[][2] = {"", "K", "M", "G", "T", "P"};
    size_t p = 0;
    while (fabs(value) >= 999.5 && p + 1 < sizeof prefix / sizeof *prefix) {
        value /= 1000;
        p++;
    }
    const int digits = p > 0 && fabs(value) < 99.95 ? 1 : 0;
    snprintf(out, 24, "%.*f%s%s%.8s", digits, value, unit ? " " : "", prefix[p], unit ? unit : "");
    return out;
}

char *progress_format_time(double seconds, char out[32])
{
    const long long s = (long long)(seconds + 0.5);
    if (s < 60)
        snprintf(out, 32, "%lld s", s);
    else if (s < 3600)
        snprintf(out, 32, "%lld min %02lld s", s / 60, s % 60);
    else
        snprintf(out, 32, "%lld h %02lld min", s / 3600, s % 3600 / 60);
    return out;
}

void progress_format(const progress *p, double now, const char *note, char *out, size_t size)
{
    const double done = p->done < p->total ? p->done : p->total;
    const double rate = now > p->began ? (p->done - p->start) / (now - p->began) : 0;
    char left[32] = "?", speed[64] = "";
    if (rate > 0) progress_format_time((p->total - done) / rate, left);
    if (p->unit) snprintf(speed, sizeof speed, "%.0f %s/s  ", rate > 0 ? rate : 0, p->unit);
    snprintf(out, size, "%5.1f %%  %s%s%s%s left  %s", p->total > 0 ? 100 * done / p->total : 100,
             p->name ? p->name : "", p->name ? "  " : "", speed, left, note ? note : "");
}

void progress_update(progress *p, double done, const char *note)
{
    if (done > p->done) p->done = done; /* a stream may have to read again what it had passed over */
    const double now = os_now();
    if (now - p->shown < (p->terminal ? terminal_pause : log_pause)) return;
    p->shown = now;
    char line[LINE_MAX_TEXT];
    progress_format(p, now, note, line, sizeof line);
    fprintf(p->out, p->terminal ? "\r\033[K%s" : "%s\n", line);
    fflush(p->out);
    p->line_open = p->terminal;
}

void progress_clear(progress *p)
{
    if (p->line_open) fputs("\r\033[K", p->out);
    p->line_open = 0;
}
