/* Journals: any lines, read and reported. First byte: the task, and whether each line gets the checksum it needs,
 * so that its fields are reached too, and whether what was read is reported, which takes far longer. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/records.h"

#include "harness/journal/cells.h"
#include "harness/page/page.h"
#include "harness/report/evidence.h"
#include "harness/report/report.h"

static void report_all(const results *held)
{
    pal_error err = {0};
    report rep;
    int code = report_create(&rep, held, &err);
    fuzz_check(code, &err);
    if (code != PAL_OK) return;
    fuzz_check(report_cells_csv(&rep, fuzz_path("cells.csv"), &err), &err);
    fuzz_check(report_cost_csv(&rep, fuzz_path("cost.csv"), &err), &err);
    fuzz_check(report_markdown(&rep, fuzz_path("table.md"), &err), &err);
    fuzz_check(report_paired_csv(&rep, fuzz_path("paired.csv"), &err), &err);
    report_free(&rep);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned mode = fuzz_byte(&data, &size);
    const task_module *task = task_of(mode % 64 / 2);
    const char *path;
    if (mode % 2) {
        char *text = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);
        seal(out, (const char *)data, size);
        fclose(out);
        path = fuzz_file("journal.jsonl", text, length);
        free(text);
    } else {
        path = fuzz_file("journal.jsonl", data, size);
    }
    results held;
    pal_error err = {0};
    results_init(&held, task, path);
    const int code = journal_read(path, results_visit, &held, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK && mode / 64 == 0) report_all(&held);
    results_free(&held);
    return 0;
}
