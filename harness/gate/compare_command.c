#include "harness/command/commands.h"
#include "harness/gate/compare.h"

#include <string.h>

#define AT(field) offsetof(compare_options, field)

static const kv_spec options_table[] = {
    {"a", KV_TEXT, AT(a), "", 0, 0, NULL, "what to compare with; the first word without a key"},
    {"b", KV_TEXT, AT(b), "", 0, 0, NULL, "what may be worse; the second word without a key"},
    {"task", KV_TEXT, AT(task), "", 0, 0, NULL, "only this task; else every one that both hold"},
    {"model_a", KV_TEXT, AT(model_a), "", 0, 0, NULL,
     "only this model of A; NAME@SHA picks one of several weights of a name"},
    {"model_b", KV_TEXT, AT(model_b), "", 0, 0, NULL, "the model of B that it meets; else the same"},
    {"alpha", KV_REAL, AT(alpha), "0.05", 1e-6, 0.5, NULL, "level of the tests; the intervals are at 1 - alpha"},
};
enum { OPTIONS = sizeof options_table / sizeof *options_table };

const kv_spec *compare_options_table(size_t *count)
{
    *count = OPTIONS;
    return options_table;
}

/* The words without "=" are a and b. */
static int read_words(compare_options *o, int argc, char *const *argv, kv_pairs *pairs, pal_error *err)
{
    static const char *const places[] = {"a", "b"};
    size_t place = 0;
    for (int i = 0; i < argc; i++) {
        if (strchr(argv[i], '='))
            PAL_TRY(kv_pairs_args(pairs, 1, &argv[i], err));
        else if (place == 2)
            return pal_fail(err, PAL_USAGE, "%s: compare takes two paths and words of the form key=value",
                            argv[i]);
        else
            PAL_TRY(kv_pairs_add(pairs, places[place++], argv[i], "command line", err));
    }
    for (size_t i = 0; i < pairs->count; i++)
        if (!kv_find(options_table, OPTIONS, pairs->pair[i].key))
            return pal_fail(err, PAL_USAGE, "%s: compare has no such key; `palimpsest help compare` lists them",
                            pairs->pair[i].key);
    PAL_TRY(kv_defaults(options_table, OPTIONS, o, err));
    return kv_apply(options_table, OPTIONS, o, pairs, err);
}

int cmd_compare(int argc, char **argv, pal_error *err)
{
    compare_options o;
    kv_pairs pairs = {0};
    int code = read_words(&o, argc, argv, &pairs, err);
    kv_pairs_free(&pairs);
    return code == PAL_OK ? compare_run(&o, stdout, err) : code;
}
