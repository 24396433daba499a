/* A directory of made-up results, and cells of made-up models, for the suites of the report. */
#ifndef PAL_TEST_REPORT_LAB_H
#define PAL_TEST_REPORT_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/os.h"
#include "harness/report/report.h"
#include "tests/lib/facts_lab.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], path[128];
static pal_error err;

static inline int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/palimpsest-report-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(path, sizeof path, "%s/toy-journal.jsonl", dir);
    return 0;
}

static inline int remove_dir(void **state)
{
    (void)state;
    static const char *const files[] = {"toy-journal.jsonl", "toy-cells.csv", "toy-cost.csv", "toy-paired.csv",
                                        "toy-table.md"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s/%s", dir, files[i]);
        unlink(name);
    }
    return rmdir(dir);
}

/* Of `task`, which says what a cell's key is made of. */
static inline result_cell make_cell(const task_module *task, const char *model, const char *weights,
                                    int64_t length, double depth)
{
    result_cell cell = {.length = length, .depth = depth, .parameters = 1000, .state_bytes = 2048};
    snprintf(cell.model, sizeof cell.model, "%s", model);
    snprintf(cell.weights, sizeof cell.weights, "%s", weights);
    strcpy(cell.config, "c0");
    strcpy(cell.tokenizer, "t0");
    strcpy(cell.data, "d0");
    strcpy(cell.blas_core, "Core");
    strcpy(cell.settings, "seed=4 jitter=0");
    strcpy(cell.request, "len=1K,2K n=2 seed=4");
    snprintf(cell.name, sizeof cell.name, "len=%d,depth=%g", (int)length, depth);
    lab_describe(&cell);
    result_cell_identify(task, &cell);
    return cell;
}

static inline journal *start_task(results *r, const task_module *task)
{
    journal *j = NULL;
    size_t cut;
    unlink(path);
    results_init(r, task, path);
    assert_int_equal(journal_open(&j, path, results_visit, r, &cut, &err), PAL_OK);
    return j;
}

static __attribute__((noinline)) char *slurp(const char *name)
{
    char file[128], *data = NULL;
    size_t size;
    snprintf(file, sizeof file, "%s/%s", dir, name);
    assert_int_equal(os_read_file(file, &data, &size, &err), PAL_OK);
    return data;
}

#endif
