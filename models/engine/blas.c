/* Loads OpenBLAS, picks its core, checks it, and passes products on to it.
 * Every way in which another machine's library can fail ends here, with one line. */
#include "models/engine/blas.h"

#include "models/engine/guard.h"

#include <cblas.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>

#ifndef BLAS_LIBRARY
#define BLAS_LIBRARY "libopenblas.so.0"
#endif

#ifdef PAL_DOUBLE
#define GEMM_NAME "cblas_dgemm"
typedef __typeof__(cblas_dgemm) cblas_gemm;
#else
#define GEMM_NAME "cblas_sgemm"
typedef __typeof__(cblas_sgemm) cblas_gemm;
#endif

enum {
    GUARD_SECONDS = 10,
    BUFFER_BYTES =
        128 << 20,      /* OpenBLAS maps so much for each thread that multiplies; it loops for ever if it cannot */
    MOST_BUFFERS = 128, /* more at a time than a build for few processors may have */
};

#define CORE_VARIABLE "OPENBLAS_CORETYPE"

/* The library, once loaded: written by blas_open alone, before other threads start. */
static struct {
    void *handle;
    cblas_gemm *gemm;
    __typeof__(openblas_set_num_threads) *set_threads;
    __typeof__(openblas_get_corename) *corename;
    void *(*take_buffer)(int); /* not in every build */
    void (*give_buffer)(void *);
    char core[32];
    int core_asked; /* by the user */
    int buffers;    /* threads for which buffers are mapped */
} blas;

const char *blas_core(void)
{
    return blas.core;
}

int blas_core_asked(void)
{
    return blas.core_asked;
}

void blas_gemm(int ta, int tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda, const real *b,
               size_t ldb, real beta, real *c, size_t ldc)
{
    blas.gemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (blasint)m,
              (blasint)n, (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}

/* ---- Loading. ---- */

static int load(pal_error *err)
{
    blas.handle = dlopen(BLAS_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!blas.handle)
        return pal_fail(err, PAL_INTERNAL, "cannot load OpenBLAS: %.300s; install libopenblas0 (`make deps`)",
                        dlerror());
    /* POSIX has dlsym's data pointer stand for a function. */
    *(void **)&blas.gemm = dlsym(blas.handle, GEMM_NAME);
    *(void **)&blas.set_threads = dlsym(blas.handle, "openblas_set_num_threads");
    *(void **)&blas.corename = dlsym(blas.handle, "openblas_get_corename");
    *(void **)&blas.take_buffer = dlsym(blas.handle, "blas_memory_alloc");
    *(void **)&blas.give_buffer = dlsym(blas.handle, "blas_memory_free");
    if (!blas.gemm || !blas.set_threads || !blas.corename)
        return pal_fail(err, PAL_INTERNAL, "%s is not OpenBLAS (it has no %s); install libopenblas0 (`make deps`)",
                        BLAS_LIBRARY,
                        !blas.gemm          ? GEMM_NAME
                        : !blas.set_threads ? "openblas_set_num_threads"
                                            : "openblas_get_corename");
    snprintf(blas.core, sizeof blas.core, "%s", blas.corename());
    return PAL_OK;
}

/* OpenBLAS knows processors by number, and takes kernels of 2004 ("Prescott") for one that is newer than itself.
 * The core that it should have chosen; NULL: it chose well, or there is no better one. */
static const char *better_core(void)
{
    if (strcmp(blas.core, "Prescott") != 0 || getenv(CORE_VARIABLE)) return NULL;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
    return NULL;
}

static int load_best(pal_error *err)
{
    /* Its own threads would only wait, each with a buffer; the variable is read when the library is loaded. */
    if (setenv("OPENBLAS_NUM_THREADS", "1", 1) != 0) return pal_fail(err, PAL_INTERNAL, "out of memory at start");
    PAL_TRY(load(err));
    const char *better = better_core(), *asked = getenv(CORE_VARIABLE);
    blas.core_asked = asked && asked[0];
    if (better && setenv(CORE_VARIABLE, better, 1) == 0) {
        dlclose(blas.handle);
        PAL_TRY(load(err));
    }
    blas.set_threads(1);
    if (asked && asked[0] && strcasecmp(asked, blas.core) != 0)
        return pal_fail(err, PAL_INTERNAL,
                        CORE_VARIABLE
                        "=%.40s: this OpenBLAS or processor has no such core (it takes %s); unset it or "
                        "name another, such as Haswell",
                        asked, blas.core);
    return PAL_OK;
}

/* ---- Buffers. ---- */

static int no_room(int threads, pal_error *err)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    char now[64] = "the machine gives no more";
    getrlimit(RLIMIT_AS, &limit);
    if (limit.rlim_cur != RLIM_INFINITY)
        snprintf(now, sizeof now, "ulimit -v is %llu KiB", (unsigned long long)limit.rlim_cur >> 10);
    return pal_fail(
        err, PAL_INTERNAL,
        "too little address space: OpenBLAS maps %d MiB for each of %d threads and %s; raise it or set "
        "threads=1",
        BUFFER_BYTES >> 20, threads, now);
}

/* Take and give back as many buffers as there will be threads: they stay mapped. Without the library's own
 * function for it the room is only looked at. */
static int reserve(int threads, pal_error *err)
{
    void *taken[MOST_BUFFERS];
    if (threads > MOST_BUFFERS) threads = MOST_BUFFERS;
    if (threads <= blas.buffers) return PAL_OK;
    int code = PAL_OK, count = 0;
    while (code == PAL_OK && count < threads) {
        /* The buffers that are mapped already come first. */
        void *room = count < blas.buffers
                         ? NULL
                         : mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED) {
            code = no_room(threads, err);
        } else {
            if (room) munmap(room, BUFFER_BYTES);
            taken[count++] = blas.take_buffer && blas.give_buffer ? blas.take_buffer(0) : NULL;
        }
    }
    for (int i = 0; i < count; i++)
        if (taken[i]) blas.give_buffer(taken[i]);
    if (code == PAL_OK) blas.buffers = threads;
    return code;
}

/* ---- All of it, guarded. ---- */

typedef struct opening {
    int threads, code;
    void *memory; /* for the probe */
    pal_error *err;
} opening;

static void open_all(void *arg)
{
    opening *o = arg;
    pal_error cause = {0};
    const int fresh = !blas.handle;
    o->code = fresh ? load_best(o->err) : PAL_OK;
    if (o->code == PAL_OK) o->code = reserve(o->threads, o->err);
    if (o->code != PAL_OK || !fresh) return;
    o->code = blas_probe(blas_gemm, o->memory, &cause);
    if (o->code != PAL_OK)
        pal_fail(o->err, o->code,
                 "OpenBLAS (core %s) computes wrong: %s; install another version, or set " CORE_VARIABLE
                 " to an older core",
                 blas.core, cause.text);
}

int blas_open(int threads, pal_error *err)
{
    opening o = {.threads = threads > 0 ? threads : 1, .memory = malloc(blas_probe_bytes()), .err = err};
    if (!o.memory) return pal_fail(err, PAL_INTERNAL, "out of memory for the check of OpenBLAS");
    const int signal = guard_run(open_all, &o, GUARD_SECONDS);
    free(o.memory);
    const char *core = blas.core[0] ? blas.core : "unknown", *asked = getenv(CORE_VARIABLE);
    switch (signal) {
    case 0:
        return o.code;
    case SIGILL:
        return pal_fail(err, PAL_INTERNAL,
                        "OpenBLAS's core %s has instructions that this processor lacks; %s " CORE_VARIABLE, core,
                        asked ? "unset" : "name an older core, such as Prescott, in");
    case SIGALRM:
        return pal_fail(
            err, PAL_INTERNAL,
            "OpenBLAS (core %s) did not end a small product in %d s; raise ulimit -v or install another "
            "version",
            core, (int)GUARD_SECONDS);
    default:
        return pal_fail(err, PAL_INTERNAL,
                        "OpenBLAS (core %s) crashed in a small product (%s); install another version", core,
                        strsignal(signal));
    }
}
