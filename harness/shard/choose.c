/* The word shard=, and the variables of Slurm, Open MPI and PMI.
 * A variable that is set and makes no sense is refused: a wrong part would be computed twice or never. */
#include "harness/shard/choose.h"

#include "harness/ranks/ranks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_whole(const char *text, int64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9') return 0;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* 1: it is set. */
static int variable(const char *name, int64_t *out, int *bad, pal_error *err)
{
    const char *text = getenv(name);
    if (!text || !*text) return 0;
    if (read_whole(text, out)) return 1;
    *bad = pal_fail(err, PAL_USAGE, "%s=%.40s is no number; say shard=I/N, or shard=none for all", name, text);
    return 0;
}

/* Rank and size under these names, counted from 0. */
static int pair(shard_choice *c, const char *rank, const char *size, int *found, pal_error *err)
{
    int bad = PAL_OK;
    int64_t index, count;
    *found = variable(rank, &index, &bad, err) && variable(size, &count, &bad, err);
    if (bad != PAL_OK || !*found) return bad;
    if (count < 1 || index >= count)
        return pal_fail(err, PAL_USAGE, "%s=%lld with %s=%lld: no such part; say shard=I/N", rank,
                        (long long)index, size, (long long)count);
    c->index = index;
    c->count = count;
    snprintf(c->from, sizeof c->from, "%s and %s", rank, size);
    return PAL_OK;
}

/* Numbers of an array may start anywhere and go in steps; what is not one of count equal steps is not guessed. */
static int slurm_array(shard_choice *c, int *found, pal_error *err)
{
    int64_t id = 0, count = 0, first = 0, step = 1;
    int bad = PAL_OK;
    *found =
        variable("SLURM_ARRAY_TASK_ID", &id, &bad, err) && variable("SLURM_ARRAY_TASK_COUNT", &count, &bad, err);
    if (bad != PAL_OK || !*found) return bad;
    variable("SLURM_ARRAY_TASK_MIN", &first, &bad, err);
    variable("SLURM_ARRAY_TASK_STEP", &step, &bad, err);
    if (bad != PAL_OK) return bad;
    const int64_t index = step > 0 && id >= first ? (id - first) / step : -1;
    if (index < 0 || index >= count || first + index * step != id)
        return pal_fail(err, PAL_USAGE,
                        "SLURM_ARRAY_TASK_ID=%lld is not one of %lld equal steps from %lld; say shard=I/N",
                        (long long)id, (long long)count, (long long)first);
    c->index = index;
    c->count = count;
    snprintf(c->from, sizeof c->from, "SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT");
    return PAL_OK;
}

/* Tasks of one srun; a batch script without srun has no such step, and is one process. */
static int slurm_step(shard_choice *c, int *found, pal_error *err)
{
    *found = 0;
    if (!getenv("SLURM_STEP_NUM_TASKS")) return PAL_OK;
    return pair(c, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", found, err);
}

/* Each task of an array's step takes a part of the array's part. */
static void inside(shard_choice *c, const shard_choice *step)
{
    if (step->count < 2) return;
    c->index = c->index * step->count + step->index;
    c->count *= step->count;
    snprintf(c->from, sizeof c->from, "SLURM_ARRAY_TASK_ID and SLURM_PROCID");
}

static int from_environment(shard_choice *c, pal_error *err)
{
    shard_choice step = {.count = 1};
    int found = 0, in_step = 0;
    PAL_TRY(slurm_array(c, &found, err));
    PAL_TRY(slurm_step(&step, &in_step, err));
    if (ranks_launched() > 1) {
        if (found && c->count > 1)
            return pal_fail(
                err, PAL_USAGE,
                "%s number a part, and mpirun started %d ranks, which share a whole: start them outside of "
                "an array, or no ranks inside one",
                c->from, ranks_launched());
        *c = (shard_choice){.kind = SHARD_RANKS, .count = ranks_launched(), .from = "mpirun"};
        return PAL_OK;
    }
    if (found && in_step) inside(c, &step);
    if (!found) PAL_TRY(pair(c, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", &found, err));
    if (!found) PAL_TRY(pair(c, "PMI_RANK", "PMI_SIZE", &found, err));
    if (!found && in_step) {
        *c = step;
        found = 1;
    }
    c->kind = found && c->count > 1 ? SHARD_FIXED : SHARD_NONE;
    return PAL_OK;
}

static int from_word(const char *word, shard_choice *c, pal_error *err)
{
    char index[24] = "";
    const char *slash = strchr(word, '/');
    if (slash && slash - word < (long)sizeof index) memcpy(index, word, (size_t)(slash - word));
    if (!slash || !read_whole(index, &c->index) || !read_whole(slash + 1, &c->count))
        return pal_fail(err, PAL_USAGE, "shard=%.40s: say I/N such as 2/4, auto, env or none", word);
    if (c->index < 1 || c->index > c->count)
        return pal_fail(err, PAL_USAGE, "shard=%.40s: there is no such part; parts of N count from 1/N to N/N",
                        word);
    c->index--;
    c->kind = SHARD_FIXED;
    return PAL_OK;
}

int shard_choose(const char *word, shard_choice *out, pal_error *err)
{
    *out = (shard_choice){.kind = SHARD_NONE, .count = 1};
    if (strcmp(word, "auto") == 0)
        out->kind = SHARD_AUTO;
    else if (strcmp(word, "env") == 0)
        PAL_TRY(from_environment(out, err));
    else if (strcmp(word, "none") != 0)
        PAL_TRY(from_word(word, out, err));
    if (ranks_launched() > 1 && (out->kind == SHARD_NONE || out->kind == SHARD_FIXED))
        return pal_fail(err, PAL_USAGE,
                        "shard=%.40s: mpirun started %d ranks, which would all do the same; leave shard= away",
                        word, ranks_launched());
    if (out->count > SHARD_MOST)
        return pal_fail(err, PAL_USAGE, "%lld parts are more than the %d that an evaluation can have",
                        (long long)out->count, SHARD_MOST);
    return PAL_OK;
}

const char *shard_name(const shard_choice *c, char out[SHARD_NAME])
{
    if (c->kind == SHARD_FIXED)
        snprintf(out, SHARD_NAME, "shard %lld/%lld", (long long)c->index + 1, (long long)c->count);
    else if (c->kind == SHARD_RANKS)
        snprintf(out, SHARD_NAME, "rank %lld of %lld", (long long)c->index, (long long)c->count);
    else
        snprintf(out, SHARD_NAME, "shard %s", c->kind == SHARD_AUTO ? "auto" : "none");
    return out;
}
