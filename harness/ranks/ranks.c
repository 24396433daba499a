/* Ranks by MPI, where the build asked for it (make MPI=1): the one file that knows MPI.
 * Else one rank, and a launcher that started several is told. */
#include "harness/ranks/ranks.h"

#include <stdlib.h>
#include <string.h>

#ifdef PAL_MPI
#include <mpi.h>
#include <unistd.h>
#endif

/* How many processes a launcher of MPI programs started; 1: none did. */
static int launched(void)
{
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *text = getenv(sizes[i]);
        if (text && *text) return atoi(text);
    }
    return 1;
}

#ifdef PAL_MPI

/* Counts of MPI are int: long messages go in pieces. */
enum { PIECE = 1 << 28, TAG = 1 };

static int failed(int code, pal_error *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int size;
    if (code == MPI_SUCCESS) return PAL_OK;
    MPI_Error_string(code, text, &size);
    return pal_fail(err, PAL_INTERNAL, "the ranks cannot talk to each other: %s", text);
}

int ranks_open(ranks *out, pal_error *err)
{
    int there, have;
    *out = (ranks){.count = 1};
    MPI_Initialized(&there);
    if (!there && launched() < 2) return PAL_OK;
    if (!there) PAL_TRY(failed(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &have), err));
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    PAL_TRY(failed(MPI_Comm_rank(MPI_COMM_WORLD, &out->rank), err));
    PAL_TRY(failed(MPI_Comm_size(MPI_COMM_WORLD, &out->count), err));
    if (out->count == 1 && launched() > 1)
        return pal_fail(err, PAL_USAGE,
                        "the launcher started %d processes that do not find each other: use the mpirun of the MPI "
                        "that this program was built with",
                        launched());
    return PAL_OK;
}

int ranks_swap(const ranks *r, int with, const void *mine, void *theirs, size_t bytes, pal_error *err)
{
    (void)r;
    for (size_t at = 0; at < bytes;) {
        const int piece = bytes - at < PIECE ? (int)(bytes - at) : PIECE;
        PAL_TRY(failed(MPI_Sendrecv((const char *)mine + at, piece, MPI_BYTE, with, TAG, (char *)theirs + at,
                                    piece, MPI_BYTE, with, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
                       err));
        at += (size_t)piece;
    }
    return PAL_OK;
}

static int send_long(const char *data, size_t bytes, int to, pal_error *err)
{
    for (size_t at = 0; at < bytes; at += PIECE) {
        const int piece = bytes - at < PIECE ? (int)(bytes - at) : PIECE;
        PAL_TRY(failed(MPI_Send(data + at, piece, MPI_BYTE, to, TAG, MPI_COMM_WORLD), err));
    }
    return PAL_OK;
}

static int receive_long(char *data, size_t bytes, int from, pal_error *err)
{
    for (size_t at = 0; at < bytes; at += PIECE) {
        const int piece = bytes - at < PIECE ? (int)(bytes - at) : PIECE;
        PAL_TRY(failed(MPI_Recv(data + at, piece, MPI_BYTE, from, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE), err));
    }
    return PAL_OK;
}

int ranks_gather(const ranks *r, void *data, size_t bytes, pal_error *err)
{
    char *all = data;
    if (r->rank > 0) return send_long(all + (size_t)r->rank * bytes, bytes, 0, err);
    for (int from = 1; from < r->count; from++)
        PAL_TRY(receive_long(all + (size_t)from * bytes, bytes, from, err));
    return PAL_OK;
}

static int spread(char *data, size_t bytes, int from, pal_error *err)
{
    for (size_t at = 0; at < bytes; at += PIECE) {
        const int piece = bytes - at < PIECE ? (int)(bytes - at) : PIECE;
        PAL_TRY(failed(MPI_Bcast(data + at, piece, MPI_BYTE, from, MPI_COMM_WORLD), err));
    }
    return PAL_OK;
}

int ranks_gather_all(const ranks *r, void *data, size_t bytes, pal_error *err)
{
    PAL_TRY(ranks_gather(r, data, bytes, err));
    return spread(data, (size_t)r->count * bytes, 0, err);
}

int ranks_share(const ranks *r, void *data, const size_t *at, pal_error *err)
{
    for (int from = 0; from < r->count; from++)
        PAL_TRY(spread((char *)data + at[from], at[from + 1] - at[from], from, err));
    return PAL_OK;
}

int ranks_before_error(void)
{
    int there, gone, rank = 0;
    MPI_Initialized(&there);
    MPI_Finalized(&gone);
    if (!there || gone || MPI_Comm_rank(MPI_COMM_WORLD, &rank) != MPI_SUCCESS || rank == 0) return 0;
    sleep(1);
    return rank;
}

void ranks_end(int code)
{
    int there, gone;
    MPI_Initialized(&there);
    MPI_Finalized(&gone);
    if (!there || gone) return;
    if (code != PAL_OK) MPI_Abort(MPI_COMM_WORLD, code);
    MPI_Finalize();
}

#else

int ranks_open(ranks *out, pal_error *err)
{
    *out = (ranks){.count = 1};
    if (launched() < 2) return PAL_OK;
    return pal_fail(err, PAL_USAGE,
                    "a launcher started %d processes of a program that was built without MPI; type `make MPI=1`",
                    launched());
}

/* Nobody is there to talk to. */
int ranks_swap(const ranks *r, int with, const void *mine, void *theirs, size_t bytes, pal_error *err)
{
    (void)r;
    (void)mine;
    (void)theirs;
    (void)bytes;
    return pal_fail(err, PAL_INTERNAL, "there is no rank %d", with);
}

int ranks_gather(const ranks *r, void *data, size_t bytes, pal_error *err)
{
    (void)r;
    (void)data;
    (void)bytes;
    (void)err;
    return PAL_OK;
}

int ranks_gather_all(const ranks *r, void *data, size_t bytes, pal_error *err)
{
    return ranks_gather(r, data, bytes, err);
}

int ranks_share(const ranks *r, void *data, const size_t *at, pal_error *err)
{
    (void)at;
    return ranks_gather(r, data, 0, err);
}

int ranks_before_error(void)
{
    return 0;
}

void ranks_end(int code)
{
    (void)code;
}

#endif

int ranks_agree(const ranks *r, const char *what, const char *text, const char *fix, pal_error *err)
{
    if (r->count < 2) return PAL_OK;
    char *all = calloc((size_t)r->count, RANKS_TEXT);
    if (!all) return pal_fail(err, PAL_INTERNAL, "out of memory for the ranks");
    strncpy(all + (size_t)r->rank * RANKS_TEXT, text, RANKS_TEXT - 1);
    int code = ranks_gather_all(r, all, RANKS_TEXT, err);
    for (int i = 1; code == PAL_OK && i < r->count; i++)
        if (strcmp(all, all + (size_t)i * RANKS_TEXT) != 0)
            code = pal_fail(err, PAL_USAGE, "rank 0 has %s %s, but rank %d has %s; %s", what, all, i,
                            all + (size_t)i * RANKS_TEXT, fix);
    free(all);
    return code;
}
