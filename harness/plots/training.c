/* Pictures of training logs: the loss by tokens trained on, and the gates at the end. What a log trained is known
 * by the weights of the log's name. */
#include "harness/plots/plots.h"

#include "harness/base/csv.h"
#include "harness/base/os.h"
#include "harness/eval/facts.h"
#include "models/decoder/config_keys.h"
#include "models/files/checkpoint.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOG_SUFFIX ".csv"
#define GATES_SUFFIX "-gates.csv"

typedef struct log_file {
    char *name; /* without suffix */
    model_facts facts;
    double parameters; /* 0: unknown */
    int gates;         /* it holds gates, not losses */
} log_file;

typedef struct logs {
    const char *folder;
    log_file *file;
    size_t count;
} logs;

static void free_logs(logs *all)
{
    for (size_t i = 0; i < all->count; i++) free(all->file[i].name);
    free(all->file);
}

/* ---- What is there ---- */

/* Sizes within a tenth are one class. */
static int same_size(const log_file *a, const log_file *b)
{
    return a->parameters <= 1.1 * b->parameters && b->parameters <= 1.1 * a->parameters;
}

static int ends_in(const char *name, const char *suffix)
{
    const size_t size = strlen(name), end = strlen(suffix);
    return size > end && strcmp(name + size - end, suffix) == 0;
}

/* By size, then module, then name. */
static int by_model(const void *a, const void *b)
{
    const log_file *x = a, *y = b;
    if (!same_size(x, y)) return x->parameters < y->parameters ? -1 : 1;
    const int order = facts_order(&x->facts, &y->facts);
    return order ? order : strcmp(x->name, y->name);
}

static int list_logs(logs *all, pal_error *err)
{
    DIR *folder = opendir(all->folder);
    int code = PAL_OK;
    for (struct dirent *entry; folder && code == PAL_OK && (entry = readdir(folder));) {
        log_file file = {.gates = ends_in(entry->d_name, GATES_SUFFIX)};
        if (entry->d_name[0] == '.' || !ends_in(entry->d_name, LOG_SUFFIX)) continue;
        file.name = strndup(entry->d_name, strlen(entry->d_name) - strlen(file.gates ? GATES_SUFFIX : LOG_SUFFIX));
        log_file *grown = realloc(all->file, (all->count + 1) * sizeof *grown);
        if (grown) all->file = grown;
        if (grown && file.name)
            all->file[all->count++] = file;
        else
            code = pal_fail(err, PAL_INTERNAL, "out of memory for the training logs");
    }
    if (folder) closedir(folder);
    return code;
}

static int read_log(const logs *all, const log_file *file, csv_table *t, pal_error *err)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s%s", all->folder, file->name, file->gates ? GATES_SUFFIX : LOG_SUFFIX) < 0)
        return pal_fail(err, PAL_INTERNAL, "out of memory for a training log");
    const int code = csv_read(t, path, err);
    free(path);
    return code;
}

static int has_columns(const csv_table *t, const char *const *name, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (csv_column(t, name[i]) == t->columns) return 0;
    return 1;
}

/* Keep the files that have a log's columns: others, such as a table of rates that were tried, are no logs. A
 * damaged file is left out, and said. */
static int keep_logs(logs *all, figure_output *out, pal_error *err)
{
    static const char *const losses[] = {"step", "tokens", "loss"}, *const gates[] = {"step", "gate", "head",
                                                                                      "open"};
    size_t kept = 0;
    int code = PAL_OK;
    for (size_t i = 0; i < all->count; i++) {
        log_file *file = &all->file[i];
        csv_table t = {0};
        if (code == PAL_OK) code = read_log(all, file, &t, err);
        if (code == PAL_DATA) {
            if (!out->left_out[0])
                snprintf(out->left_out, sizeof out->left_out, "%.*s", (int)sizeof out->left_out - 1, err->text);
            code = PAL_OK;
        }
        if (code == PAL_OK && has_columns(&t, file->gates ? gates : losses, file->gates ? 4 : 3))
            all->file[kept++] = *file;
        else
            free(file->name);
        csv_free(&t);
    }
    all->count = kept;
    return code;
}

/* Facts of the committed list, by the weights' name. */
static int take_list(logs *all, const char *weights, pal_error *err)
{
    char *path = NULL;
    csv_table list = {0};
    if (asprintf(&path, "%s/facts.csv", weights) < 0)
        return pal_fail(err, PAL_INTERNAL, "out of memory for the training logs");
    int code = os_file_exists(path) ? csv_read(&list, path, err) : PAL_OK;
    free(path);
    const size_t name = csv_column(&list, "name"), attention = csv_column(&list, "attention"),
                 trained_on = csv_column(&list, "trained_on"), parameters = csv_column(&list, "parameters");
    for (size_t r = 0; code == PAL_OK && r < list.rows; r++) {
        for (size_t i = 0; i < all->count; i++) {
            log_file *file = &all->file[i];
            if (strcmp(csv_text(&list, r, name), file->name) != 0) continue;
            snprintf(file->facts.attention, sizeof file->facts.attention, "%s", csv_text(&list, r, attention));
            snprintf(file->facts.trained_on, sizeof file->facts.trained_on, "%s", csv_text(&list, r, trained_on));
            file->parameters = csv_number(&list, r, parameters);
        }
    }
    csv_free(&list);
    return code;
}

static double numbers_of(const st_tensor *t)
{
    double count = 1;
    for (int i = 0; i < t->dims; i++) count *= (double)t->dim[i];
    return count;
}

/* Facts of a weights file of the log's name, which the list may not know. */
static void take_weights(log_file *file, const char *weights)
{
    char *path = NULL;
    st_file content;
    kv_pairs pairs = {0};
    model_config cfg;
    pal_error none;
    if (file->facts.attention[0] || asprintf(&path, "%s/%s.safetensors", weights, file->name) < 0) return;
    if (os_file_exists(path) && st_read(path, &content, &none) == PAL_OK) {
        if (content.config && kv_pairs_parse(&pairs, content.config, path, &none) == PAL_OK &&
            model_config_read(&cfg, &pairs, &none) == PAL_OK) {
            file->facts = facts_of(&cfg, &content.metadata);
            for (size_t i = 0; i < content.count; i++) file->parameters += numbers_of(&content.tensor[i]);
        }
        kv_pairs_free(&pairs);
        st_free(&content);
    }
    free(path);
}

/* ---- Loss ---- */

/* Rows of a log that make one point. */
enum { ROWS_A_POINT = 5 };

/* The loss of the answers where a log tells them from other tokens, else of all. */
static size_t loss_column(const csv_table *t)
{
    const size_t other = csv_column(t, "other_nll"), answers = csv_column(t, "answer_nll");
    if (answers == t->columns) return csv_column(t, "loss");
    for (size_t r = 0; r < t->rows; r++)
        if (csv_number(t, r, other) > 0) return answers;
    return csv_column(t, "loss");
}

static void add_means(figure *f, const csv_table *t, size_t column)
{
    const size_t tokens = csv_column(t, "tokens");
    double sum = 0;
    size_t held = 0;
    for (size_t r = 0; r < t->rows; r++) {
        const double value = csv_number(t, r, column);
        if (!isfinite(value)) continue;
        sum += value;
        if (++held < ROWS_A_POINT) continue;
        figure_add_point(
            f, (figure_point){.x = csv_number(t, r, tokens) / 1e6, .y = sum / ROWS_A_POINT, .lo = NAN, .hi = NAN});
        sum = 0;
        held = 0;
    }
}

/* The loss on held-out text, where the log has it: every row, as z = 1. */
static void add_validation(figure *f, const csv_table *t)
{
    const size_t tokens = csv_column(t, "tokens"), column = csv_column(t, "val_loss");
    for (size_t r = 0; column < t->columns && r < t->rows; r++)
        figure_add_point(
            f,
            (figure_point){
                .x = csv_number(t, r, tokens) / 1e6, .y = csv_number(t, r, column), .lo = NAN, .hi = NAN, .z = 1});
}

static int add_loss(figure *f, const logs *all, const log_file *file, int context, pal_error *err)
{
    csv_table t;
    figure_look look = {.kind = context ? FIGURE_CONTEXT : FIGURE_MODEL};
    PAL_TRY(read_log(all, file, &t, err));
    if (!context) {
        snprintf(look.label, sizeof look.label, "%s", file->name);
        snprintf(look.attention, sizeof look.attention, "%s", file->facts.attention);
    }
    figure_add_series(f, &look);
    add_means(f, &t, loss_column(&t));
    add_validation(f, &t);
    csv_free(&t);
    return PAL_OK;
}

/* Logs of one picture: trained on the same task. */
static int in_picture(const log_file *file, const char *task)
{
    return !file->gates && strcmp(file->facts.trained_on, task) == 0;
}

/* A panel for each attention module among the logs of one size, with the others in grey; of models nobody knows,
 * for each log. */
static int add_panels(figure *f, const logs *all, const char *task, const log_file *like, pal_error *err)
{
    char heading[64] = "";
    if (like->parameters > 0) snprintf(heading, sizeof heading, "%.2fM parameters", like->parameters / 1e6);
    for (size_t i = 0; i < all->count; i++) {
        const log_file *own = &all->file[i];
        size_t earlier = 0;
        if (!in_picture(own, task) || !same_size(own, like)) continue;
        while (!in_picture(&all->file[earlier], task) || !same_size(&all->file[earlier], like) ||
               strcmp(all->file[earlier].facts.attention, own->facts.attention) != 0)
            earlier++;
        if (task[0] && earlier < i) continue;
        figure_add_panel(f, heading, task[0] ? own->facts.attention : own->name);
        for (int context = task[0] != '\0'; context >= 0; context--) {
            for (size_t k = 0; k < all->count; k++) {
                const log_file *file = &all->file[k];
                const int mine = task[0] ? strcmp(file->facts.attention, own->facts.attention) == 0 : file == own;
                if (in_picture(file, task) && same_size(file, like) && mine != context)
                    PAL_TRY(add_loss(f, all, file, context, err));
            }
        }
    }
    return PAL_OK;
}

static int draw_loss(const logs *all, const char *task, figure_output *out, pal_error *err)
{
    figure f;
    char subject[64];
    int code = PAL_OK;
    snprintf(subject, sizeof subject, task[0] ? "%s" : "runs whose weights are not here", task);
    figure_begin(&f, "training_loss", subject, task[0] ? task : "other");
    for (size_t i = 0; code == PAL_OK && i < all->count; i++) {
        size_t earlier = 0;
        if (!in_picture(&all->file[i], task)) continue;
        while (!in_picture(&all->file[earlier], task) || !same_size(&all->file[earlier], &all->file[i])) earlier++;
        if (earlier == i) code = add_panels(&f, all, task, &all->file[i], err);
    }
    if (code == PAL_OK) code = figure_draw(&f, out, err);
    figure_free(&f);
    return code;
}

/* ---- Gates ---- */

/* The number in "layers.2.dec_attn.gate". */
static double layer_of(const char *tensor)
{
    const char *dot = strchr(tensor, '.');
    char *end;
    const double layer = dot ? strtod(dot + 1, &end) : NAN;
    return dot && end > dot + 1 ? layer : NAN;
}

static int add_gates(figure *f, const logs *all, const log_file *file, pal_error *err)
{
    csv_table t;
    figure_look look = {.kind = FIGURE_MODEL};
    PAL_TRY(read_log(all, file, &t, err));
    const size_t step = csv_column(&t, "step"), gate = csv_column(&t, "gate"), head = csv_column(&t, "head"),
                 open = csv_column(&t, "open");
    snprintf(look.label, sizeof look.label, "%s", file->name);
    figure_add_panel(f, "", file->name);
    figure_add_series(f, &look);
    for (size_t r = 0; r < t.rows; r++)
        if (csv_number(&t, r, step) == csv_number(&t, t.rows - 1, step))
            figure_add_point(f, (figure_point){.x = layer_of(csv_text(&t, r, gate)),
                                               .y = csv_number(&t, r, head),
                                               .lo = NAN,
                                               .hi = NAN,
                                               .z = csv_number(&t, r, open)});
    csv_free(&t);
    return PAL_OK;
}

/* The models whose weights are known, or the others. */
static int draw_gates(const logs *all, int known, figure_output *out, pal_error *err)
{
    figure f;
    int code = PAL_OK;
    figure_begin(&f, "training_gates", known ? "" : "runs whose weights are not here", known ? "" : "other");
    for (size_t i = 0; code == PAL_OK && i < all->count; i++)
        if (all->file[i].gates && (all->file[i].facts.attention[0] != '\0') == known)
            code = add_gates(&f, all, &all->file[i], err);
    if (code == PAL_OK) code = figure_draw(&f, out, err);
    figure_free(&f);
    return code;
}

int plots_training(const char *folder, const char *weights, figure_output *out, pal_error *err)
{
    logs all = {.folder = folder};
    int code = list_logs(&all, err);
    if (code == PAL_OK) code = keep_logs(&all, out, err);
    if (code == PAL_OK) code = take_list(&all, weights, err);
    for (size_t i = 0; code == PAL_OK && i < all.count; i++) take_weights(&all.file[i], weights);
    if (all.count) qsort(all.file, all.count, sizeof *all.file, by_model);
    for (size_t i = 0; code == PAL_OK && i < all.count; i++) {
        size_t earlier = 0;
        while (strcmp(all.file[earlier].facts.trained_on, all.file[i].facts.trained_on) != 0) earlier++;
        if (earlier == i) code = draw_loss(&all, all.file[i].facts.trained_on, out, err);
    }
    for (int known = 0; code == PAL_OK && all.count && known <= 1; known++)
        code = draw_gates(&all, known, out, err);
    free_logs(&all);
    return code;
}
