/* Claims, committed verdicts and baselines: any bytes as each of the three files. First byte: which.
 * Claims that are read are judged on empty evidence and written out. */
#include "tests/fuzz/fuzz.h"

#include "harness/gate/audit.h"
#include "harness/gate/baseline.h"

static void claims(const char *path)
{
    static const task_module *const none[] = {NULL};
    audit a = {0};
    evidence e = {0};
    pal_error err = {0};
    int code = audit_read(&a, path, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK && evidence_read(&e, none, fuzz_dir(), &err) == PAL_OK) {
        code = audit_judge(&a, &e, fuzz_dir(), &err);
        fuzz_check(code, &err);
        size_t changed;
        if (code == PAL_OK) {
            audit_print(&a, fuzz_sink());
            FUZZ_ASSERT(audit_write(&a, fuzz_path("verdicts.csv"), &err) == PAL_OK);
            FUZZ_ASSERT(audit_compare(&a, fuzz_path("verdicts.csv"), fuzz_sink(), &changed, &err) == PAL_OK);
            FUZZ_ASSERT(changed == 0);
        }
    }
    evidence_free(&e);
    audit_free(&a);
}

static void verdicts(const char *path)
{
    audit a = {0};
    pal_error err = {0};
    size_t changed;
    fuzz_check(audit_compare(&a, path, fuzz_sink(), &changed, &err), &err);
}

static void baselines(const char *path)
{
    baseline b = {0}, again = {0};
    pal_error err = {0};
    const int code = baseline_read(&b, path, &err);
    fuzz_check(code, &err);
    if (code == PAL_OK) {
        FUZZ_ASSERT(baseline_write(&b, fuzz_path("again.csv"), &err) == PAL_OK);
        FUZZ_ASSERT(baseline_read(&again, fuzz_path("again.csv"), &err) == PAL_OK);
        FUZZ_ASSERT(baseline_compare(&b, &again, fuzz_sink()) == 0);
    }
    baseline_free(&b);
    baseline_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned mode = fuzz_byte(&data, &size) % 3;
    const char *path = fuzz_file("input", data, size);
    if (mode == 0) claims(path);
    if (mode == 1) verdicts(path);
    if (mode == 2) baselines(path);
    return 0;
}
