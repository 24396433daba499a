/* Ranks by MPI, where the build asked for it (make MPI=1): the one file that knows MPI.
 * Else one rank, and a launcher that started several is told. */
#include "harness/ranks/ranks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef PAL_MPI
#include <mpi.h>
#include <time.h>
#endif

/* How many processes a launcher of MPI programs started; 1: none did. */
static int started(void)
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
enum { PIECE = 1 << 28, TAG = 1, QUESTION, ANSWER };

static int failed(int code, pal_error *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int size;
    if (code == MPI_SUCCESS) return PAL_OK;
    MPI_Error_string(code, text, &size);
    return pal_fail(err, PAL_INTERNAL, "the ranks cannot talk to each other: %s", text);
}

int ranks_launched(void)
{
    return started();
}

int ranks_open(ranks *out, pal_error *err)
{
    int there, have;
    *out = (ranks){.count = 1};
    MPI_Initialized(&there);
    if (!there && started() < 2) return PAL_OK;
    if (!there) PAL_TRY(failed(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &have), err));
    if (!there && have < MPI_THREAD_SERIALIZED)
        return pal_fail(err, PAL_USAGE,
                        "this MPI does not let threads talk; use Open MPI or MPICH of the distribution");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    PAL_TRY(failed(MPI_Comm_rank(MPI_COMM_WORLD, &out->rank), err));
    PAL_TRY(failed(MPI_Comm_size(MPI_COMM_WORLD, &out->count), err));
    if (out->count == 1 && started() > 1)
        return pal_fail(err, PAL_USAGE,
                        "the launcher started %d processes that do not find each other: use the mpirun of the MPI "
                        "that this program was built with",
                        started());
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

int ranks_send(const ranks *r, int to, const void *data, size_t bytes, pal_error *err)
{
    (void)r;
    return send_long(data, bytes, to, err);
}

int ranks_receive(const ranks *r, int from, void *data, size_t bytes, pal_error *err)
{
    (void)r;
    return receive_long(data, bytes, from, err);
}

int ranks_ask(const ranks *r, long long question, long long *answer, pal_error *err)
{
    (void)r;
    PAL_TRY(failed(MPI_Send(&question, 1, MPI_LONG_LONG, 0, QUESTION, MPI_COMM_WORLD), err));
    return failed(MPI_Recv(answer, 1, MPI_LONG_LONG, 0, ANSWER, MPI_COMM_WORLD, MPI_STATUS_IGNORE), err);
}

int ranks_asked(const ranks *r, int *from, long long *question, int *asked, pal_error *err)
{
    MPI_Status status;
    (void)r;
    PAL_TRY(failed(MPI_Iprobe(MPI_ANY_SOURCE, QUESTION, MPI_COMM_WORLD, asked, &status), err));
    if (!*asked) return PAL_OK;
    *from = status.MPI_SOURCE;
    return failed(MPI_Recv(question, 1, MPI_LONG_LONG, *from, QUESTION, MPI_COMM_WORLD, MPI_STATUS_IGNORE), err);
}

int ranks_answer(const ranks *r, int to, long long answer, pal_error *err)
{
    (void)r;
    return failed(MPI_Send(&answer, 1, MPI_LONG_LONG, to, ANSWER, MPI_COMM_WORLD), err);
}

/* MPI's own waiting takes a whole processor, which another rank may need. */
int ranks_meet(const ranks *r, pal_error *err)
{
    MPI_Request request;
    int here = 0;
    (void)r;
    PAL_TRY(failed(MPI_Ibarrier(MPI_COMM_WORLD, &request), err));
    for (;;) {
        PAL_TRY(failed(MPI_Test(&request, &here, MPI_STATUS_IGNORE), err));
        if (here) return PAL_OK;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
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
    if (code != PAL_OK && code != PAL_GATE) MPI_Abort(MPI_COMM_WORLD, code);
    MPI_Finalize();
}

#else

int ranks_launched(void)
{
    return 1;
}

int ranks_open(ranks *out, pal_error *err)
{
    *out = (ranks){.count = 1};
    if (started() < 2) return PAL_OK;
    return pal_fail(err, PAL_USAGE,
                    "a launcher started %d processes of a program that was built without MPI; type `make MPI=1`",
                    started());
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

static int nobody(pal_error *err)
{
    return pal_fail(err, PAL_INTERNAL, "there are no other ranks");
}

int ranks_send(const ranks *r, int to, const void *data, size_t bytes, pal_error *err)
{
    (void)r;
    (void)to;
    (void)data;
    (void)bytes;
    return nobody(err);
}

int ranks_receive(const ranks *r, int from, void *data, size_t bytes, pal_error *err)
{
    return ranks_send(r, from, data, bytes, err);
}

int ranks_ask(const ranks *r, long long question, long long *answer, pal_error *err)
{
    *answer = question;
    return ranks_send(r, 0, NULL, 0, err);
}

int ranks_asked(const ranks *r, int *from, long long *question, int *asked, pal_error *err)
{
    (void)from;
    (void)question;
    *asked = 0;
    return ranks_send(r, 0, NULL, 0, err);
}

int ranks_answer(const ranks *r, int to, long long answer, pal_error *err)
{
    return ranks_send(r, to, &answer, 0, err);
}

int ranks_meet(const ranks *r, pal_error *err)
{
    (void)r;
    (void)err;
    return PAL_OK;
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

/* What a rank says, and where it is. */
typedef struct said {
    char text[RANKS_TEXT], host[72];
} said;

int ranks_agree(const ranks *r, const char *what, const char *text, const char *fix, pal_error *err)
{
    if (r->count < 2) return PAL_OK;
    said *all = calloc((size_t)r->count, sizeof *all);
    if (!all) return pal_fail(err, PAL_INTERNAL, "out of memory for the ranks");
    strncpy(all[r->rank].text, text, sizeof all->text - 1);
    if (gethostname(all[r->rank].host, sizeof all->host - 1) != 0) strcpy(all[r->rank].host, "a host");
    int code = ranks_gather_all(r, all, sizeof *all, err);
    for (int i = 1; code == PAL_OK && i < r->count; i++)
        if (strcmp(all[0].text, all[i].text) != 0)
            code = pal_fail(err, PAL_USAGE, "rank 0 on %s has %s %s, but rank %d on %s has %s; %s", all[0].host,
                            what, all[0].text, i, all[i].host, all[i].text, fix);
    free(all);
    return code;
}
