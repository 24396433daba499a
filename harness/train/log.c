/* Writing a training run's log and its log of memory gates.
 * JSON lines carry the names that importers of trackers look for: step, loss, val_loss, lr, tokens, seconds. */
#include "harness/train/log.h"

#include "harness/base/os.h"
#include "harness/base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double mean_of(double sum, double count)
{
    return count > 0 ? sum / count : 0;
}

double train_row_loss(const train_row *row)
{
    return mean_of(row->loss, (double)row->steps);
}

double train_row_answer(const train_row *row)
{
    return mean_of(row->answer_nll, row->answers);
}

/* ---- Opening ---- */

/* The step of a line, -1 for one without: the first column, or the first member. */
static int64_t step_of(const char *line, train_log_format format)
{
    static const char member[] = "{\"step\":";
    if (format == LOG_JSONL && strncmp(line, member, sizeof member - 1) != 0) return -1;
    const char *digits = line + (format == LOG_JSONL ? sizeof member - 1 : 0);
    return digits[0] >= '0' && digits[0] <= '9' ? strtoll(digits, NULL, 10) : -1;
}

/* Bytes of the rows up to `step`, so that a resumed run writes the same file. */
static size_t rows_until(const char *data, size_t size, train_log_format format, int64_t step)
{
    size_t keep = 0;
    for (const char *line = data; line < data + size;) {
        const char *end = memchr(line, '\n', (size_t)(data + size - line));
        if (!end || step_of(line, format) > step) break;
        line = end + 1;
        keep = (size_t)(line - data);
    }
    return keep;
}

static int open_file(const char *path, const char *head, train_log_format format, int64_t step, FILE **out,
                     pal_error *err)
{
    char *data = NULL;
    size_t size = 0, keep = 0;
    if (step > 0 && os_file_exists(path)) {
        PAL_TRY(os_read_file(path, &data, &size, err));
        keep = rows_until(data, size, format, step);
        if (keep && strncmp(data, head, strlen(head)) != 0) {
            free(data);
            return pal_fail(err, PAL_USAGE,
                            "%s has other columns; keep val_every= and log_format=, or name another log=", path);
        }
    }
    const int code = keep ? os_write_file(path, data, keep, err) : os_write_file(path, head, strlen(head), err);
    free(data);
    PAL_TRY(code);
    return os_open_stream(path, "a", out, err);
}

static int has_gates(const decoder *model)
{
    for (size_t i = 0; i < decoder_param_count(model); i++)
        if (decoder_param_at(model, i)->flags & PARAM_GATE) return 1;
    return 0;
}

/* LOG or OUT.csv, and the same with "-gates" before its ending. */
static int name_files(train_log *l, const char *log, const char *out, pal_error *err)
{
    const char *ending = l->format == LOG_JSONL ? ".jsonl" : ".csv";
    if (asprintf(&l->path, "%s%s", log[0] ? log : out, log[0] ? "" : ending) < 0) l->path = NULL;
    if (!l->path) return pal_fail(err, PAL_INTERNAL, "out of memory for the log");
    const size_t length = strlen(l->path), end = strlen(ending);
    const size_t stem = length - (length > end && strcmp(l->path + length - end, ending) == 0 ? end : 0);
    if (asprintf(&l->gates_path, "%.*s-gates%s", (int)stem, l->path, ending) < 0) l->gates_path = NULL;
    return l->gates_path ? PAL_OK : pal_fail(err, PAL_INTERNAL, "out of memory for the log");
}

int train_log_open(train_log *l, const char *log, const char *out, train_log_format format, int validates,
                   const decoder *model, int64_t step, pal_error *err)
{
    *l = (train_log){.format = format, .validates = validates, .began = os_now()};
    PAL_TRY(name_files(l, log, out, err));
    const char *head = format == LOG_JSONL ? ""
                       : validates         ? "step,length,tokens,loss,answer_nll,other_nll,grad_norm,lr,val_loss\n"
                                           : "step,length,tokens,loss,answer_nll,other_nll,grad_norm,lr\n";
    PAL_TRY(lock_take(&l->lock, l->path, err));
    PAL_TRY(open_file(l->path, head, format, step, &l->file, err));
    if (!has_gates(model)) return PAL_OK;
    PAL_TRY(lock_take(&l->gates_lock, l->gates_path, err));
    return open_file(l->gates_path, format == LOG_JSONL ? "" : "step,gate,head,open\n", format, step, &l->gates,
                     err);
}

void train_log_close(train_log *l)
{
    if (l->file) fclose(l->file);
    if (l->gates) fclose(l->gates);
    lock_release(&l->lock);
    lock_release(&l->gates_lock);
    free(l->path);
    free(l->gates_path);
    *l = (train_log){0};
}

/* ---- Rows ---- */

static void write_csv(const train_log *l, const train_row *row)
{
    fprintf(l->file, "%lld,%lld,%.0f,%.6f,%.6f,%.6f,%.5f,%.6g", (long long)row->step, (long long)row->length,
            row->tokens, train_row_loss(row), train_row_answer(row), mean_of(row->other_nll, row->others),
            mean_of(row->grad_norm, (double)row->steps), row->lr);
    if (l->validates && isnan(row->validation))
        fputc(',', l->file);
    else if (l->validates)
        fprintf(l->file, ",%.6f", row->validation);
    fputc('\n', l->file);
}

static void write_jsonl(const train_log *l, const train_row *row)
{
    fprintf(l->file,
            "{\"step\":%lld,\"length\":%lld,\"tokens\":%.0f,\"loss\":%.6f,\"answer_nll\":%.6f,"
            "\"other_nll\":%.6f,\"grad_norm\":%.5f,\"lr\":%.6g",
            (long long)row->step, (long long)row->length, row->tokens, train_row_loss(row), train_row_answer(row),
            mean_of(row->other_nll, row->others), mean_of(row->grad_norm, (double)row->steps), row->lr);
    if (l->validates && !isnan(row->validation)) fprintf(l->file, ",\"val_loss\":%.6f", row->validation);
    /* Of this process: a run that goes on begins at 0 again. */
    fprintf(l->file, ",\"seconds\":%.3f}\n", os_now() - l->began);
}

/* How far each head's gate opens towards its memory. */
static void write_gates(const train_log *l, int64_t step, decoder *model)
{
    const real *weights = decoder_weights(model);
    for (size_t i = 0; i < decoder_param_count(model); i++) {
        const decoder_param *p = decoder_param_at(model, i);
        if (!(p->flags & PARAM_GATE)) continue;
        for (size_t head = 0; head < decoder_param_elements(p); head++) {
            const double value = (double)weights[p->offset + head];
            const double open = p->flags & PARAM_FACTOR ? value : 1 / (1 + exp(-value));
            if (l->format == LOG_CSV) {
                fprintf(l->gates, "%lld,%s,%zu,%.5f\n", (long long)step, p->name, head, open);
                continue;
            }
            fprintf(l->gates, "{\"step\":%lld,\"gate\":", (long long)step);
            text_json(l->gates, p->name);
            fprintf(l->gates, ",\"head\":%zu,\"open\":%.5f}\n", head, open);
        }
    }
}

int train_log_write(train_log *l, train_row *row, decoder *model, pal_error *err)
{
    if (l->format == LOG_CSV)
        write_csv(l, row);
    else
        write_jsonl(l, row);
    if (fflush(l->file) != 0)
        return pal_fail(err, PAL_INTERNAL, "%s: cannot be written; is the disk full?", l->path);
    if (l->gates) write_gates(l, row->step, model);
    if (l->gates && fflush(l->gates) != 0)
        return pal_fail(err, PAL_INTERNAL, "%s: cannot be written; is the disk full?", l->gates_path);
    *row = (train_row){.validation = NAN};
    return PAL_OK;
}
